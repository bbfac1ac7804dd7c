package controller

import (
	"context"
	"fmt"

	"viridian/registry"
	"viridian/rollout"
)

// sweep takes out of every registry what was left there of the environment: of generations that are retired, and of all
// of them where the spec names another registry. It is done once under each version of the spec, beside the work, so
// that a registry which nobody uses any more holds up nothing. A generation that this database has never numbered is
// somebody's all the same, and stays.
func (t *tenure) sweep(e rollout.Environment) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.swept == e.SpecVersion {
		return
	}
	if t.endSweep != nil {
		t.endSweep()
	}
	ctx, cancel := context.WithCancel(t.ctx)
	t.swept, t.endSweep = e.SpecVersion, cancel
	for name, driver := range t.w.Registries {
		if sweeper, ok := driver.(registry.Sweeper); ok {
			t.w.wait.Go(func() { t.sweepOne(ctx, e, name, sweeper) })
		}
	}
}

// sweepOne tries until it is done, or ctx ends. What was registered or retired since e was loaded is not its concern.
func (t *tenure) sweepOne(ctx context.Context, e rollout.Environment, name string, sweeper registry.Sweeper) {
	keep := func(number int) bool {
		_, known := e.Generation(number)
		return number > e.LastNumber || known && name == e.Spec.Registry
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
