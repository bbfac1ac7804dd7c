package consul

import (
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
	"viridian/router"
)

// Remove takes the generation's subset out of every resolver of the environment.
func (s *Splitter) Remove(ctx context.Context, fence router.Fence, environment string, generation int) error {
	pairs, parts, err := s.owned(ctx, fence, environment)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := part.keeps(generation); err != nil {
			return err
		}
	}
	for _, p := range pairs {
		err := s.change(ctx, api.ServiceResolver, p.name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
			resolver, ok := entry.(*api.ServiceResolverConfigEntry)
			if !ok {
				return nil, false, nil
			}
			next := resolverBase(resolver, environment, p.name)
			delete(next.Subsets, subset(generation))
			delete(next.Meta, metaMember+subset(generation))
			return next, !alike(resolver, next), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// owned reads the environment's pairs for who has this fence.
func (s *Splitter) owned(ctx context.Context, fence router.Fence, environment string) ([]pair, []held, error) {
	if err := checkNames(environment); err != nil {
		return nil, nil, err
	}
	pairs, parts, err := s.read(ctx, environment)
	if err != nil {
		return nil, nil, err
	}
	for _, part := range parts {
		if err := part.refuses(fence); err != nil {
			return nil, nil, err
		}
	}
	return pairs, parts, nil
}

// Forget deletes the entries that were made for the environment.
func (s *Splitter) Forget(ctx context.Context, fence router.Fence, environment string) error {
	pairs, parts, err := s.owned(ctx, fence, environment)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if len(part.has) > 0 || len(part.weights) > 0 {
			return fmt.Errorf("%w: %s has generations %v", router.ErrInUse, part.name, part.has)
		}
	}
	for _, p := range pairs {
		if err := s.dropEntries(ctx, environment, p.name, fence.Revision); err != nil {
			return err
		}
	}
	return s.dropDefaults(ctx, environment)
}

// dropService deletes the entries of a service that the route does not have any more.
func (s *Splitter) dropService(ctx context.Context, route rollout.Route, name string) error {
	if err := s.dropEntries(ctx, route.Environment, name, route.Revision); err != nil {
		return err
	}
	return s.drop(ctx, api.ServiceDefaults, name, ofEnvironment(route.Environment))
}

// dropEntries deletes a splitter and then its resolver, which depend on each other in this order, unless the splitter is
// at a higher revision by now.
func (s *Splitter) dropEntries(ctx context.Context, environment, name string, revision int64) error {
	s.memory.forget(environment)
	err := s.drop(ctx, api.ServiceSplitter, name, func(entry api.ConfigEntry) bool {
		m, _ := parseMark(entry.GetMeta())
		return m.Revision <= revision
	})
	if err != nil {
		return err
	}
	return s.drop(ctx, api.ServiceResolver, name, ofEnvironment(environment))
}

// dropDefaults deletes what Stage has said of the environment's services, also of those that are gone.
func (s *Splitter) dropDefaults(ctx context.Context, environment string) error {
	all, err := s.list(ctx, api.ServiceDefaults)
	if err != nil {
		return err
	}
	for name, entry := range all {
		if mine := ofEnvironment(environment); mine(entry) {
			if err := s.drop(ctx, api.ServiceDefaults, name, mine); err != nil {
				return err
			}
		}
	}
	return nil
}

func ofEnvironment(environment string) func(api.ConfigEntry) bool {
	return func(entry api.ConfigEntry) bool { return entry.GetMeta()[rollout.MetaEnvironment] == environment }
}
