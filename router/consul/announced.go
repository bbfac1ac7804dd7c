package consul

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
	"viridian/router"
)

// stageable asks what every driver asks before it stages by the catalog: the fence of all places, and that Consul has
// every instance. What is staged already, or is to serve in any case, is not held up by an instance that is gone.
func (n node) stageable(ctx context.Context, fence router.Fence, route rollout.Route, generation rollout.Generation, parts []held) error {
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
	return n.announced(ctx, route, generation)
}

// announced says which instance of the generation Consul's catalog lacks; nil when it has all.
func (n node) announced(ctx context.Context, route rollout.Route, generation rollout.Generation) error {
	environment := route.Environment
	for _, group := range generation.Groups {
		if !slices.Contains(servicesOf(route), group.Service) {
			continue
		}
		name := rollout.CatalogName(environment, group.Service)
		options := consistent(ctx)
		options.Filter = filterOf(environment, generation.Number)
		found, _, err := n.Client.Health().Service(name, "", false, options)
		if err != nil {
			return n.explain(ctx, "read service "+name, err)
		}
		for _, in := range group.Instances {
			if !slices.ContainsFunc(found, func(e *api.ServiceEntry) bool { return at(e, in) }) {
				return fmt.Errorf("instance %s of generation %d is not among the %d that Consul has of service %s with meta %s = %s and %s = %d",
					in.ID, generation.Number, len(found), name, rollout.MetaEnvironment, environment, rollout.MetaGeneration, generation.Number)
			}
		}
	}
	return nil
}

// at says whether the entry is at the instance's address. A service without an address is at its node's.
func at(e *api.ServiceEntry, in rollout.Instance) bool {
	address := e.Service.Address
	if address == "" && e.Node != nil {
		address = e.Node.Address
	}
	return address == in.Address && e.Service.Port == in.Port
}
