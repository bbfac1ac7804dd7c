package consul

import (
	"cmp"
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

// metaOpen marks a resolver and a splitter of a name that callers may have known before: as long as no generation has
// weight they get every instance, as they did.
const metaOpen = "viridian-open"

// member is a generation in a resolver. How many services have it is noted there, so that it is missed when one of them
// has lost it, and the sum of its filter, so that an edit is seen.
type member struct {
	generation int
	groups     int
	filter     string
	open       bool // see [metaOpen]; of a resolver that is ours already, nothing changes
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
	if isOpen(resolver) {
		out.DefaultSubset = ""
	}
	return out
}

func isOpen(resolver *api.ServiceResolverConfigEntry) bool {
	return resolver != nil && resolver.Meta[metaOpen] != ""
}

// open says whether either of the pair says so: the other one may have lost its mark by somebody's hand.
func (p pair) open() bool {
	return isOpen(p.resolver) || (p.splitter != nil && p.splitter.Meta[metaOpen] != "")
}

// resolverFor is the resolver with the generation.
func resolverFor(resolver *api.ServiceResolverConfigEntry, environment, name string, m member) *api.ServiceResolverConfigEntry {
	out := resolverBase(resolver, environment, name)
	out.Subsets[subset(m.generation)] = api.ServiceResolverSubset{OnlyPassing: true, Filter: m.filter}
	out.Meta[metaMember+subset(m.generation)] = m.note()
	if m.open && (resolver == nil || resolver.Meta[rollout.MetaEnvironment] == "") {
		out.DefaultSubset, out.Meta[metaOpen] = "", "true"
	}
	return out
}

// alike compares resolvers by what we write.
func alike(a, b *api.ServiceResolverConfigEntry) bool {
	return a != nil && a.DefaultSubset == b.DefaultSubset && a.Redirect == nil && maps.Equal(a.Subsets, b.Subsets) && maps.Equal(a.Meta, b.Meta)
}

// splitterFor shares by the weights that the service can serve; what is left over goes to nobody. An open service that
// has no part in the weights is led as if there were no splitter.
func splitterFor(environment, name string, m mark, weights rollout.Weights, open bool) *api.ServiceSplitterConfigEntry {
	out := &api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: name, Meta: m.meta(environment)}
	if open {
		out.Meta[metaOpen] = "true"
	}
	rest := 100
	for _, n := range weights.Numbers() {
		out.Splits = append(out.Splits, api.ServiceSplit{Weight: float32(weights[n]), ServiceSubset: subset(n)})
		rest -= weights[n]
	}
	switch {
	case open && rest == 100:
		out.Splits = []api.ServiceSplit{{Weight: 100}}
	case rest > 0:
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

// owner is the environment whose mark the pair has.
func (p pair) owner() string {
	if p.resolver != nil && p.resolver.Meta[rollout.MetaEnvironment] != "" {
		return p.resolver.Meta[rollout.MetaEnvironment]
	}
	if p.splitter != nil {
		return p.splitter.Meta[rollout.MetaEnvironment]
	}
	return ""
}

// sources are the generations that the resolver has, by what finds their instances.
func (p pair) sources() map[int]source {
	out := map[int]source{}
	if p.resolver == nil {
		return out
	}
	for name, s := range p.resolver.Subsets {
		if n, ok := generationOf(name); ok {
			out[n] = source{service: p.name, filter: s.Filter}
		}
	}
	return out
}

// held reads what the pair does.
func (p pair) held(environment string) held {
	h := held{name: "splitter " + p.name, weights: rollout.Weights{}}
	h.has = slices.Sorted(maps.Keys(p.sources()))
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
	switch wanted := splitterFor(environment, p.name, h.mark, h.weights, p.open()).Splits; {
	case !ok:
		h.edited = h.name + " was written by somebody else, and has " + weightsText(h.weights)
	case !sameSplits(p.name, p.splitter.Splits, wanted):
		h.edited = h.name + " was changed by hand, and has " + splitsText(p.splitter.Splits)
	}
	return h
}

func sameSplits(name string, a, b []api.ServiceSplit) bool {
	by := func(x, y api.ServiceSplit) int { return int(x.Weight*100) - int(y.Weight*100) }
	a, b = slices.SortedStableFunc(slices.Values(a), by), slices.SortedStableFunc(slices.Values(b), by)
	return slices.EqualFunc(a, b, func(x, y api.ServiceSplit) bool {
		return x.Weight == y.Weight && cmp.Or(x.Service, name) == cmp.Or(y.Service, name) && x.ServiceSubset == y.ServiceSubset && x.RequestHeaders == nil && x.ResponseHeaders == nil
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
