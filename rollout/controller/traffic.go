package controller

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// Unmeasured is a node whose traffic could not be asked for.
type Unmeasured struct {
	Router, Node, Error string
}

// measureTimeout bounds the wait for the counts of one node of a fleet.
const measureTimeout = 2 * time.Second

var errNoCounts = errors.New("its driver counts no traffic")

// Measure tells the traffic of the environment as its routers counted it: this process's own part of the builtin one,
// and every node of a fleet. Nodes that do not answer are left out of the counts and named.
func (s *Service) Measure(ctx context.Context, e rollout.Environment, from, to time.Time) ([]router.Bucket, []Unmeasured, error) {
	var buckets []router.Bucket
	var missing []Unmeasured
	if own, ok := s.Local.(router.Measurer); ok && slices.Contains(e.Spec.Routers, rollout.Builtin) {
		counted, err := own.Measure(ctx, e.Name, from, to)
		if err != nil {
			return nil, nil, err
		}
		buckets = counted
	}
	ctx, cancel := context.WithTimeout(ctx, min(measureTimeout, s.CallTimeout))
	defer cancel()
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, name := range e.Spec.Routers {
		for _, node := range slices.Sorted(maps.Keys(s.Fleets[name].Nodes)) {
			asked.Go(func() {
				counted, err := measureNode(ctx, s.Fleets[name].Nodes[node], e.Name, from, to)
				mu.Lock()
				defer mu.Unlock()
				buckets = append(buckets, counted...)
				if err != nil {
					missing = append(missing, Unmeasured{Router: name, Node: node, Error: err.Error()})
				}
			})
		}
	}
	asked.Wait()
	return buckets, missing, nil
}

func measureNode(ctx context.Context, node Remote, environment string, from, to time.Time) ([]router.Bucket, error) {
	measurer, ok := node.(router.Measurer)
	if !ok {
		return nil, errNoCounts
	}
	return measurer.Measure(ctx, environment, from, to)
}
