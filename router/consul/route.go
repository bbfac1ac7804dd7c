package consul

import (
	"fmt"
	"slices"

	"viridian/rollout"
	"viridian/router"
)

// checkNames refuses what may not become part of a path or a key. Environments and services have such names by their
// specification; anything else does not come from there.
func checkNames(environment string, services ...string) error {
	if !rollout.ValidName(environment) {
		return fmt.Errorf("%q is not the name of an environment", environment)
	}
	for _, name := range services {
		if !rollout.ValidName(name) {
			return fmt.Errorf("%q is not the name of a service", name)
		}
	}
	return nil
}

func checkRoute(route rollout.Route) error {
	for number, share := range route.Weights {
		if number < 1 || share < 0 {
			return fmt.Errorf("generation %d has the share %d", number, share)
		}
	}
	if sum := route.Weights.Sum(); sum != 100 && sum != 0 {
		return fmt.Errorf("the shares sum to %d", sum)
	}
	return checkNames(route.Environment, servicesOf(route)...)
}

func servicesOf(route rollout.Route) (names []string) {
	for _, svc := range route.Services {
		names = append(names, svc.Name)
		if svc.CatalogName != "" {
			names = append(names, svc.CatalogName)
		}
	}
	return names
}

func catalogNames(route rollout.Route) (names []string) {
	for _, svc := range route.Services {
		names = append(names, rollout.CatalogName(route.Environment, svc.Service))
	}
	return names
}

// place is one service that a generation has instances of.
type place struct {
	service   rollout.Service
	instances []rollout.Instance
	source    source
}

// places are the services that the generation has instances of, by the names that Consul knows them by.
func places(route rollout.Route, generation rollout.Generation) (map[string]place, error) {
	if err := checkNames(route.Environment, servicesOf(route)...); err != nil {
		return nil, err
	}
	out := map[string]place{}
	for _, svc := range route.Services {
		for _, group := range generation.Groups {
			if group.Service == svc.Name && len(group.Instances) > 0 {
				name := rollout.CatalogName(route.Environment, svc.Service)
				out[name] = place{svc.Service, group.Instances, sourceOf(route.Environment, name, generation, svc.Name)}
			}
		}
	}
	if generation.Number < 1 || len(out) == 0 {
		return nil, fmt.Errorf("generation %d has no instances of any service of %s", generation.Number, route.Environment)
	}
	return out, nil
}

// complete lists the generations that as many services have as there should be.
func complete(good, wanted map[int]int) (numbers []int) {
	for n, groups := range wanted {
		if good[n] >= groups {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// stagedAll refuses a route that gives weight to a generation that no place could serve.
func stagedAll(route rollout.Route, parts []held) error {
	for _, n := range route.Weights.Numbers() {
		staged := false
		for _, p := range parts {
			staged = staged || p.share(rollout.Weights{n: 1})[n] == 1
		}
		if !staged {
			return fmt.Errorf("%w: generation %d", router.ErrNotStaged, n)
		}
	}
	return nil
}
