package registrytest

import (
	"fmt"
	"testing"
	"time"

	"viridian/rollout"
)

// world is a generation of running instances with the specification it belongs to.
type world struct {
	spec       rollout.Spec
	generation rollout.Generation
	kind       rollout.HealthType
	instances  map[string][]*instance // by service
}

// newWorld makes a generation of an environment with the services "web" and "api", or one of them.
func newWorld(environment string, number int, kind rollout.HealthType, groups map[string][]*instance) *world {
	w := &world{kind: kind, instances: groups, generation: rollout.Generation{
		Environment: environment, Number: number, Version: fmt.Sprintf("v%d", number), State: rollout.Registered,
		Sizes: map[string]int{},
	}}
	for _, name := range []string{"web", "api"} {
		instances := groups[name]
		if len(instances) == 0 {
			continue
		}
		w.spec.Services = append(w.spec.Services, rollout.Service{Name: name, Protocol: "http", Health: rollout.Health{
			Type: kind, Path: "/healthz", ExpectStatus: []rollout.StatusRange{{From: 200, To: 299}},
			Interval: rollout.Duration(100 * time.Millisecond), Timeout: rollout.Duration(10 * time.Second),
			HealthyAfter: 2, UnhealthyAfter: 2,
		}})
		group := rollout.Group{Service: name}
		for _, i := range instances {
			group.Instances = append(group.Instances, i.Instance)
		}
		w.generation.Groups = append(w.generation.Groups, group)
		w.generation.Sizes[name] = len(instances)
	}
	return w
}

// problem says which part of the contract a report breaks, or "".
func (w *world) problem(readings []rollout.Reading) string {
	if len(readings) != len(w.spec.Services) {
		return "not one reading for each service"
	}
	seen := map[string]bool{}
	for _, r := range readings {
		size, known := w.generation.Sizes[r.Service]
		switch {
		case !known || seen[r.Service]:
			return "not one reading for each service"
		case r.Generation != w.generation.Number:
			return "another generation"
		case r.Total != size:
			return fmt.Sprintf("a total other than the group's size %d", size)
		case r.Healthy < 0 || r.Unhealthy < 0 || r.Healthy+r.Unhealthy > r.Total:
			return "healthy and unhealthy do not fit into the total"
		case r.Unhealthy > 0 && r.Detail == "":
			return "unhealthy without a detail"
		case !r.At.IsZero():
			return "At is for the caller to fill in"
		}
		seen[r.Service] = true
		for _, i := range w.instances[r.Service] {
			// The kernel accepts a connection before the server hears of it, so only requests can be counted.
			if w.kind == rollout.HealthHTTP && !i.absent && i.asked.Load() == 0 {
				return "instance " + i.ID + " was not asked yet"
			}
		}
	}
	return ""
}

func group(t *testing.T, prefix string, size int) []*instance {
	t.Helper()
	var out []*instance
	for n := range size {
		out = append(out, startInstance(t, fmt.Sprintf("%s-%d", prefix, n+1)))
	}
	return out
}
