package consul

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// Query switches what Consul's DNS answers: each service of an environment has a prepared query of its catalog name,
// asked as <environment>-<service>.query.consul, that names one generation by its tag. Consul does not compare when a
// query is written, so a write is read, compared, written and read back under the lease.
type Query struct{ node }

var (
	_ router.Router = (*Query)(nil)
	_ router.Pulser = (*Query)(nil)
)

// NewQuery makes the router. It asks nothing yet.
func NewQuery(o Options) *Query { return &Query{newNode(o)} }

// ErrShared is a route that shares traffic: a prepared query names one generation.
var ErrShared = errors.New("a prepared query names one generation: weights are 0 or 100 there")

// markPrefix begins the tag that carries a query's mark. It is a tag that instances must not have, so that it says
// something to us and nothing to Consul.
const markPrefix = "!viridian:"

// noGeneration is a tag that no instance has.
const noGeneration = "viridian-nobody"

// queryMark is what is kept in a query beside the generation that it names.
type queryMark struct {
	mark
	environment string
	staged      []int
}

func (m queryMark) tag() string {
	var staged []string
	for _, n := range m.staged {
		staged = append(staged, strconv.Itoa(n))
	}
	return markPrefix + strings.Join([]string{m.environment, strconv.FormatInt(m.Revision, 10), strconv.FormatInt(m.SpecVersion, 10),
		strconv.Itoa(m.Live), strconv.Itoa(m.Previous), strings.Join(staged, "+")}, ":")
}

// parseQueryMark reads the mark among the tags; ok is false when there is none that we wrote.
func parseQueryMark(tags []string) (m queryMark, ok bool) {
	for _, tag := range tags {
		text, found := strings.CutPrefix(tag, markPrefix)
		fields := strings.Split(text, ":")
		if !found || len(fields) != 6 {
			continue
		}
		m.mark = parseMark(map[string]string{metaRevision: fields[1], metaSpecVersion: fields[2], metaLive: fields[3], metaPrevious: fields[4]})
		m.environment = fields[0]
		for word := range strings.SplitSeq(fields[5], "+") {
			if n, err := strconv.Atoi(word); err == nil {
				m.staged = append(m.staged, n)
			}
		}
		return m, true
	}
	return queryMark{}, false
}

// queryHeld is a query that was read.
type queryHeld struct {
	queryMark
	definition *api.PreparedQueryDefinition
	weights    rollout.Weights
}

func heldByQuery(q *api.PreparedQueryDefinition) (queryHeld, bool) {
	m, ok := parseQueryMark(q.Service.Tags)
	h := queryHeld{queryMark: m, definition: q, weights: rollout.Weights{}}
	for _, tag := range q.Service.Tags {
		if n, isGeneration := generationOf(tag); isGeneration {
			h.weights[n] = 100
		}
	}
	return h, ok
}

// queries reads the queries of the environment.
func (q *Query) queries(ctx context.Context, environment string) ([]queryHeld, error) {
	all, _, err := q.Client.PreparedQuery().List(consistent(ctx))
	if err != nil {
		return nil, explain(ctx, "list prepared queries", err)
	}
	var out []queryHeld
	for _, definition := range all {
		if h, ok := heldByQuery(definition); ok && h.environment == environment {
			out = append(out, h)
		}
	}
	slices.SortFunc(out, func(a, b queryHeld) int { return strings.Compare(a.definition.Name, b.definition.Name) })
	return out, nil
}

// Stage makes the query of each service of the generation, which names nobody until the first switch, and notes there
// that the generation is known.
func (q *Query) Stage(ctx context.Context, _ router.Fence, route rollout.Route, generation rollout.Generation) error {
	known, err := q.queries(ctx, route.Environment)
	if err != nil {
		return err
	}
	for _, group := range generation.Groups {
		if _, ok := serviceOf(route, group.Service); !ok {
			continue
		}
		name := rollout.CatalogName(route.Environment, group.Service)
		i := slices.IndexFunc(known, func(h queryHeld) bool { return h.definition.Name == name })
		if i < 0 {
			h := queryHeld{queryMark: queryMark{environment: route.Environment, staged: []int{generation.Number}},
				definition: &api.PreparedQueryDefinition{Name: name, Service: api.ServiceQuery{Service: name, OnlyPassing: true}}}
			if err := q.put(ctx, h); err != nil {
				return err
			}
			continue
		}
		h := known[i]
		if slices.Contains(h.staged, generation.Number) {
			continue
		}
		h.staged = append(slices.Clone(h.staged), generation.Number)
		slices.Sort(h.staged)
		if err := q.put(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// put writes a query as it is to be, and reads it back.
func (q *Query) put(ctx context.Context, h queryHeld) error {
	definition := *h.definition
	definition.Service.Tags = []string{noGeneration, h.tag()}
	if numbers := h.weights.Numbers(); len(numbers) == 1 {
		definition.Service.Tags[0] = subset(numbers[0])
	}
	id := definition.ID
	var err error
	if id == "" {
		id, _, err = q.Client.PreparedQuery().Create(&definition, write(ctx))
	} else {
		_, err = q.Client.PreparedQuery().Update(&definition, write(ctx))
	}
	if err != nil {
		return explain(ctx, "write prepared query "+definition.Name, err)
	}
	back, _, err := q.Client.PreparedQuery().Get(id, consistent(ctx))
	if err != nil {
		return explain(ctx, "read back prepared query "+definition.Name, err)
	}
	if len(back) != 1 || !slices.Equal(back[0].Service.Tags, definition.Service.Tags) {
		return fmt.Errorf("prepared query %s in Consul: somebody else wrote it at the same time", definition.Name)
	}
	return nil
}

// Apply lets the query of each service name the live generation, the fence of all of them looked at first. A service
// that has no instances of it names nobody.
func (q *Query) Apply(ctx context.Context, _ router.Fence, route rollout.Route) error {
	if err := q.Failpoints.Hit(ctx, failpoint.ApplyBefore); err != nil {
		return err
	}
	if len(route.Weights.Numbers()) > 1 {
		return ErrShared
	}
	known, err := q.queries(ctx, route.Environment)
	if err != nil {
		return err
	}
	var due []queryHeld
	staged := false
	for _, h := range known {
		mine := rollout.Weights{}
		for _, n := range route.Weights.Numbers() {
			if slices.Contains(h.staged, n) {
				mine[n], staged = 100, true
			}
		}
		done, err := held{h.mark, h.weights}.asWhole(mine, route).admits(route)
		if err != nil {
			return err
		}
		if !done {
			h.mark, h.weights = markOf(route), mine
			due = append(due, h)
		}
	}
	if numbers := route.Weights.Numbers(); len(numbers) > 0 && !staged {
		return fmt.Errorf("%w: generation %d", router.ErrNotStaged, numbers[0])
	}
	for _, h := range due {
		if err := q.put(ctx, h); err != nil {
			return err
		}
	}
	return q.Failpoints.Hit(ctx, failpoint.ApplySwapped)
}

// Observe reads the queries of the environment, which is at the lowest revision of its services.
func (q *Query) Observe(ctx context.Context, environment string) (router.Observation, error) {
	receipt, err := q.receipt(ctx, rollout.GradeReadBack)
	if err != nil {
		return router.Observation{}, err
	}
	o := router.Observation{Receipt: receipt}
	known, err := q.queries(ctx, environment)
	if err != nil {
		return o, err
	}
	var whole held
	for i, h := range known {
		now := held{h.mark, h.weights}
		switch {
		case i == 0:
			whole = now
		case now.Revision != whole.Revision:
			o.Error = fmt.Sprintf("the services are at revisions %d and %d", whole.Revision, now.Revision)
			if now.Revision < whole.Revision {
				whole = now
			}
		default:
			whole = whole.with(now)
		}
		for _, n := range h.staged {
			if !slices.Contains(o.Staged, n) {
				o.Staged = append(o.Staged, n)
			}
		}
	}
	slices.Sort(o.Staged)
	o.Revision, o.SpecVersion, o.Hash = whole.Revision, whole.SpecVersion, whole.hash()
	if len(whole.weights) > 0 {
		o.Weights = whole.weights
	}
	return o, nil
}

// Remove notes in the queries that the generation is no longer known.
func (q *Query) Remove(ctx context.Context, _ router.Fence, environment string, generation int) error {
	known, err := q.queries(ctx, environment)
	if err != nil {
		return err
	}
	for _, h := range known {
		if h.weights.Carries(generation) || h.Live == generation || h.Previous == generation {
			return fmt.Errorf("%w: prepared query %s", router.ErrInUse, h.definition.Name)
		}
	}
	for _, h := range known {
		if !slices.Contains(h.staged, generation) {
			continue
		}
		h.staged = slices.DeleteFunc(slices.Clone(h.staged), func(n int) bool { return n == generation })
		if err := q.put(ctx, h); err != nil {
			return err
		}
	}
	return nil
}

// Forget deletes the queries of the environment.
func (q *Query) Forget(ctx context.Context, _ router.Fence, environment string) error {
	known, err := q.queries(ctx, environment)
	if err != nil {
		return err
	}
	for _, h := range known {
		if len(h.staged) > 0 || h.weights.Sum() > 0 {
			return fmt.Errorf("%w: generations %v are staged", router.ErrInUse, h.staged)
		}
	}
	for _, h := range known {
		if _, err := q.Client.PreparedQuery().Delete(h.definition.ID, write(ctx)); err != nil {
			return explain(ctx, "delete prepared query "+h.definition.Name, err)
		}
	}
	return nil
}
