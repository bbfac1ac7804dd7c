package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"viridian/registry"
	"viridian/rollout"
)

// refresh is how often readings that say nothing new are recorded, so that they stay fresh.
const refresh = 2 * time.Second

// watch follows the health of one generation during a tenure.
type watch struct {
	specVersion int64
	membersAt   time.Time
	cancel      context.CancelFunc

	mu         sync.Mutex
	generation rollout.Generation  // that is watched, with its instances
	members    []rollout.Group     // that a registry has now, where it has others
	toldAt     time.Time           // when it told that; zero while it has yet to, or cannot
	leftOut    map[string][]string // by service, what it has and cannot join
	latest     []rollout.Reading
	heard      bool // anything was reported yet
	trouble    string
	fresh      bool // reported since it was last recorded
	pending    bool // due to be recorded
	recorded   time.Time
}

// keepWatches starts and ends watches so that each generation that may serve has one, by the present spec and of the
// present members.
func (t *tenure) keepWatches(e rollout.Environment, driver registry.Registry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for number, w := range t.watches {
		g, ok := e.Generation(number)
		if !ok || !g.State.Holds() || w.specVersion != e.SpecVersion || !w.membersAt.Equal(g.MembersAt) {
			w.cancel()
			delete(t.watches, number)
		}
	}
	for _, g := range e.Generations {
		if g.State.Holds() && g.Announced && t.watches[g.Number] == nil {
			ctx, cancel := context.WithCancel(t.ctx)
			w := &watch{specVersion: e.SpecVersion, membersAt: g.MembersAt, cancel: cancel}
			t.watches[g.Number] = w
			t.w.wait.Go(func() { t.follow(ctx, w, e, g.Number, driver) })
		}
	}
}

// follow runs the registry's watch until ctx ends, again and again should it fail.
func (t *tenure) follow(ctx context.Context, w *watch, e rollout.Environment, number int, driver registry.Registry) {
	key := fmt.Sprintf("watch %s generation %d", e.Name, number)
	for ctx.Err() == nil {
		g, err := t.load(ctx, e, number)
		if err == nil {
			w.mu.Lock()
			w.generation, w.members, w.toldAt = g, nil, time.Time{}
			w.mu.Unlock()
			err = driver.Watch(ctx, e.Spec, g, func(seen registry.Seen) { t.report(w, number, seen) })
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			t.w.backoff.worked(t.w.log, key)
			continue
		}
		t.report(w, number, registry.Seen{Trouble: err})
		select {
		case <-ctx.Done():
		case <-t.w.Clock.After(t.w.backoff.failed(t.w.log, key, err)):
		}
	}
}

// report takes what a watch has seen: news at once, the rest when the recorded readings grow old. What others wrote in it
// may be anything.
func (t *tenure) report(w *watch, number int, seen registry.Seen) {
	now, readings := t.w.Clock.Now(), slices.Clone(seen.Readings)
	for i := range readings {
		r := &readings[i]
		r.Generation, r.Detail, r.Drift = number, rollout.Plain(r.Detail), rollout.Plain(r.Drift)
	}
	text := ""
	if seen.Trouble != nil {
		text = rollout.Plain(seen.Trouble.Error())
	}
	w.mu.Lock()
	news := !w.heard || w.trouble != text || seen.Members != nil
	news = news || w.members != nil
	w.members, w.toldAt = seen.Members, now
	if readings == nil && seen.Members == nil { // they are not known just now
		w.toldAt = time.Time{}
	}
	w.heard, w.trouble = true, text
	if readings != nil {
		pending := !slices.Equal(readings, w.latest) || now.Sub(w.recorded) >= refresh
		w.latest, w.fresh, w.pending = readings, true, w.pending || pending
		news = news || pending
	}
	w.mu.Unlock()
	if news {
		t.w.lanes.run(t.ctx, t.name, nil)
	}
}

// takeReadings collects what is due to be recorded, and with it what else was reported since: one transaction serves
// all generations. What a silent registry said long ago is not told again.
func (t *tenure) takeReadings(e rollout.Environment) []rollout.Reading {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []rollout.Reading
	due := false
	for _, w := range t.watches {
		w.mu.Lock()
		due = due || w.pending
		w.mu.Unlock()
	}
	if !due {
		return nil
	}
	now := t.w.Clock.Now()
	for number, w := range t.watches {
		w.mu.Lock()
		if _, ok := e.Generation(number); ok && w.fresh {
			for _, r := range w.latest {
				out = append(out, w.told(r))
			}
			w.fresh, w.pending, w.recorded = false, false, now
		}
		w.mu.Unlock()
	}
	return out
}
