package registry

import "context"

// Sweeper is a registry that outlives what it was told, so that something may be left in it.
type Sweeper interface {
	// Sweep takes back what Register announced of an environment's generations, except of those to keep.
	Sweep(ctx context.Context, environment string, keep func(generation int) bool) error
}
