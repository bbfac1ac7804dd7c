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
		filter, err := filterFor(route.Environment, name, generation.Number, groups[name])
		if err == nil {
			err = n.announced(ctx, name, filter, groups[name].instances)
		}
		if err != nil {
			return fmt.Errorf("generation %d: %w", generation.Number, err)
		}
	}
	return nil
}

// filterFor finds the instances of a generation by what every one of them has in its meta or, where they registered
// themselves, by the filter that they were adopted with. Those must be of the service that is switched, and told apart
// from other generations by that filter.
func filterFor(environment, name string, generation int, p place) (string, error) {
	switch {
	case p.adopted == nil:
		return fmt.Sprintf("Service.Meta[%q] == %q and Service.Meta[%q] == \"%d\"", rollout.MetaEnvironment, environment, rollout.MetaGeneration, generation), nil
	case p.adopted.Service != name:
		return "", fmt.Errorf("its instances were adopted from service %s of Consul, and what is switched there is service %s: register them under that name", p.adopted.Service, name)
	case p.adopted.Filter == "":
		return "", fmt.Errorf("its instances were adopted from service %s of Consul without a filter, so that nothing tells them from other generations there", name)
	}
	return p.adopted.Filter, nil
}

// patience is how long a registry that is at it is waited for.
const patience = 1500 * time.Millisecond

// announced waits for a moment until Consul's catalog has all of the instances, and says then which it lacks.
func (n node) announced(ctx context.Context, name, filter string, instances []rollout.Instance) error {
	options := consistent(ctx)
	options.Filter, options.Near = filter, "_agent" // which keeps the agent from answering of what is streamed to it
	for until := n.Clock.Now().Add(patience); ; {
		found, meta, err := n.Client.Health().Service(name, "", false, options)
		if err != nil {
			return n.explain(ctx, "read service "+name, err)
		}
		lacks := slices.IndexFunc(instances, func(in rollout.Instance) bool {
			return !slices.ContainsFunc(found, func(e *api.ServiceEntry) bool { return at(e, in) })
		})
		if lacks < 0 {
			return nil
		}
		if options.WaitTime = until.Sub(n.Clock.Now()); options.WaitTime <= 0 {
			return fmt.Errorf("instance %s is not among the %d that Consul has of service %s with %s", instances[lacks].ID, len(found), name, filter)
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
