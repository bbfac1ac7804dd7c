package consul

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/consul/api"

	"viridian/probe"
	"viridian/registry"
	"viridian/rollout"
)

// Watch reports what Consul says of the health of every group. Of a generation on a node of its own it asks every
// instance, and writes the answers to the checks in Consul: there an instance counts as healthy only while both are so,
// it answers, and the catalog knows that. An instance that somebody else took out of the catalog counts as unhealthy,
// and is announced again.
func (r *Registry) Watch(ctx context.Context, spec rollout.Spec, generation rollout.Generation, report registry.Report) error {
	entries, err := r.entriesOf(spec, generation)
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
	w := &watch{r: r, log: log, spec: spec, generation: generation, board: newBoard(generation.Number, servicesOf(spec, generation), report)}
	for _, group := range generation.Groups {
		svc, known := spec.Service(group.Service)
		if !known {
			continue
		}
		switch {
		case group.Consul != nil:
			parts.Go(func() { w.adopted(ctx, group) })
		case r.agent != "":
			parts.Go(func() { w.onAgent(ctx, svc, entries) })
		default:
			w.own = append(w.own, group.Service)
		}
	}
	if len(w.own) > 0 {
		w.asked = newAnswers(entries)
		for turn := range entries {
			parts.Go(func() { w.asked.ask(ctx, r.clock, turn) })
		}
		parts.Go(func() { w.tell(ctx) })
		parts.Go(func() { w.onNode(ctx) })
	}
	<-ctx.Done()
	return ctx.Err()
}

// watch is one run of Watch.
type watch struct {
	r          *Registry
	log        logger
	spec       rollout.Spec
	generation rollout.Generation
	board      *board
	asked      *answers
	own        []string // services on the generation's own node

	mu      sync.Mutex
	missing spell // instances could not be announced again
}

// The parts of a watch that may be in trouble.
const (
	partRead     = "read"
	partWrite    = "write"
	partAnnounce = "announce"
)

// onNode reports what the checks of the generation's own node say, until ctx ends.
func (w *watch) onNode(ctx context.Context) {
	w.r.poll(ctx, func(q *api.QueryOptions) (*api.QueryMeta, error) {
		checks, meta, err := w.r.client.Health().Node(nodeName(w.generation), q)
		if err != nil {
			return nil, err
		}
		if meta.ResultsFilteredByACLs {
			return nil, errHidden
		}
		readings, gone := w.asked.held(w.spec, checks)
		if gone && ctx.Err() == nil {
			w.announceAgain(ctx)
			w.asked.tellAll()
		}
		if w.asked.complete() && ctx.Err() == nil {
			w.board.post(partRead, readings...)
		}
		return meta, nil
	}, func(err error) { w.lost(partRead, w.own, err) })
}

// lost tells that services cannot be read; the log has it once for each way in which they cannot.
func (w *watch) lost(part string, services []string, err error) {
	if err != nil && w.board.told(part) != err.Error() {
		w.log.Warn("Consul cannot be read; health is unknown until it can", "error", err)
	}
	w.board.lose(part, services, err)
}

// announceAgain brings back what somebody else took out.
func (w *watch) announceAgain(ctx context.Context) {
	w.log.Warn("instances are missing in Consul and are announced again")
	err := w.r.Register(ctx, w.spec, w.generation)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	var trouble error
	if err == nil {
		w.missing = spell{}
	} else {
		trouble = w.missing.worthTelling(w.r.clock.Now(), err)
	}
	w.mu.Unlock()
	w.board.trouble(partAnnounce, trouble)
	if err != nil {
		w.log.Warn("instances could not be announced again", "error", err)
		w.r.pause(ctx, firstPause)
	}
}

// held counts, service by service, what the instances answered and the checks in Consul say; gone is true when some are
// not there.
func (a *answers) held(spec rollout.Spec, checks api.HealthChecks) (readings []rollout.Reading, gone bool) {
	byID := map[string]*api.HealthCheck{}
	for _, c := range checks {
		byID[c.CheckID] = c
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, svc := range spec.Services {
		reading := rollout.Reading{Service: svc.Name}
		for turn, e := range a.entries {
			if e.service.Name != svc.Name {
				continue
			}
			reading.Total++
			switch c := byID[e.catalog.ID]; {
			case c == nil:
				gone = true
				reading.Unhealthy++
				reading.Detail = firstText(reading.Detail, e.instance.ID+" is missing in Consul")
			case a.state[turn] == probe.Unhealthy:
				reading.Unhealthy++
				reading.Detail = firstText(reading.Detail, a.said(turn))
			case c.Status == api.HealthPassing && a.passed[turn]:
				reading.Healthy++
			case c.Status != api.HealthPassing && c.Output != notAsked:
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
