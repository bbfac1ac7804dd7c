package controller

import (
	"context"
	"fmt"

	"viridian/registry"
	"viridian/rollout"
)

// sweeping is under which circumstances registries are swept once.
type sweeping struct {
	specVersion int64
	deleting    bool
	confirmed   bool  // no node serves what the database does not know
	recovered   int64 // the last recover
}

// sweep takes out of every registry what was left there of the environment: of generations that are retired, and of all
// of them where the spec names another registry. It is done once under each version of the spec, after each recover and
// when the environment is deleted, beside the work, so that a registry which nobody uses any more holds up nothing. A
// generation that this database does not know stays while a node may serve it, and one that it has never numbered, which
// is somebody's all the same, until the environment goes.
func (t *tenure) sweep(e rollout.Environment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := sweeping{specVersion: e.SpecVersion, deleting: e.DeletingAt != nil}
	now.recovered, now.confirmed = e.Confirmed()
	if t.swept == now {
		return
	}
	if t.endSweep != nil {
		t.endSweep()
	}
	ctx, cancel := context.WithCancel(t.ctx)
	t.swept, t.endSweep = now, cancel
	for name, driver := range t.w.Registries {
		if sweeper, ok := driver.(registry.Sweeper); ok {
			t.w.wait.Go(func() { t.sweepOne(ctx, e, now, name, sweeper) })
		}
	}
}

// sweepOne tries until it is done, or ctx ends. What was registered or retired since e was loaded is not its concern.
func (t *tenure) sweepOne(ctx context.Context, e rollout.Environment, now sweeping, name string, sweeper registry.Sweeper) {
	keep := func(number int) bool {
		if _, known := e.Generation(number); known {
			return name == e.Spec.Registry
		}
		return !now.confirmed || number > e.LastNumber && !now.deleting
	}
	key := fmt.Sprintf("sweep %s in %s", e.Name, name)
	for t.alive() && ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, t.w.CallTimeout)
		err := sweeper.Sweep(call, e.Name, keep)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			t.w.backoff.worked(t.w.log, key)
			return
		}
		select {
		case <-ctx.Done():
		case <-t.w.Clock.After(t.w.backoff.failed(t.w.log, key, err)):
		}
	}
}
