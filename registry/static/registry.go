package static

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jonboulle/clockwork"

	"viridian/registry"
	"viridian/rollout"
)

// Registry probes the instances of generations. It keeps nothing between calls and is safe for concurrent use.
type Registry struct {
	clock clockwork.Clock
	log   *slog.Logger
}

var _ registry.Registry = (*Registry)(nil)

// Options are what a Registry needs from outside.
type Options struct {
	Clock  clockwork.Clock // nil for the real one
	Logger *slog.Logger    // nil for none
}

// New makes a registry. It starts nothing.
func New(o Options) *Registry {
	if o.Clock == nil {
		o.Clock = clockwork.NewRealClock()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Registry{clock: o.Clock, log: o.Logger}
}

// Register has nobody to tell. It is an error when the generation is not one that Watch could ask about.
func (r *Registry) Register(ctx context.Context, spec rollout.Spec, generation rollout.Generation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := newGroups(spec, generation)
	return err
}

// Deregister has nothing to take back.
func (r *Registry) Deregister(ctx context.Context, _ rollout.Spec, _ rollout.Generation) error {
	return ctx.Err()
}

// Watch asks every instance by the health settings of its service, and reports as registry.Registry says. Changes
// within 20 ms are one report. An eighth of the instances, or 64 if that is more, are asked at the same time at most.
// It is an error, and nothing is reported, when the generation has no group of any service in the spec, or a group
// that cannot be asked.
func (r *Registry) Watch(
	ctx context.Context, spec rollout.Spec, generation rollout.Generation, report registry.Report,
) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	groups, err := newGroups(spec, generation)
	if err != nil {
		return err
	}
	w := newWatch(r.clock, groups)
	log := r.log.With("environment", generation.Environment, "generation", generation.Number)
	log.Debug("watching instances", "instances", len(w.subjects))
	defer log.Debug("instances are no longer watched")

	var probes sync.WaitGroup
	defer probes.Wait()
	probing, stop := context.WithCancel(ctx)
	defer stop()
	for turn := range w.subjects {
		probes.Go(func() { w.probe(probing, turn) })
	}
	w.run(ctx, func(readings []rollout.Reading) {
		for i := range readings {
			readings[i].Generation = generation.Number
		}
		report(registry.Seen{Readings: readings})
	})
	return ctx.Err()
}

// group is the instances of one service and how they are asked.
type group struct {
	service   rollout.Service
	instances []rollout.Instance
}

// newGroups pairs the services of the spec, in its order, with the groups of the generation. A service without a group
// is one that the spec got later.
func newGroups(spec rollout.Spec, generation rollout.Generation) ([]group, error) {
	if generation.Environment == "" || generation.Number < 1 {
		return nil, errors.New("a generation has an environment and a number of 1 or more")
	}
	var out []group
	for _, g := range generation.Groups {
		if len(g.Instances) == 0 {
			return nil, fmt.Errorf("generation %d has no instances of service %q", generation.Number, g.Service)
		}
		for _, in := range g.Instances {
			if in.ID == "" || in.Address == "" || in.Port < 1 || in.Port > 65535 {
				return nil, fmt.Errorf("instance %q of service %q has no id, no address or no possible port", in.ID, g.Service)
			}
		}
	}
	for _, svc := range spec.Services {
		for _, g := range generation.Groups {
			if g.Service != svc.Name {
				continue
			}
			if svc.Health.Interval <= 0 || svc.Health.Timeout <= 0 {
				return nil, fmt.Errorf("service %q does not say how often and how long it is asked", svc.Name)
			}
			out = append(out, group{service: svc, instances: g.Instances})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("generation %d has no group of any service in the spec", generation.Number)
	}
	return out, nil
}
