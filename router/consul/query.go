package consul

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/consul/api"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// Query switches what Consul's DNS answers: each service of an environment has a prepared query of its catalog name,
// asked as <name>.query.consul, that names one generation by what its instances have: the meta that Viridian gave them, or
// what the filter says that they were adopted with. Consul does not compare when a query is written, so a write is read,
// compared, written and read back under the lease.
type Query struct {
	node
	hidden atomic.Bool // the last list left out what the token may not read
}

var (
	_ router.Router = (*Query)(nil)
	_ router.Pulser = (*Query)(nil)
)

// NewQuery makes the router. It asks nothing yet.
func NewQuery(o Options) *Query { return &Query{node: newNode(o, queryPolicy)} }

// ErrShared is a route that shares traffic: a prepared query names one generation.
var ErrShared = errors.New("a prepared query names one generation: weights are 0 or 100 there")

// queries reads the queries of the environment, by name. The named ones must not be anybody else's.
func (q *Query) queries(ctx context.Context, environment string, names ...string) ([]queryHeld, []held, error) {
	all, meta, err := q.Client.PreparedQuery().List(consistent(ctx))
	if err != nil {
		return nil, nil, q.explain(ctx, "list prepared queries", err)
	}
	q.hidden.Store(meta.ResultsFilteredByACLs)
	var out []queryHeld
	for _, definition := range all {
		switch {
		case environmentOf(definition) == environment:
			out = append(out, heldByQuery(environment, definition))
		case slices.Contains(names, definition.Name):
			return nil, nil, foreign("prepared query "+definition.Name, environmentOf(definition))
		}
	}
	slices.SortFunc(out, func(a, b queryHeld) int { return strings.Compare(a.name, b.name) })
	var parts []held
	for _, h := range out {
		parts = append(parts, h.held)
	}
	return out, parts, nil
}

// Stage makes the query of each service of the generation, once Consul's catalog has every instance. It names nobody
// until the first switch, and notes which generations are known.
func (q *Query) Stage(ctx context.Context, fence router.Fence, route rollout.Route, generation rollout.Generation) error {
	groups, err := places(route, generation)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(groups))
	known, parts, err := q.queries(ctx, route.Environment, names...)
	if err != nil {
		return err
	}
	due := map[string]queryHeld{}
	for _, name := range names {
		h := queryHeld{held: held{name: name}}
		if i := slices.IndexFunc(known, func(h queryHeld) bool { return h.definition.Name == name }); i >= 0 {
			h = known[i]
		}
		if err := queryable(route, generation.Number, groups[name], h); err != nil {
			return err
		}
		due[name] = h
	}
	if err := q.stageable(ctx, fence, route, generation, groups, parts); err != nil {
		return err
	}
	for _, name := range names {
		h, wanted := due[name], stagedGroup{len(groups), groups[name].source}
		if h.staged[generation.Number] == wanted {
			continue
		}
		staged := maps.Clone(h.staged)
		if staged == nil {
			staged = map[int]stagedGroup{}
		}
		staged[generation.Number] = wanted
		if err := q.put(ctx, queryFor(h.definition, route.Environment, name, queryMark{h.mark, staged}, h.weights)); err != nil {
			return err
		}
	}
	return nil
}

// queryable refuses what a prepared query cannot name, or cannot name alone.
func queryable(route rollout.Route, generation int, p place, h queryHeld) error {
	if _, err := rollout.ParseSelection(p.source.filter); p.source.filter != "" && err != nil {
		return fmt.Errorf("generation %d: a prepared query cannot follow the filter %s: %w; it follows %s", generation, p.source.filter, err, rollout.SelectionForms)
	}
	if err := p.source.told(route, generation, h.held, h.sources()); err != nil {
		return err
	}
	if before, ok := h.staged[generation]; ok && before.source != p.source && h.weights.Carries(generation) && !route.Weights.Carries(generation) {
		return fmt.Errorf("generation %d of environment %s is named with other instances", generation, route.Environment)
	}
	return nil
}

// put writes a query, and reads it back.
func (q *Query) put(ctx context.Context, definition *api.PreparedQueryDefinition) error {
	id := definition.ID
	var err error
	if id == "" {
		id, _, err = q.Client.PreparedQuery().Create(definition, write(ctx))
	} else {
		_, err = q.Client.PreparedQuery().Update(definition, write(ctx))
	}
	if err != nil {
		return q.explain(ctx, "write prepared query "+definition.Name, err)
	}
	back, _, err := q.Client.PreparedQuery().Get(id, consistent(ctx))
	if err != nil {
		return q.explain(ctx, "read back prepared query "+definition.Name, err)
	}
	if len(back) != 1 || !sameQuery(back[0], definition) {
		return fmt.Errorf("prepared query %s in Consul: somebody else wrote it at the same time", definition.Name)
	}
	return nil
}

// Apply lets the query of each service name the live generation, the fence of all of them looked at first. A service
// that has no instances of it names nobody; the query of one that the spec has no more goes.
func (q *Query) Apply(ctx context.Context, _ router.Fence, route rollout.Route) error {
	if err := q.Failpoints.Hit(ctx, failpoint.ApplyBefore); err != nil {
		return err
	}
	if err := checkRoute(route); err != nil {
		return err
	}
	names := catalogNames(route)
	known, parts, err := q.queries(ctx, route.Environment, names...)
	if err != nil {
		return err
	}
	if err := stagedAll(route, parts); err != nil {
		return err
	}
	if len(route.Weights.Numbers()) > 1 {
		return ErrShared
	}
	var due []queryHeld
	for _, h := range known {
		if done, err := h.admits(route); err != nil {
			return err
		} else if !done || !slices.Contains(names, h.definition.Name) {
			due = append(due, h)
		}
	}
	for _, h := range due {
		if slices.Contains(names, h.definition.Name) {
			err = q.put(ctx, queryFor(h.definition, route.Environment, h.definition.Name, queryMark{markOf(route), h.staged}, h.share(route.Weights)))
		} else {
			err = q.delete(ctx, route.Environment, h)
		}
		if err != nil {
			return err
		}
	}
	return q.Failpoints.Hit(ctx, failpoint.ApplySwapped)
}

// Observe reads the queries of the environment, which is at the lowest revision of its services.
func (q *Query) Observe(ctx context.Context, environment string) (router.Observation, error) {
	o, err := q.observation(ctx, rollout.GradeReadBack)
	if err != nil {
		return o, err
	}
	known, parts, err := q.queries(ctx, environment)
	if err != nil {
		return o, err
	}
	good, wanted := map[int]int{}, map[int]int{}
	for _, h := range known {
		for n, staged := range h.staged {
			good[n], wanted[n] = good[n]+1, max(wanted[n], staged.groups)
		}
	}
	o.Staged = complete(good, wanted)
	found := q.recall(environment, o, parts)
	if len(found) > len(parts) && q.hidden.Load() { // what was there a moment ago, and may be there still
		return o, fmt.Errorf("%s in Consul: the token may not read it; it needs: %s", found[len(parts)].name, rules(q.policy))
	}
	whole(found, nil).tell(&o)
	return o, nil
}

// Remove notes in the queries that the generation is no longer known.
func (q *Query) Remove(ctx context.Context, fence router.Fence, environment string, generation int) error {
	known, err := q.owned(ctx, fence, environment)
	if err != nil {
		return err
	}
	for _, h := range known {
		if err := h.keeps(generation); err != nil {
			return err
		}
	}
	for _, h := range known {
		if !slices.Contains(h.has, generation) {
			continue
		}
		left := maps.Clone(h.staged)
		delete(left, generation)
		if err := q.put(ctx, queryFor(h.definition, environment, h.definition.Name, queryMark{h.mark, left}, h.weights)); err != nil {
			return err
		}
	}
	return nil
}

// owned reads the environment's queries for who has this fence.
func (q *Query) owned(ctx context.Context, fence router.Fence, environment string) ([]queryHeld, error) {
	if err := checkNames(environment); err != nil {
		return nil, err
	}
	known, parts, err := q.queries(ctx, environment)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		if err := part.refuses(fence); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// Forget deletes the queries of the environment.
func (q *Query) Forget(ctx context.Context, fence router.Fence, environment string) error {
	known, err := q.owned(ctx, fence, environment)
	if err != nil {
		return err
	}
	for _, h := range known {
		if len(h.has) > 0 || len(h.weights) > 0 {
			return fmt.Errorf("%w: %s has generations %v", router.ErrInUse, h.name, h.has)
		}
	}
	for _, h := range known {
		if err := q.delete(ctx, environment, h); err != nil {
			return err
		}
	}
	return nil
}

func (q *Query) delete(ctx context.Context, environment string, h queryHeld) error {
	q.memory.forget(environment)
	if _, err := q.Client.PreparedQuery().Delete(h.definition.ID, write(ctx)); err != nil && !absent(err) {
		return q.explain(ctx, "delete prepared query "+h.definition.Name, err)
	}
	return nil
}
