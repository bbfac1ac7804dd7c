package consul

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"

	"viridian/registry"
	"viridian/rollout"
)

var _ registry.Sweeper = (*Registry)(nil)

// Sweep takes back what is left of an environment: nodes of generations and, where there is a given agent, services on it.
func (r *Registry) Sweep(ctx context.Context, environment string, keep func(generation int) bool) error {
	nodes, _, err := r.client.Catalog().Nodes((&api.QueryOptions{RequireConsistent: true,
		Filter: fmt.Sprintf("Meta[%q] == %q", rollout.MetaEnvironment, environment)}).WithContext(ctx))
	if err != nil {
		return explain(ctx, "list nodes", err)
	}
	for _, node := range nodes {
		g, ok := generationOf(environment, node.Meta)
		if !ok || keep(g.Number) || node.Node != nodeName(g) {
			continue
		}
		r.log.Warn("a group was left in Consul and is taken out", "environment", environment, "generation", g.Number, "node", node.Node)
		if err := r.write(ctx, nodeDelete(g)); err != nil {
			return err
		}
	}
	if r.agent == "" {
		return nil
	}
	if err := r.rightAgent(ctx); err != nil {
		return err
	}
	services, err := r.client.Agent().ServicesWithFilterOpts(fmt.Sprintf("Meta[%q] == %q", rollout.MetaEnvironment, environment), (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return explain(ctx, "list the agent's services", err)
	}
	left := map[int]bool{}
	for _, s := range services {
		if g, ok := generationOf(environment, s.Meta); ok && !keep(g.Number) {
			left[g.Number] = true
		}
	}
	for _, number := range slices.Sorted(maps.Keys(left)) {
		r.log.Warn("a group was left on the agent and is taken out", "environment", environment, "generation", number)
		if err := r.deregisterFromAgent(ctx, rollout.Generation{Environment: environment, Number: number}); err != nil {
			return err
		}
	}
	return nil
}

// generationOf reads from meta which generation of the environment something belongs to.
func generationOf(environment string, meta map[string]string) (rollout.Generation, bool) {
	number, err := strconv.Atoi(meta[rollout.MetaGeneration])
	return rollout.Generation{Environment: environment, Number: number}, err == nil && number > 0 && meta[rollout.MetaEnvironment] == environment
}

func nodeDelete(g rollout.Generation) api.TxnOps {
	return api.TxnOps{{Node: &api.NodeTxnOp{Verb: api.NodeDelete, Node: api.Node{Node: nodeName(g)}}}}
}
