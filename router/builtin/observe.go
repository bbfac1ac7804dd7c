package builtin

import (
	"context"
	"fmt"
	"maps"

	"viridian/rollout"
	"viridian/router"
)

// Observe tells what this node does in the environment. Revision, weights and spec version are those of the state
// file, for what would be lost in a restart does not count; when the table is ahead of it, Error says so, and Fence is
// the table's revision: nothing below that is applied.
func (r *Router) Observe(_ context.Context, name string) (router.Observation, error) {
	o := router.Observation{Receipt: rollout.Receipt{
		Router: Name, Node: r.node, Incarnation: r.incarnation, At: r.clock.Now(), Grade: rollout.GradeFenced,
		Hash: rollout.Route{}.Hash(),
	}}
	env := r.known(name)
	if env == nil {
		return o, nil
	}
	env.mu.Lock()
	defer env.mu.Unlock()
	kept := env.persisted.route()
	o.Revision, o.SpecVersion, o.Hash, o.Weights = kept.Revision, kept.SpecVersion, kept.Hash(), maps.Clone(kept.Weights)
	o.Staged = env.numbers()
	if env.route.Revision > kept.Revision {
		o.Fence = env.route.Revision
	}
	for n, g := range env.generations {
		if open := int(g.open.Load()); open > 0 && !env.route.Weights.Carries(n) {
			if o.InFlight == nil {
				o.InFlight = map[int]int{}
			}
			o.InFlight[n] = open
		}
	}
	switch {
	case env.fileError != nil:
		o.Error = fmt.Sprintf("revision %d serves, but is not durable: %v", env.route.Revision, env.fileError)
	case env.route.Revision != kept.Revision:
		o.Error = fmt.Sprintf("revision %d serves, and is being written", env.route.Revision)
	}
	return o, nil
}
