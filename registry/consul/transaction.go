package consul

import (
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// maxOps is how many operations one transaction of Consul takes (1.22: 129 are answered with 413).
const maxOps = 128

// missing lists the operations that bring the node with its services and checks into the catalog; what is known is left
// as it is. The node comes first, since the rest refers to it.
func missing(g rollout.Generation, entries []entry, known map[string]bool) api.TxnOps {
	name := nodeName(g)
	var ops api.TxnOps
	if known == nil {
		ops = append(ops, &api.TxnOp{Node: &api.NodeTxnOp{Verb: api.NodeSet, Node: api.Node{Node: name,
			Address: entries[0].instance.Address, Meta: map[string]string{
				"external-node": "true", "external-probe": "false", rollout.MetaEnvironment: g.Environment, rollout.MetaGeneration: fmt.Sprint(g.Number)}}}})
	}
	for _, e := range entries {
		if known[e.catalog.ID] {
			continue
		}
		ops = append(ops,
			&api.TxnOp{Service: &api.ServiceTxnOp{Verb: api.ServiceSet, Node: name, Service: e.catalog}},
			&api.TxnOp{Check: &api.CheckTxnOp{Verb: api.CheckSet, Check: checkOf(g, e, api.HealthCritical, notAsked)}})
	}
	return ops
}

// write carries operations out in as few transactions as there can be, in their order. A service and its check are never
// in two transactions.
func (r *Registry) write(ctx context.Context, ops api.TxnOps) error {
	for len(ops) > 0 {
		n := min(len(ops), maxOps)
		if n < len(ops) && ops[n-1].Service != nil {
			n--
		}
		ok, answer, _, err := r.client.Txn().Txn(ops[:n], (&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return explain(ctx, "write to the catalog", err)
		}
		if !ok {
			return refused(answer.Errors)
		}
		ops = ops[n:]
	}
	return nil
}
