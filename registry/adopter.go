package registry

import (
	"context"

	"viridian/rollout"
)

// Adopter is a registry with which instances may register themselves.
type Adopter interface {
	// Find lists what an adoption of an artifact with that digest matches now. Not to be able to tell is an error; an
	// [AdoptionError] where the registry is well.
	Find(ctx context.Context, adoption rollout.Adoption, digest string) (Found, error)
}

// Found is what an adoption matches.
type Found struct {
	Passing []rollout.Instance // who passes all checks and does not say in its meta that it runs something else, by id
	Others  int                // how many do not pass their checks
	Wrong   []string           // of each that passes and runs something else: what it says
}

// AdoptionError is what is wrong with an adoption, or with an instance that it matches, while the registry can be read.
type AdoptionError struct{ Detail string }

// Error is the detail.
func (e *AdoptionError) Error() string { return e.Detail }
