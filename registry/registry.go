package registry

import (
	"context"

	"viridian/rollout"
)

// Registry announces a generation's instances and watches their health. Every method may be called again with the
// same arguments to the same effect, and for different generations at once.
type Registry interface {
	// Register announces all groups of the generation or, for the caller, none.
	Register(ctx context.Context, spec rollout.Spec, generation rollout.Generation) error
	// Deregister takes back what Register announced, and nothing else. What is not there is no error.
	Deregister(ctx context.Context, spec rollout.Spec, generation rollout.Generation) error
	// Watch reports the health of every group until ctx ends, and then returns ctx's error: first when each instance
	// was asked at least once, then on every change, and at least every two seconds while health is known. When the
	// registry cannot be read, no readings are reported, so that they grow old; it is never reported as "no instances".
	// Of a group that is followed it also reports the members, whenever these are others than those of the generation
	// that it was given: the caller records them, and watches the generation anew.
	Watch(ctx context.Context, spec rollout.Spec, generation rollout.Generation, report Report) error
}
