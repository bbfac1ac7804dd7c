package consul

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
	"viridian/router"
)

// stageable asks what every driver asks before it stages by the catalog: the fence of all places, and that Consul has
// every instance. What is staged already, or is to serve in any case, is not held up by an instance that is gone.
func (n node) stageable(ctx context.Context, fence router.Fence, route rollout.Route, generation rollout.Generation, groups map[string]place, parts []held) error {
	known := route.Weights.Carries(generation.Number)
	for _, part := range parts {
		if err := part.refuses(fence); err != nil {
			return err
		}
		known = known || slices.Contains(part.has, generation.Number)
	}
	if known {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		if err := n.announced(ctx, groups[name].source, groups[name].instances); err != nil {
			return fmt.Errorf("generation %d: %w", generation.Number, err)
		}
	}
	return nil
}

// source is where Consul has the instances of a generation: of which service, and by which filter. What Viridian
// registered is found by what every one of them has in its meta.
type source struct {
	service, filter string
	adopted         bool
}

func sourceOf(environment, name string, generation rollout.Generation, service string) source {
	if a, ok := generation.Adopts[service]; ok {
		return source{a.Service, a.Filter, true}
	}
	return source{service: name, filter: fmt.Sprintf("Service.Meta[%q] == %q and Service.Meta[%q] == \"%d\"",
		rollout.MetaEnvironment, environment, rollout.MetaGeneration, generation.Number)}
}

// told refuses a generation whose instances nothing tells from those of another one that has weight, is live, or is what
// a rollback goes to. That is asked when a generation is registered; others were when the router came into the spec.
func (s source) told(route rollout.Route, generation int, part held, others map[int]source) error {
	if s.filter == "" {
		return fmt.Errorf("generation %d: its instances were adopted from service %s of Consul without a filter, so that nothing tells them from other generations there", generation, s.service)
	}
	own := rollout.Adoption{Service: s.service, Filter: s.filter}
	for _, n := range slices.Sorted(maps.Keys(others)) {
		used := route.Weights.Carries(n) || route.Live == n || route.Previous == n || part.keeps(n) != nil
		if n != generation && used && own.Overlaps(rollout.Adoption{Service: others[n].service, Filter: others[n].filter}) {
			return fmt.Errorf("generation %d: %s of service %s in Consul finds what %s finds, by which generation %d is known", generation, s.filter, s.service, others[n].filter, n)
		}
	}
	return nil
}

// patience is how long a registry that is at it is waited for.
const patience = 1500 * time.Millisecond

// announced waits for a moment until Consul's catalog has all of the instances, and says then which it lacks.
func (n node) announced(ctx context.Context, from source, instances []rollout.Instance) error {
	options := consistent(ctx)
	options.Filter, options.Near = from.filter, "_agent" // which keeps the agent from answering of what is streamed to it
	for until := n.Clock.Now().Add(patience); ; {
		found, meta, err := n.Client.Health().Service(from.service, "", false, options)
		if err != nil {
			return n.explain(ctx, "read service "+from.service, err)
		}
		lacks := slices.IndexFunc(instances, func(in rollout.Instance) bool {
			return !slices.ContainsFunc(found, func(e *api.ServiceEntry) bool { return at(e, in) })
		})
		if lacks < 0 {
			return nil
		}
		if options.WaitTime = until.Sub(n.Clock.Now()); options.WaitTime <= 0 {
			return fmt.Errorf("instance %s is not among the %d that Consul has of service %s with %s", instances[lacks].ID, len(found), from.service, from.filter)
		}
		if options.WaitIndex = meta.LastIndex; meta.LastIndex == 0 {
			options.WaitIndex = 1
		}
	}
}

// at says whether the entry is at the instance's address. A service without an address is at its node's.
func at(e *api.ServiceEntry, in rollout.Instance) bool {
	address := e.Service.Address
	if address == "" && e.Node != nil {
		address = e.Node.Address
	}
	return address == in.Address && e.Service.Port == in.Port
}
