package static

import (
	"cmp"
	"context"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/probe"
	"viridian/rollout"
)

const (
	// rhythm leaves the caller some of the two seconds within which a report must come.
	rhythm = 1800 * time.Millisecond
	// settle gathers changes that come together, such as the end of a host, into one report.
	settle = 20 * time.Millisecond
	// minSlots and slotShare bound the questions that are open at once. A share, so that a round in which nobody
	// answers takes slotShare timeouts whatever the size.
	minSlots  = 64
	slotShare = 8
)

// watch is one run of Registry.Watch.
type watch struct {
	clock    clockwork.Clock
	groups   []group
	subjects []*subject // by group, then by id
	slots    chan struct{}
	changed  chan struct{} // holds one signal: all were asked, or a state changed

	mu      sync.Mutex // guards what subjects know
	unasked int
}

// subject is an instance with what is known of it.
type subject struct {
	group    int
	instance rollout.Instance
	asked    bool
	state    probe.State
	failure  string // of the last question that failed
}

func newWatch(clock clockwork.Clock, groups []group) *watch {
	w := &watch{clock: clock, groups: groups, changed: make(chan struct{}, 1)}
	for i, g := range groups {
		instances := slices.Clone(g.instances)
		slices.SortFunc(instances, func(a, b rollout.Instance) int { return cmp.Compare(a.ID, b.ID) })
		for _, in := range instances {
			w.subjects = append(w.subjects, &subject{group: i, instance: in})
		}
	}
	w.unasked = len(w.subjects)
	w.slots = make(chan struct{}, max(minSlots, len(w.subjects)/slotShare))
	return w
}

// probe asks the instance of that place in the list until ctx ends.
func (w *watch) probe(ctx context.Context, turn int) {
	s := w.subjects[turn]
	health := w.groups[s.group].service.Health
	ask := func(ctx context.Context) error {
		select {
		case w.slots <- struct{}{}:
			defer func() { <-w.slots }()
			return probe.Ask(ctx, health, s.instance.Address, s.instance.Port)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	spread := false
	jitter := func(pause time.Duration) time.Duration {
		if !spread && pause >= health.Interval.Std() {
			// All were first asked at once; from here on they take turns.
			spread = true
			return pause * time.Duration(turn+1) / time.Duration(len(w.subjects))
		}
		return probe.Spread(pause)
	}
	probe.Repeat(ctx, w.clock, health, ask, jitter, func(state probe.State, err error) { w.record(s, state, err) })
}

func (w *watch) record(s *subject, state probe.State, err error) {
	w.mu.Lock()
	news := s.state != state
	s.state = state
	if err != nil {
		s.failure = err.Error()
	}
	if !s.asked {
		s.asked = true
		w.unasked--
		news = news || w.unasked == 0
	}
	w.mu.Unlock()
	if news {
		select {
		case w.changed <- struct{}{}:
		default:
		}
	}
}

// run reports until ctx ends: first when all were asked.
func (w *watch) run(ctx context.Context, report func([]rollout.Reading)) {
	for !w.allAsked() {
		select {
		case <-w.changed:
		case <-ctx.Done():
			return
		}
	}
	for ctx.Err() == nil {
		report(w.readings())
		next := w.clock.NewTimer(rhythm)
		select {
		case <-next.Chan():
		case <-w.changed:
			next.Stop()
			w.pause(ctx, settle)
		case <-ctx.Done():
			next.Stop()
		}
		// What was signalled up to here is in the report that follows.
		select {
		case <-w.changed:
		default:
		}
	}
}

func (w *watch) allAsked() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unasked == 0
}

func (w *watch) pause(ctx context.Context, d time.Duration) {
	timer := w.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.Chan():
	case <-ctx.Done():
	}
}

// readings counts what is known now, one reading for each group.
func (w *watch) readings() []rollout.Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]rollout.Reading, len(w.groups))
	for i, g := range w.groups {
		out[i].Service = g.service.Name
	}
	for _, s := range w.subjects {
		r := &out[s.group]
		r.Total++
		switch s.state {
		case probe.Healthy:
			r.Healthy++
		case probe.Unhealthy:
			r.Unhealthy++
			if r.Detail == "" {
				r.Detail = s.describe()
			}
		case probe.Unknown:
		}
	}
	return out
}

// describe says which instance failed and how: "web-3 10.0.0.3:8080: connection refused".
func (s *subject) describe() string {
	return s.instance.ID + " " + net.JoinHostPort(s.instance.Address, strconv.Itoa(s.instance.Port)) + ": " + s.failure
}
