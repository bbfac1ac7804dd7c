package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"viridian/registry"
	"viridian/rollout"
	"viridian/router"
)

// node is a router of one node that keeps its table over restarts, as a state file would.
type node struct {
	mu     sync.Mutex
	name   string
	routes map[string]rollout.Route
	staged map[string][]int
	ports  map[string]int    // of the first instance of each generation that was staged
	ids    map[string]string // of all of its instances
	fail   error             // every call fails
	full   bool              // its disk is: what is staged is known, and not durable
}

func newNode(name string) *node {
	return &node{name: name, routes: map[string]rollout.Route{}, staged: map[string][]int{}, ports: map[string]int{}, ids: map[string]string{}}
}

func (n *node) Stage(_ context.Context, fence router.Fence, r rollout.Route, g rollout.Generation) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(g.Groups) == 0 {
		return fmt.Errorf("no groups")
	}
	own := n.routes[r.Environment]
	if fence.Revision < own.Revision {
		return router.ErrStale
	}
	key, port := fmt.Sprint(r.Environment, g.Number), g.Groups[0].Instances[0].Port
	if n.ports[key] != port && own.Weights.Carries(g.Number) && !r.Weights.Carries(g.Number) {
		return fmt.Errorf("generation %d serves from other instances", g.Number)
	}
	n.ports[key], n.ids[key] = port, idsOf(g.Groups[0].Instances)
	if !slices.Contains(n.staged[r.Environment], g.Number) {
		n.staged[r.Environment] = append(n.staged[r.Environment], g.Number)
	}
	if n.full {
		return fmt.Errorf("no space left on device")
	}
	return n.fail
}

func (n *node) Apply(_ context.Context, _ router.Fence, r rollout.Route) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	switch own := n.routes[r.Environment]; {
	case own.Revision > r.Revision:
		return router.ErrStale
	case own.Revision == r.Revision && own.Hash() != r.Hash():
		return router.ErrDiverged
	}
	for _, number := range r.Weights.Numbers() {
		if !slices.Contains(n.staged[r.Environment], number) {
			return router.ErrNotStaged
		}
	}
	n.routes[r.Environment] = r
	return nil
}

func (n *node) Observe(_ context.Context, name string) (router.Observation, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.routes[name]
	return router.Observation{Staged: slices.Clone(n.staged[name]), Receipt: rollout.Receipt{Node: n.name,
		Revision: r.Revision, SpecVersion: r.SpecVersion, Hash: r.Hash(), Weights: r.Weights, Grade: rollout.GradeFenced}}, nil
}

func (n *node) Remove(_ context.Context, fence router.Fence, name string, number int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch own := n.routes[name]; {
	case fence.Revision < own.Revision:
		return router.ErrStale
	case own.Weights.Carries(number), number == own.Live, number == own.Previous:
		return router.ErrInUse
	}
	n.staged[name] = slices.DeleteFunc(n.staged[name], func(s int) bool { return s == number })
	return n.fail
}

func (n *node) Forget(_ context.Context, _ router.Fence, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.staged[name]) > 0 || n.routes[name].Weights.Sum() > 0 {
		return router.ErrInUse
	}
	delete(n.routes, name)
	delete(n.staged, name)
	return n.fail
}

// Environments lists what the node knows by itself.
func (n *node) Environments() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.routes))
}

// edit changes by hand what the node does.
func (n *node) edit(name string, to int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.routes[name]
	r.Weights, r.Live = rollout.Weights{to: 100}, to
	n.routes[name] = r
}

func (n *node) serves(name string) []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.routes[name].Weights.Numbers()
}

// healthyRegistry finds every instance healthy, and counts what it was asked.
type healthyRegistry struct {
	mu        sync.Mutex
	announced map[int]bool
	refused   int // this generation is not taken
	dead      int // the instances of this generation are down
	watching  int
	calls     int // to Register and Deregister
	failing   int // so many calls to Register fail from now on
}

func (r *healthyRegistry) Register(_ context.Context, _ rollout.Spec, g rollout.Generation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.failing > 0 {
		r.failing--
		return fmt.Errorf("no leader")
	}
	if g.Number == r.refused {
		return fmt.Errorf("generation %d is refused", g.Number)
	}
	r.announced[g.Number] = true
	return nil
}

func (r *healthyRegistry) Deregister(_ context.Context, _ rollout.Spec, g rollout.Generation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	delete(r.announced, g.Number)
	return nil
}

func (r *healthyRegistry) Watch(ctx context.Context, _ rollout.Spec, g rollout.Generation, report registry.Report) error {
	r.mu.Lock()
	r.watching++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.watching--
		r.mu.Unlock()
	}()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		var readings []rollout.Reading
		r.mu.Lock()
		down := r.dead == g.Number
		r.mu.Unlock()
		for _, group := range g.Groups {
			reading := rollout.Reading{Service: group.Service, Healthy: len(group.Instances), Total: len(group.Instances)}
			if down {
				reading.Healthy, reading.Unhealthy = 0, reading.Healthy
			}
			readings = append(readings, reading)
		}
		report(registry.Seen{Readings: readings})
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

var (
	_ router.Router     = (*node)(nil)
	_ registry.Registry = (*healthyRegistry)(nil)
)
