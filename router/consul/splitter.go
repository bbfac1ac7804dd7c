package consul

import (
	"context"
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
func NewSplitter(o Options) *Splitter { return &Splitter{newNode(o, splitterPolicy)} }

// Stage adds the generation's subset to the resolver of each of its services, once Consul's catalog has every instance,
// and makes the defaults and the splitter that the first switch needs. Until then callers get an error, and never a
// generation that was not promoted; where they may have known the name before, they get what they got.
func (s *Splitter) Stage(ctx context.Context, fence router.Fence, route rollout.Route, generation rollout.Generation) error {
	groups, err := places(route, generation)
	if err != nil {
		return err
	}
	pairs, parts, err := s.read(ctx, route.Environment, slices.Collect(maps.Keys(groups))...)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		p, part := pair{name: name}, held{}
		if i := slices.IndexFunc(pairs, func(p pair) bool { return p.name == name }); i >= 0 {
			p, part = pairs[i], parts[i]
		}
		if err := switchable(name, generation.Number, groups[name]); err != nil {
			return err
		}
		if err := groups[name].source.told(route, generation.Number, part, p.sources()); err != nil {
			return err
		}
	}
	if err := s.stageable(ctx, fence, route, generation, groups, parts); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		p := groups[name]
		known := p.source.adopted || p.service.CatalogName != ""
		if err := s.stageOne(ctx, route.Environment, name, member{generation.Number, len(groups), p.source.filter, known}); err != nil {
			return err
		}
	}
	return nil
}

// switchable refuses what a splitter cannot lead to.
func switchable(name string, generation int, p place) error {
	switch {
	case p.service.Protocol != "http":
		return fmt.Errorf("service %s speaks %s: a splitter shares http only", p.service.Name, p.service.Protocol)
	case p.source.service != name:
		return fmt.Errorf("generation %d: its instances were adopted from service %s of Consul, and what is switched there is service %s: "+
			"an environment whose service has \"catalog_name\": %q can adopt them", generation, p.source.service, name, p.source.service)
	}
	return nil
}

// stageOne writes the entries in the order in which they depend on each other.
func (s *Splitter) stageOne(ctx context.Context, environment, name string, generation member) error {
	if err := s.stageDefaults(ctx, environment, name); err != nil {
		return err
	}
	open := false
	err := s.change(ctx, api.ServiceResolver, name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
		resolver, _ := entry.(*api.ServiceResolverConfigEntry)
		next := resolverFor(resolver, environment, name, generation)
		open = isOpen(next)
		return next, !alike(resolver, next), nil
	})
	if err != nil {
		return err
	}
	return s.change(ctx, api.ServiceSplitter, name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
		return splitterFor(environment, name, mark{}, nil, open), entry == nil, nil
	})
}

// stageDefaults says that the service speaks http, unless somebody has said something like it.
func (s *Splitter) stageDefaults(ctx context.Context, environment, name string) error {
	return s.change(ctx, api.ServiceDefaults, name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
		defaults, ok := entry.(*api.ServiceConfigEntry)
		switch {
		case entry == nil:
			return &api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: name, Protocol: "http",
				Meta: map[string]string{rollout.MetaEnvironment: environment}}, true, nil
		case ok && slices.Contains([]string{"http", "http2", "grpc"}, defaults.Protocol):
			return nil, false, nil
		case ok && defaults.Meta[rollout.MetaEnvironment] == environment:
			mended := *defaults
			mended.Protocol = "http"
			return &mended, true, nil
		}
		return nil, false, fmt.Errorf("service-defaults of %s in Consul do not say protocol http, http2 or grpc, which a splitter needs", name)
	})
}

// Apply writes the splitter of each service, the fence of all of them looked at first. What a service has no instances
// of, since it came into the spec later, goes to nobody there. The entries of services that the spec has no more go.
func (s *Splitter) Apply(ctx context.Context, _ router.Fence, route rollout.Route) error {
	if err := s.Failpoints.Hit(ctx, failpoint.ApplyBefore); err != nil {
		return err
	}
	if err := checkRoute(route); err != nil {
		return err
	}
	names := catalogNames(route)
	pairs, parts, err := s.read(ctx, route.Environment, names...)
	if err != nil {
		return err
	}
	due := map[string]bool{}
	for i, p := range pairs {
		done, err := parts[i].admits(route)
		if err != nil {
			return err
		}
		due[p.name] = !done
	}
	if err := stagedAll(route, parts); err != nil {
		return err
	}
	for _, p := range pairs {
		switch {
		case !slices.Contains(names, p.name):
			err = s.dropService(ctx, route, p.name)
		case due[p.name]:
			err = s.applyOne(ctx, route, p)
		}
		if err != nil {
			return err
		}
	}
	return s.Failpoints.Hit(ctx, failpoint.ApplySwapped)
}

// applyOne writes one splitter, unless somebody has written a newer revision meanwhile.
func (s *Splitter) applyOne(ctx context.Context, route rollout.Route, p pair) error {
	if err := s.stageDefaults(ctx, route.Environment, p.name); err != nil { // which somebody may have edited
		return err
	}
	return s.change(ctx, api.ServiceSplitter, p.name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
		now := p
		now.splitter, _ = entry.(*api.ServiceSplitterConfigEntry)
		h := now.held(route.Environment)
		if done, err := h.admits(route); done || err != nil {
			return nil, false, err
		}
		return splitterFor(route.Environment, p.name, markOf(route), h.share(route.Weights), now.open()), true, nil
	})
}
