package registry

import (
	"context"

	"viridian/rollout"
)

// Adopter is a registry with which instances may register themselves.
type Adopter interface {
	// Find lists what an adoption matches now: the instances whose checks all pass, by their ids, and how many others
	// there are. Not to be able to tell is an error; an [AdoptionError] where the registry is well.
	Find(ctx context.Context, adoption rollout.Adoption) (passing []rollout.Instance, others int, err error)
}

// AdoptionError is what is wrong with an adoption, or with an instance that it matches, while the registry can be read.
type AdoptionError struct{ Detail string }

// Error is the detail.
func (e *AdoptionError) Error() string { return e.Detail }
