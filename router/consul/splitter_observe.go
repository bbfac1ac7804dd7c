package consul

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
	"viridian/router"
)

// read finds the pairs that are the environment's, in the order of their names, and what each holds. The named ones must
// not be anybody else's.
func (s *Splitter) read(ctx context.Context, environment string, names ...string) ([]pair, []held, error) {
	resolvers, err := s.list(ctx, api.ServiceResolver)
	if err != nil {
		return nil, nil, err
	}
	splitters, err := s.list(ctx, api.ServiceSplitter)
	if err != nil {
		return nil, nil, err
	}
	all := maps.Clone(resolvers)
	maps.Copy(all, splitters)
	var pairs []pair
	var parts []held
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := pairOf(name, resolvers[name], splitters[name])
		if p.ours(environment) {
			pairs, parts = append(pairs, p), append(parts, p.held(environment))
		} else if slices.Contains(names, name) {
			return nil, nil, foreign("resolver or splitter "+name, p.owner())
		}
	}
	return pairs, parts, nil
}

// Observe reads the splitters of the environment's services, and holds what Consul compiles of them for its proxies
// against that. The environment is at the lowest revision of its services. Where they differ, or a chain does, or
// somebody changed one by hand, Error says how.
func (s *Splitter) Observe(ctx context.Context, environment string) (router.Observation, error) {
	o, err := s.observation(ctx, rollout.GradeFenced)
	if err != nil {
		return o, err
	}
	pairs, parts, err := s.look(ctx, environment)
	if err != nil {
		return o, err
	}
	staged, damaged := stagedIn(environment, pairs)
	o.Staged = staged
	parts = s.recall(environment, o, parts)
	if err := s.readable(ctx, pairs, parts); err != nil {
		return o, err
	}
	whole(parts, damaged).tell(&o)
	return o, nil
}

// look reads the pairs and then their chains, and again where these differ: a switch may have come in between.
func (s *Splitter) look(ctx context.Context, environment string) (pairs []pair, parts []held, err error) {
	for range 3 {
		if pairs, parts, err = s.read(ctx, environment); err != nil {
			return nil, nil, err
		}
		alike := true
		for i, p := range pairs {
			problem, err := s.compiled(ctx, p.name, parts[i].weights)
			if err != nil {
				return nil, nil, err
			}
			if problem != "" && parts[i].edited == "" {
				parts[i].edited, alike = problem, false
			}
		}
		if alike {
			break
		}
	}
	return pairs, parts, nil
}

// readable asks for what was there a moment ago and is not listed any more: Consul leaves out of a list what the token
// may not read, and that is not gone.
func (s *Splitter) readable(ctx context.Context, pairs []pair, parts []held) error {
	for _, part := range parts {
		name := strings.TrimPrefix(part.name, "splitter ")
		if slices.ContainsFunc(pairs, func(p pair) bool { return p.name == name }) {
			continue
		}
		if _, err := s.entry(ctx, api.ServiceSplitter, name); err != nil {
			return err
		}
	}
	return nil
}

// compiled says how the chain that Consul gives to proxies differs from the splitter; empty when it does not.
func (s *Splitter) compiled(ctx context.Context, name string, weights rollout.Weights) (string, error) {
	answer, _, err := s.Client.DiscoveryChain().Get(name, nil, consistent(ctx))
	if err != nil {
		return "", s.explain(ctx, "read the discovery chain of "+name, err)
	}
	got := rollout.Weights{}
	for _, node := range answer.Chain.Nodes {
		if node.Type != api.DiscoveryGraphNodeTypeSplitter || !strings.HasPrefix(node.Name, name+".") {
			continue // a router of somebody's may stand before the splitter
		}
		for _, split := range node.Splits {
			next := answer.Chain.Nodes[split.NextNode]
			if next == nil || next.Resolver == nil {
				continue
			}
			if target := answer.Chain.Targets[next.Resolver.Target]; target != nil && target.Service == name {
				if number, ok := generationOf(target.ServiceSubset); ok {
					got[number] += int(split.Weight)
				}
			}
		}
	}
	if !maps.Equal(got, weights) {
		return fmt.Sprintf("proxies of %s are told %s", name, weightsText(got)), nil
	}
	return "", nil
}

// stagedIn lists the generations whose subsets are as we wrote them, in every service that has them, and says what is not.
func stagedIn(environment string, pairs []pair) (staged []int, damaged []string) {
	good, wanted := map[int]int{}, map[int]int{}
	for _, p := range pairs {
		if p.resolver == nil {
			continue
		}
		if p.resolver.Meta[rollout.MetaEnvironment] != environment {
			damaged = append(damaged, "resolver "+p.name+" was written by somebody else")
		}
		for key, note := range p.resolver.Meta {
			m, ok := memberOf(p.resolver, key, note)
			if !ok {
				continue
			}
			wanted[m.generation] = max(wanted[m.generation], m.groups)
			if alike(p.resolver, resolverFor(p.resolver, environment, p.name, m)) {
				good[m.generation]++
			} else if text := "resolver " + p.name + " was changed by hand"; !slices.Contains(damaged, text) {
				damaged = append(damaged, text)
			}
		}
	}
	return complete(good, wanted), damaged
}
