package builtin

import (
	"context"
	"reflect"
	"sync"

	"viridian/probe"
	"viridian/rollout"
)

// question is an instance and how it is asked for its health.
type question struct {
	pool   *pool
	health rollout.Health
}

// asked is a question that is being asked again and again.
type asked struct {
	question
	stop context.CancelFunc
}

// Run probes every instance of every known generation until ctx ends, and then returns nil when the last probe has
// ended. Without it all instances are taken for usable.
func (r *Router) Run(ctx context.Context) error {
	running := map[*instance]asked{}
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.probing.Store(true)
	defer r.probing.Store(false)
	for {
		wanted := r.questions()
		for in, a := range running {
			if q, ok := wanted[in]; !ok || !reflect.DeepEqual(q.health, a.health) {
				a.stop()
				delete(running, in)
			}
		}
		for in, q := range wanted {
			if _, ok := running[in]; !ok {
				probing, stop := context.WithCancel(ctx)
				running[in] = asked{q, stop}
				all.Go(func() { r.probe(probing, in, q) })
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.changed:
		}
	}
}

// wake makes Run look again at what is to be probed.
func (r *Router) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// questions lists what should be probed now.
func (r *Router) questions() map[*instance]question {
	out := map[*instance]question{}
	for _, env := range r.snapshot() {
		env.mu.Lock()
		for _, svc := range env.route.Services {
			if svc.Health.Interval <= 0 {
				continue // never the case in a spec; asking without a pause would be an attack
			}
			for _, g := range env.generations {
				if p := g.pools[svc.Name]; p != nil {
					for _, in := range p.members() {
						out[in] = question{p, svc.Health}
					}
				}
			}
		}
		env.mu.Unlock()
	}
	return out
}

func (r *Router) probe(ctx context.Context, in *instance, q question) {
	probe.Watch(ctx, r.clock, q.health, in.Address, in.Port, probe.Spread, func(state probe.State, err error) {
		q.pool.report(in, state, err)
	})
}
