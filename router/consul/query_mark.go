package consul

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// markPrefix begins the tag that carries a query's mark. It is a tag that instances must not have, so that it says
// something to us and nothing to Consul.
const markPrefix = "!viridian:"

// noGeneration is what a query names that is to answer nobody.
const noGeneration = "0"

// queryMark is what is kept in a query beside the generation that it names.
type queryMark struct {
	mark
	groups map[int]int // of each known generation, how many services have it
}

func (m queryMark) numbers() []int { return slices.Sorted(maps.Keys(m.groups)) }

func (m queryMark) tag() string {
	var staged []string
	for _, n := range m.numbers() {
		staged = append(staged, strconv.Itoa(n)+"*"+strconv.Itoa(m.groups[n]))
	}
	return markPrefix + strings.Join([]string{strconv.FormatInt(m.Revision, 10), strconv.FormatInt(m.SpecVersion, 10),
		strconv.Itoa(m.Live), strconv.Itoa(m.Previous), strings.Join(staged, "+")}, ":")
}

// parseQueryMark reads the mark among the tags; ok is false when there is none that we wrote.
func parseQueryMark(tags []string) (m queryMark, ok bool) {
	if len(tags) != 1 {
		return m, false
	}
	text, found := strings.CutPrefix(tags[0], markPrefix)
	fields := strings.Split(text, ":")
	if !found || len(fields) != 5 {
		return m, false
	}
	m.groups = map[int]int{}
	m.mark, ok = parseMark(map[string]string{metaRevision: fields[0], metaSpecVersion: fields[1], metaLive: fields[2], metaPrevious: fields[3]})
	for word := range strings.SplitSeq(fields[4], "+") {
		number, of, _ := strings.Cut(word, "*")
		n, errN := strconv.Atoi(number)
		groups, errG := strconv.Atoi(of)
		if errN == nil && errG == nil && n > 0 {
			m.groups[n] = groups
		}
	}
	return m, ok && m.tag() == tags[0]
}

// queryFor is the prepared query of a service. What somebody set of how near the answers are is kept.
func queryFor(old *api.PreparedQueryDefinition, environment, name string, m queryMark, weights rollout.Weights) *api.PreparedQueryDefinition {
	out := &api.PreparedQueryDefinition{}
	if old != nil {
		*out = *old
	}
	out.Name, out.Service.Service, out.Service.OnlyPassing, out.DNS.TTL = name, name, true, "0s"
	out.Service.Tags = []string{m.tag()}
	out.Service.ServiceMeta = map[string]string{rollout.MetaEnvironment: environment, rollout.MetaGeneration: noGeneration}
	if numbers := weights.Numbers(); len(numbers) == 1 {
		out.Service.ServiceMeta[rollout.MetaGeneration] = strconv.Itoa(numbers[0])
	}
	return out
}

// sameQuery compares queries by what we write.
func sameQuery(a, b *api.PreparedQueryDefinition) bool {
	return a.Name == b.Name && a.Service.Service == b.Service.Service && a.Service.OnlyPassing == b.Service.OnlyPassing && a.DNS.TTL == b.DNS.TTL &&
		slices.Equal(a.Service.Tags, b.Service.Tags) && maps.Equal(a.Service.ServiceMeta, b.Service.ServiceMeta)
}

// queryHeld is a query that was read.
type queryHeld struct {
	held
	groups     map[int]int // see [queryMark]
	definition *api.PreparedQueryDefinition
}

// heldByQuery reads what the query of a service does.
func heldByQuery(environment string, q *api.PreparedQueryDefinition) queryHeld {
	m, ok := parseQueryMark(q.Service.Tags)
	h := queryHeld{definition: q, groups: m.groups, held: held{mark: m.mark, name: "prepared query " + q.Name, has: m.numbers(), weights: rollout.Weights{}}}
	if n, err := strconv.Atoi(q.Service.ServiceMeta[rollout.MetaGeneration]); err == nil && n > 0 {
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
