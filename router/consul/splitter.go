package consul

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// Splitter switches the traffic of a service mesh. Each service of an environment has a resolver with one subset for
// each generation, and a splitter whose weights are the route's: the splitter is the one entry that a switch writes, by
// compare and set, with the revision in its meta. An environment of several services is switched one splitter after
// the other.
type Splitter struct{ node }

var (
	_ router.Router = (*Splitter)(nil)
	_ router.Pulser = (*Splitter)(nil)
)

// NewSplitter makes the router. It asks nothing yet.
func NewSplitter(o Options) *Splitter { return &Splitter{newNode(o)} }

// Stage adds the generation's subset to the resolver of each of its services, and makes the defaults and the splitter
// that the first switch needs; until then callers get an error, and never a generation that was not promoted.
func (s *Splitter) Stage(ctx context.Context, _ router.Fence, route rollout.Route, generation rollout.Generation) error {
	for _, group := range generation.Groups {
		svc, ok := serviceOf(route, group.Service)
		if !ok {
			continue
		}
		if svc.Protocol != "http" {
			return fmt.Errorf("service %s speaks %s: a splitter shares http only", svc.Name, svc.Protocol)
		}
		name := rollout.CatalogName(route.Environment, svc.Name)
		for _, step := range []func() error{
			func() error { return s.stageDefaults(ctx, route.Environment, name) },
			func() error { return s.stageSubset(ctx, route.Environment, name, generation.Number) },
			func() error { return s.stageSplitter(ctx, route.Environment, name) },
		} {
			if err := step(); err != nil {
				return err
			}
		}
	}
	return nil
}

func serviceOf(route rollout.Route, name string) (rollout.Service, bool) {
	i := slices.IndexFunc(route.Services, func(s rollout.RouteService) bool { return s.Name == name })
	if i < 0 {
		return rollout.Service{}, false
	}
	return route.Services[i].Service, true
}

// stageDefaults says that the service speaks http, unless somebody has said something like it already.
func (s *Splitter) stageDefaults(ctx context.Context, environment, name string) error {
	return s.change(ctx, api.ServiceDefaults, name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
		if entry == nil {
			return &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: name, Protocol: "http",
				Meta: map[string]string{rollout.MetaEnvironment: environment}}, true, nil
		}
		defaults, ok := entry.(*api.ServiceConfigEntry)
		if !ok || !slices.Contains([]string{"http", "http2", "grpc"}, defaults.Protocol) {
			return nil, false, fmt.Errorf("service-defaults of %s in Consul say protocol %q: a splitter needs http, http2 or grpc", name, defaults.Protocol)
		}
		return nil, false, nil
	})
}

func (s *Splitter) stageSubset(ctx context.Context, environment, name string, number int) error {
	return s.change(ctx, api.ServiceResolver, name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
		resolver, err := resolverOf(entry, environment, name)
		if err != nil {
			return nil, false, err
		}
		want := api.ServiceResolverSubset{OnlyPassing: true,
			Filter: fmt.Sprintf("Service.Meta[%q] == %q and Service.Meta[%q] == \"%d\"", rollout.MetaEnvironment, environment, rollout.MetaGeneration, number)}
		if resolver.Subsets[subset(number)] == want {
			return nil, false, nil
		}
		resolver.Subsets = maps.Clone(resolver.Subsets)
		resolver.Subsets[subset(number)] = want
		return resolver, true, nil
	})
}

// errForeign is an entry that somebody else made.
var errForeign = errors.New("an entry of that name was made by somebody else: delete it, or name the service otherwise")

// resolverOf is the resolver that is there, or a new one without generations.
func resolverOf(entry api.ConfigEntry, environment, name string) (*api.ServiceResolverConfigEntry, error) {
	if entry == nil {
		return &api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: name, DefaultSubset: nobody,
			Subsets: map[string]api.ServiceResolverSubset{nobody: {Filter: `Service.Meta["` + rollout.MetaGeneration + `"] == "0"`, OnlyPassing: true}},
			Meta:    map[string]string{rollout.MetaEnvironment: environment}}, nil
	}
	resolver, ok := entry.(*api.ServiceResolverConfigEntry)
	if !ok || resolver.Meta[rollout.MetaEnvironment] != environment {
		return nil, fmt.Errorf("resolver %s in Consul: %w", name, errForeign)
	}
	return resolver, nil
}

// stageSplitter makes a splitter to nobody where there is none.
func (s *Splitter) stageSplitter(ctx context.Context, environment, name string) error {
	return s.change(ctx, api.ServiceSplitter, name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
		if entry != nil {
			_, err := heldBy(entry, environment, name)
			return nil, false, err
		}
		return splitterFor(environment, name, mark{}, nil), true, nil
	})
}

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

// heldBy reads what a splitter does. What is not a generation's has no share in the weights, so that a splitter which
// somebody edited does not look like one of ours.
func heldBy(entry api.ConfigEntry, environment, name string) (held, error) {
	splitter, ok := entry.(*api.ServiceSplitterConfigEntry)
	if !ok || splitter.Meta[rollout.MetaEnvironment] != environment {
		return held{}, fmt.Errorf("splitter %s in Consul: %w", name, errForeign)
	}
	h := held{mark: parseMark(splitter.Meta), weights: rollout.Weights{}}
	for _, split := range splitter.Splits {
		if number, ok := generationOf(split.ServiceSubset); ok && split.Weight > 0 && (split.Service == "" || split.Service == name) {
			h.weights[number] += int(split.Weight)
		}
	}
	return h, nil
}

// Apply writes the splitter of each service, the fence of all of them looked at first. What a service has no instances
// of, since it came into the spec later, goes to nobody there.
func (s *Splitter) Apply(ctx context.Context, _ router.Fence, route rollout.Route) error {
	if err := s.Failpoints.Hit(ctx, failpoint.ApplyBefore); err != nil {
		return err
	}
	shares, err := s.admit(ctx, route)
	if err != nil {
		return err
	}
	for name, weights := range shares {
		err := s.change(ctx, api.ServiceSplitter, name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
			if entry != nil {
				h, err := heldBy(entry, route.Environment, name)
				if err != nil {
					return nil, false, err
				}
				h = h.asWhole(weights, route)
				if done, err := h.admits(route); done || err != nil {
					return nil, false, err
				}
			}
			return splitterFor(route.Environment, name, markOf(route), weights), true, nil
		})
		if err != nil {
			return err
		}
	}
	return s.Failpoints.Hit(ctx, failpoint.ApplySwapped)
}

// asWhole reads a splitter that leaves out what its service has no instances of as if it were the whole route's.
func (h held) asWhole(weights rollout.Weights, route rollout.Route) held {
	if maps.Equal(h.weights, weights) {
		h.weights = route.Weights
	}
	return h
}

// admit asks every service whether the route may be written, and which weights it can have there.
func (s *Splitter) admit(ctx context.Context, route rollout.Route) (map[string]rollout.Weights, error) {
	shares := map[string]rollout.Weights{}
	staged := map[int]bool{}
	for _, svc := range route.Services {
		name := rollout.CatalogName(route.Environment, svc.Name)
		entry, err := s.entry(ctx, api.ServiceResolver, name)
		if err != nil {
			return nil, err
		}
		if entry == nil {
			continue // no generation has a group of it
		}
		resolver, err := resolverOf(entry, route.Environment, name)
		if err != nil {
			return nil, err
		}
		shares[name] = rollout.Weights{}
		for _, n := range route.Weights.Numbers() {
			if _, ok := resolver.Subsets[subset(n)]; ok {
				shares[name][n], staged[n] = route.Weights[n], true
			}
		}
		splitter, err := s.entry(ctx, api.ServiceSplitter, name)
		if err != nil {
			return nil, err
		}
		if splitter != nil {
			h, err := heldBy(splitter, route.Environment, name)
			if err == nil {
				_, err = h.asWhole(shares[name], route).admits(route)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for _, n := range route.Weights.Numbers() {
		if !staged[n] {
			return nil, fmt.Errorf("%w: generation %d", router.ErrNotStaged, n)
		}
	}
	return shares, nil
}
