package consul

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// rhythm bounds a blocking query, so that a report comes at least every two seconds while Consul can be read.
const rhythm = 1500 * time.Millisecond

// firstPause and lastPause bound the wait after a read of Consul that failed.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Watch asks every instance, writes the answers to the checks in Consul, and reports what Consul then says. So an
// instance counts as healthy only while both are so: it answers, and the catalog knows that. An instance that somebody
// else took out of the catalog counts as unhealthy, and is announced again.
func (r *Registry) Watch(ctx context.Context, spec rollout.Spec, generation rollout.Generation, report func([]rollout.Reading)) error {
	entries, err := entriesOf(spec, generation)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	log := r.log.With("environment", generation.Environment, "generation", generation.Number)
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer stop()
	asked := newAnswers(entries)
	for turn := range entries {
		parts.Go(func() { asked.ask(ctx, r.clock, turn) })
	}
	parts.Go(func() { r.tell(ctx, log, generation, asked) })
	r.read(ctx, log, spec, generation, asked, report)
	return ctx.Err()
}

// read reports what Consul says until ctx ends.
func (r *Registry) read(ctx context.Context, log logger, spec rollout.Spec, g rollout.Generation, asked *answers, report func([]rollout.Reading)) {
	var index uint64
	pause := firstPause
	for ctx.Err() == nil {
		checks, meta, err := r.client.Health().Node(nodeName(g),
			(&api.QueryOptions{RequireConsistent: true, WaitIndex: index, WaitTime: rhythm}).WithContext(ctx))
		if err != nil {
			if ctx.Err() == nil {
				log.Warn("Consul cannot be read; health is unknown until it can", "error", explain(ctx, "read checks", err))
			}
			index = 0
			r.pause(ctx, pause)
			pause = min(2*pause, lastPause)
			continue
		}
		pause, index = firstPause, nextIndex(index, meta.LastIndex)
		readings, gone := asked.held(spec, checks)
		if gone && ctx.Err() == nil {
			log.Warn("instances are missing in Consul and are announced again")
			if err := r.Register(ctx, spec, g); err != nil && ctx.Err() == nil {
				log.Warn("instances could not be announced again", "error", err)
				r.pause(ctx, firstPause)
			}
			asked.tellAll()
		}
		if asked.complete() && ctx.Err() == nil {
			for i := range readings {
				readings[i].Generation = g.Number
			}
			report(readings)
		}
	}
}

// nextIndex follows the rules of blocking queries: an index that goes back is begun anew, and is never below 1.
func nextIndex(last, now uint64) uint64 {
	if now < last {
		return 0
	}
	return max(now, 1)
}

func (r *Registry) pause(ctx context.Context, d time.Duration) {
	timer := r.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.Chan():
	case <-ctx.Done():
	}
}

// held counts, service by service, what the checks in Consul say; gone is true when instances are not there.
func (a *answers) held(spec rollout.Spec, checks api.HealthChecks) (readings []rollout.Reading, gone bool) {
	byID := map[string]*api.HealthCheck{}
	for _, c := range checks {
		byID[c.CheckID] = c
	}
	for _, svc := range spec.Services {
		reading := rollout.Reading{Service: svc.Name}
		for _, e := range a.entries {
			if e.service.Name != svc.Name {
				continue
			}
			reading.Total++
			switch c := byID[e.catalog.ID]; {
			case c == nil:
				gone = true
				reading.Unhealthy++
				reading.Detail = firstText(reading.Detail, e.instance.ID+" is missing in Consul")
			case c.Status == api.HealthPassing:
				reading.Healthy++
			case c.Output != notAsked:
				reading.Unhealthy++
				reading.Detail = firstText(reading.Detail, strings.TrimSpace(c.Output))
			}
		}
		if reading.Total > 0 {
			readings = append(readings, reading)
		}
	}
	return readings, gone
}

func firstText(texts ...string) string {
	if i := slices.IndexFunc(texts, func(s string) bool { return s != "" }); i >= 0 {
		return texts[i]
	}
	return ""
}
