package consul

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// ownerPrefix begins the id of a check that a query is to ignore and that there is nowhere. It says whose the query is
// where the meta that it asks for does not, and narrows nothing.
const ownerPrefix = "viridian:"

// environmentOf is the environment that a query was made for; empty for somebody else's.
func environmentOf(q *api.PreparedQueryDefinition) string {
	for _, id := range q.Service.IgnoreCheckIDs {
		if environment, ok := strings.CutPrefix(id, ownerPrefix); ok {
			return environment
		}
	}
	return q.Service.ServiceMeta[rollout.MetaEnvironment]
}

// named is what a query asks for.
type named struct {
	service string
	rollout.Selection
}

// names is what the query asks for to answer with a generation; with nobody, for 0.
func (m queryMark) names(environment, name string, generation int) named {
	if group := m.staged[generation]; group.source.adopted {
		if s, err := rollout.ParseSelection(group.source.filter); err == nil && group.source.filter != "" {
			return named{group.source.service, s}
		}
		generation = 0 // Stage refuses such a filter
	}
	return named{name, rollout.Selection{ServiceMeta: map[string]string{rollout.MetaEnvironment: environment, rollout.MetaGeneration: strconv.Itoa(generation)}}}
}

func namedBy(q *api.PreparedQueryDefinition) named {
	tags := slices.DeleteFunc(slices.Clone(q.Service.Tags), func(tag string) bool { return strings.HasPrefix(tag, markPrefix) })
	return named{q.Service.Service, rollout.Selection{Tags: tags, ServiceMeta: q.Service.ServiceMeta, NodeMeta: q.Service.NodeMeta}}
}

func (n named) equal(other named) bool {
	return n.service == other.service && slices.Equal(n.Tags, other.Tags) && maps.Equal(n.ServiceMeta, other.ServiceMeta) && maps.Equal(n.NodeMeta, other.NodeMeta)
}

// queryFor is the prepared query of a service. What somebody set of how near the answers are is kept.
func queryFor(old *api.PreparedQueryDefinition, environment, name string, m queryMark, weights rollout.Weights) *api.PreparedQueryDefinition {
	out := &api.PreparedQueryDefinition{}
	if old != nil {
		*out = *old
	}
	generation := 0
	if numbers := weights.Numbers(); len(numbers) == 1 {
		generation = numbers[0]
	}
	asks := m.names(environment, name, generation)
	out.Name, out.Service.Service, out.Service.OnlyPassing, out.DNS.TTL = name, asks.service, true, "0s"
	out.Service.Tags, out.Service.ServiceMeta, out.Service.NodeMeta = append([]string{m.tag()}, asks.Tags...), asks.ServiceMeta, asks.NodeMeta
	out.Service.IgnoreCheckIDs = owned(out.Service.IgnoreCheckIDs, environment, m.staged[generation].source.adopted)
	return out
}

// owned are the checks to ignore, with what says whose the query is where that is needed, and without it elsewhere.
func owned(ids []string, environment string, needed bool) []string {
	own := ownerPrefix + environment
	ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
		return strings.HasPrefix(id, ownerPrefix) && (id != own || !needed)
	})
	if needed && !slices.Contains(ids, own) {
		ids = append(ids, own)
	}
	return ids
}

// sameQuery compares queries by what we write.
func sameQuery(a, b *api.PreparedQueryDefinition) bool {
	return a.Name == b.Name && a.Service.OnlyPassing == b.Service.OnlyPassing && a.DNS.TTL == b.DNS.TTL && namedBy(a).equal(namedBy(b)) &&
		slices.Equal(a.Service.Tags, b.Service.Tags) && slices.Equal(a.Service.IgnoreCheckIDs, b.Service.IgnoreCheckIDs)
}

// queryHeld is a query that was read.
type queryHeld struct {
	held
	staged     map[int]stagedGroup // see [queryMark]
	definition *api.PreparedQueryDefinition
}

func (h queryHeld) sources() map[int]source { return queryMark{h.mark, h.staged}.sources() }

// heldByQuery reads what the query of a service does.
func heldByQuery(environment string, q *api.PreparedQueryDefinition) queryHeld {
	m, ok := parseQueryMark(environment, q.Name, q.Service.Tags)
	h := queryHeld{definition: q, staged: m.staged, held: held{mark: m.mark, name: "prepared query " + q.Name, has: m.numbers(), weights: rollout.Weights{}}}
	if n := m.generation(environment, q); n > 0 {
		h.weights[n] = 100
	}
	switch {
	case !ok:
		h.edited = h.name + " was written by somebody else, and names " + weightsText(h.weights)
	case !sameQuery(q, queryFor(q, environment, q.Name, m, h.weights)):
		h.edited = h.name + " was changed by hand, and names " + weightsText(h.weights)
	}
	return h
}

// generation is the one that the query names; 0 for none.
func (m queryMark) generation(environment string, q *api.PreparedQueryDefinition) int {
	for _, n := range append([]int{m.Live}, m.numbers()...) {
		if n > 0 && m.names(environment, q.Name, n).equal(namedBy(q)) {
			return n
		}
	}
	n, _ := strconv.Atoi(q.Service.ServiceMeta[rollout.MetaGeneration])
	return max(n, 0)
}
