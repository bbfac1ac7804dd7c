package consul

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// nobody is the subset that no instance belongs to: where traffic goes while no generation has weight.
const nobody = "nobody"

// nobodyFilter is of a generation that there never is.
const nobodyFilter = `Service.Meta["` + rollout.MetaGeneration + `"] == "0"`

// metaMember begins the keys under which a resolver notes each subset, see [member].
const metaMember = "viridian-member-"

// member is a generation in a resolver. How many services have it is noted there, so that it is missed when one of them
// has lost it, and the sum of its filter, so that an edit is seen.
type member struct {
	generation int
	groups     int
	filter     string
}

func (m member) note() string { return strconv.Itoa(m.groups) + " " + sum([]byte(m.filter)) }

// memberOf reads a note back, with the filter that the resolver has.
func memberOf(resolver *api.ServiceResolverConfigEntry, key, note string) (m member, ok bool) {
	name, found := strings.CutPrefix(key, metaMember)
	m.generation, ok = generationOf(name)
	groups, _, _ := strings.Cut(note, " ")
	var err error
	m.groups, err = strconv.Atoi(groups)
	m.filter = resolver.Subsets[name].Filter
	return m, found && ok && err == nil
}

// resolverBase is what every resolver of ours has besides generations. What somebody set for how callers connect is kept.
func resolverBase(resolver *api.ServiceResolverConfigEntry, environment, name string) *api.ServiceResolverConfigEntry {
	out := &api.ServiceResolverConfigEntry{}
	if resolver != nil {
		*out = *resolver
	}
	out.Kind, out.Name, out.DefaultSubset, out.Redirect = api.ServiceResolver, name, nobody, nil
	out.Subsets, out.Meta = maps.Clone(out.Subsets), maps.Clone(out.Meta)
	if out.Subsets == nil {
		out.Subsets = map[string]api.ServiceResolverSubset{}
	}
	if out.Meta == nil {
		out.Meta = map[string]string{}
	}
	out.Subsets[nobody] = api.ServiceResolverSubset{Filter: nobodyFilter, OnlyPassing: true}
	out.Meta[rollout.MetaEnvironment] = environment
	return out
}

// resolverFor is the resolver with the generation.
func resolverFor(resolver *api.ServiceResolverConfigEntry, environment, name string, m member) *api.ServiceResolverConfigEntry {
	out := resolverBase(resolver, environment, name)
	out.Subsets[subset(m.generation)] = api.ServiceResolverSubset{OnlyPassing: true, Filter: m.filter}
	out.Meta[metaMember+subset(m.generation)] = m.note()
	return out
}

// alike compares resolvers by what we write.
func alike(a, b *api.ServiceResolverConfigEntry) bool {
	return a != nil && a.DefaultSubset == b.DefaultSubset && a.Redirect == nil && maps.Equal(a.Subsets, b.Subsets) && maps.Equal(a.Meta, b.Meta)
}

// splitterFor shares by the weights that the service can serve; what is left over goes to nobody.
func splitterFor(environment, name string, m mark, weights rollout.Weights) *api.ServiceSplitterConfigEntry {
	out := &api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: name, Meta: m.meta(environment)}
	rest := 100
	for _, n := range weights.Numbers() {
		out.Splits = append(out.Splits, api.ServiceSplit{Weight: float32(weights[n]), ServiceSubset: subset(n)})
		rest -= weights[n]
	}
	if rest > 0 {
		out.Splits = append(out.Splits, api.ServiceSplit{Weight: float32(rest), ServiceSubset: nobody})
	}
	return out
}

// pair is what Consul has of one service of an environment; either may be missing.
type pair struct {
	name     string
	resolver *api.ServiceResolverConfigEntry
	splitter *api.ServiceSplitterConfigEntry
}

func pairOf(name string, resolver, splitter api.ConfigEntry) pair {
	p := pair{name: name}
	p.resolver, _ = resolver.(*api.ServiceResolverConfigEntry)
	p.splitter, _ = splitter.(*api.ServiceSplitterConfigEntry)
	return p
}

// ours says whether the pair is the environment's. What lost its mark by somebody's hand is, as long as the other one
// has it.
func (p pair) ours(environment string) bool {
	return (p.resolver != nil && p.resolver.Meta[rollout.MetaEnvironment] == environment) ||
		(p.splitter != nil && p.splitter.Meta[rollout.MetaEnvironment] == environment)
}

// held reads what the pair does.
func (p pair) held(environment string) held {
	h := held{name: "splitter " + p.name, weights: rollout.Weights{}}
	if p.resolver != nil {
		for name := range p.resolver.Subsets {
			if n, ok := generationOf(name); ok {
				h.has = append(h.has, n)
			}
		}
		slices.Sort(h.has)
	}
	if p.splitter == nil {
		return h
	}
	var ok bool
	h.mark, ok = parseMark(p.splitter.Meta)
	for _, split := range p.splitter.Splits {
		if n, isOurs := generationOf(split.ServiceSubset); isOurs && split.Weight > 0 && (split.Service == "" || split.Service == p.name) {
			h.weights[n] += int(split.Weight)
		}
	}
	switch wanted := splitterFor(environment, p.name, h.mark, h.weights).Splits; {
	case !ok:
		h.edited = h.name + " was written by somebody else, and has " + weightsText(h.weights)
	case !sameSplits(p.splitter.Splits, wanted):
		h.edited = h.name + " was changed by hand, and has " + splitsText(p.splitter.Splits)
	}
	return h
}

func sameSplits(a, b []api.ServiceSplit) bool {
	by := func(x, y api.ServiceSplit) int { return int(x.Weight*100) - int(y.Weight*100) }
	a, b = slices.SortedStableFunc(slices.Values(a), by), slices.SortedStableFunc(slices.Values(b), by)
	return slices.EqualFunc(a, b, func(x, y api.ServiceSplit) bool {
		return x.Weight == y.Weight && x.ServiceSubset == y.ServiceSubset && x.RequestHeaders == nil && x.ResponseHeaders == nil
	})
}

func splitsText(splits []api.ServiceSplit) string {
	text := ""
	for i, s := range splits {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s %s: %g", s.Service, s.ServiceSubset, s.Weight)
	}
	return text
}
