package consul

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
	"viridian/router"
)

// Observe reads the splitters of the environment's services, and holds what Consul compiles of them for its proxies
// against that. The environment is at the lowest revision of its services. Where they differ, or a chain does, Error
// says how.
func (s *Splitter) Observe(ctx context.Context, environment string) (router.Observation, error) {
	receipt, err := s.receipt(ctx, rollout.GradeFenced)
	if err != nil {
		return router.Observation{}, err
	}
	o := router.Observation{Receipt: receipt}
	if o.Staged, err = s.staged(ctx, environment); err != nil {
		return o, err
	}
	splitters, err := s.list(ctx, api.ServiceSplitter, environment)
	if err != nil {
		return o, err
	}
	var whole held
	for i, entry := range splitters {
		h, err := heldBy(entry, environment, entry.GetName())
		if err != nil {
			return o, err
		}
		if problem, err := s.compiled(ctx, entry.GetName(), h); err != nil {
			return o, err
		} else if problem != "" {
			o.Error = problem
		}
		switch {
		case i == 0:
			whole = h
		case h.Revision != whole.Revision:
			o.Error = fmt.Sprintf("the services are at revisions %d and %d", whole.Revision, h.Revision)
			if h.Revision < whole.Revision {
				whole = h
			}
		default:
			whole = whole.with(h)
		}
	}
	o.Revision, o.SpecVersion = whole.Revision, whole.SpecVersion
	if len(whole.weights) > 0 {
		o.Weights = whole.weights
	}
	o.Hash = whole.hash()
	return o, nil
}

// with joins what two services do at one revision: a service that has no instances of a generation says nothing of it,
// and any other difference is kept visible as weights that do not sum to 100.
func (h held) with(other held) held {
	joined := maps.Clone(h.weights)
	for n, share := range other.weights {
		if mine, ok := joined[n]; !ok {
			joined[n] = share
		} else if mine != share {
			joined[n] = 0
		}
	}
	h.weights = joined
	return h
}

// compiled says how the chain that Consul gives to proxies differs from the splitter; empty when it does not.
func (s *Splitter) compiled(ctx context.Context, name string, h held) (string, error) {
	answer, _, err := s.Client.DiscoveryChain().Get(name, nil, consistent(ctx))
	if err != nil {
		return "", explain(ctx, "read the discovery chain of "+name, err)
	}
	got := rollout.Weights{}
	start := answer.Chain.Nodes[answer.Chain.StartNode]
	if start == nil {
		return "the discovery chain of " + name + " has no start", nil
	}
	for _, split := range start.Splits {
		next := answer.Chain.Nodes[split.NextNode]
		if next == nil || next.Resolver == nil {
			continue
		}
		if target := answer.Chain.Targets[next.Resolver.Target]; target != nil {
			if number, ok := generationOf(target.ServiceSubset); ok {
				got[number] += int(split.Weight)
			}
		}
	}
	if !maps.Equal(got, h.weights) {
		return fmt.Sprintf("proxies of %s are told %s", name, weightsText(got)), nil
	}
	return "", nil
}

// staged lists the generations that have a subset in any resolver of the environment.
func (s *Splitter) staged(ctx context.Context, environment string) ([]int, error) {
	resolvers, err := s.list(ctx, api.ServiceResolver, environment)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, entry := range resolvers {
		resolver, err := resolverOf(entry, environment, entry.GetName())
		if err != nil {
			return nil, err
		}
		for name := range resolver.Subsets {
			if number, ok := generationOf(name); ok && !slices.Contains(out, number) {
				out = append(out, number)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// Remove takes the generation's subset out of every resolver of the environment.
func (s *Splitter) Remove(ctx context.Context, _ router.Fence, environment string, generation int) error {
	splitters, err := s.list(ctx, api.ServiceSplitter, environment)
	if err != nil {
		return err
	}
	for _, entry := range splitters {
		h, err := heldBy(entry, environment, entry.GetName())
		if err != nil {
			return err
		}
		if h.weights.Carries(generation) || h.Live == generation || h.Previous == generation {
			return fmt.Errorf("%w: splitter %s", router.ErrInUse, entry.GetName())
		}
	}
	resolvers, err := s.list(ctx, api.ServiceResolver, environment)
	if err != nil {
		return err
	}
	for _, entry := range resolvers {
		if err := s.removeSubset(ctx, environment, entry.GetName(), generation); err != nil {
			return err
		}
	}
	return nil
}

func (s *Splitter) removeSubset(ctx context.Context, environment, name string, generation int) error {
	return s.change(ctx, api.ServiceResolver, name, func(entry api.ConfigEntry) (api.ConfigEntry, bool, error) {
		if entry == nil {
			return nil, false, nil
		}
		resolver, err := resolverOf(entry, environment, name)
		if err != nil {
			return nil, false, err
		}
		if _, ok := resolver.Subsets[subset(generation)]; !ok {
			return nil, false, nil
		}
		resolver.Subsets = maps.Clone(resolver.Subsets)
		delete(resolver.Subsets, subset(generation))
		return resolver, true, nil
	})
}

// Forget deletes the entries that were made for the environment, in the order in which they depend on each other.
func (s *Splitter) Forget(ctx context.Context, _ router.Fence, environment string) error {
	staged, err := s.staged(ctx, environment)
	if err != nil {
		return err
	}
	if len(staged) > 0 {
		return fmt.Errorf("%w: generations %v are staged", router.ErrInUse, staged)
	}
	for _, kind := range []string{api.ServiceSplitter, api.ServiceResolver, api.ServiceDefaults} {
		entries, err := s.list(ctx, kind, environment)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := s.drop(ctx, kind, entry.GetName(), environment); err != nil {
				return err
			}
		}
	}
	return nil
}
