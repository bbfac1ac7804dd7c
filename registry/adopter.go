package registry

import (
	"context"

	"viridian/rollout"
)

// Adopter is a registry with which instances may register themselves.
type Adopter interface {
	// Find lists what an adoption matches now: the instances whose checks all pass, by their ids, and how many others
	// there are. Not to be able to tell is an error.
	Find(ctx context.Context, adoption rollout.Adoption) (passing []rollout.Instance, others int, err error)
}
