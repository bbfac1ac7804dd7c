package consul

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// nobody is the subset that no instance belongs to: where traffic goes while no generation has weight.
const nobody = "nobody"

// nobodyFilter is of a generation that there never is.
const nobodyFilter = `Service.Meta["` + rollout.MetaGeneration + `"] == "0"`

// metaGroups begins the keys under which a resolver notes, for each subset, how many services have the generation, so
// that it is missed when one of them has lost it.
const metaGroups = "viridian-groups-"

// filterOf finds the instances of a generation, by what every one of them has in its meta.
func filterOf(environment string, generation int) string {
	return fmt.Sprintf("Service.Meta[%q] == %q and Service.Meta[%q] == \"%d\"", rollout.MetaEnvironment, environment, rollout.MetaGeneration, generation)
}

func subsetOf(environment string, generation int) api.ServiceResolverSubset {
	return api.ServiceResolverSubset{OnlyPassing: true, Filter: filterOf(environment, generation)}
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

// resolverFor is the resolver with the generation, which so many services have.
func resolverFor(resolver *api.ServiceResolverConfigEntry, environment, name string, generation, groups int) *api.ServiceResolverConfigEntry {
	out := resolverBase(resolver, environment, name)
	out.Subsets[subset(generation)] = subsetOf(environment, generation)
	out.Meta[metaGroups+subset(generation)] = strconv.Itoa(groups)
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

func (p pair) empty() bool { return p.resolver == nil && p.splitter == nil }

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
