package registrytest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"viridian/registry"
	"viridian/rollout"
)

// watcher runs one Watch and holds every report against the contract.
type watcher struct {
	t      *testing.T
	world  *world
	within time.Duration
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Watch, once done is closed

	mu      sync.Mutex
	last    []rollout.Reading
	times   []time.Time
	busy    bool
	changed chan struct{} // closed and replaced at each report
}

// watch starts watching the world; the watch ends with the test at the latest.
func watch(t *testing.T, reg registry.Registry, w *world, within time.Duration) *watcher {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out := &watcher{t: t, world: w, within: within, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		defer close(out.done)
		out.err = reg.Watch(ctx, w.spec, w.generation, out.report)
	}()
	t.Cleanup(func() { out.stop(t) })
	return out
}

func (w *watcher) report(seen registry.Seen) {
	readings := seen.Readings
	if seen.Trouble != nil || seen.Members != nil {
		w.t.Errorf("trouble with nothing in its way, or members that nobody follows: %+v", seen)
		return
	}
	w.mu.Lock()
	concurrent := w.busy
	w.busy = true
	w.mu.Unlock()
	if concurrent {
		w.t.Error("report was called while a call of it was still running")
	}
	if problem := w.world.problem(readings); problem != "" {
		w.t.Errorf("report breaks the contract: %s: %+v", problem, readings)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.done:
		w.t.Error("report was called after Watch had returned")
	default:
	}
	w.last = append([]rollout.Reading(nil), readings...)
	w.times = append(w.times, time.Now())
	w.busy = false
	close(w.changed)
	w.changed = make(chan struct{})
}

// until waits for a report of the service that satisfies the condition, and returns its reading.
func (w *watcher) until(t *testing.T, service, what string, holds func(rollout.Reading) bool) rollout.Reading {
	t.Helper()
	deadline := time.NewTimer(w.within)
	defer deadline.Stop()
	for {
		w.mu.Lock()
		last, changed := w.last, w.changed
		w.mu.Unlock()
		for _, r := range last {
			if r.Service == service && holds(r) {
				return r
			}
		}
		select {
		case <-changed:
		case <-w.done:
			t.Fatalf("Watch ended with %v while waiting for %s", w.err, what)
		case <-deadline.C:
			t.Fatalf("no report of %s within %s; the last one: %+v", what, w.within, last)
		}
	}
}

func (w *watcher) untilHealthy(t *testing.T, service string, healthy int) rollout.Reading {
	t.Helper()
	return w.until(t, service, fmt.Sprintf("%d healthy in %s", healthy, service), func(r rollout.Reading) bool {
		return r.Healthy == healthy && r.Unhealthy == 0
	})
}

func (w *watcher) untilUnhealthy(t *testing.T, service string, unhealthy int) rollout.Reading {
	t.Helper()
	return w.until(t, service, fmt.Sprintf("%d unhealthy in %s", unhealthy, service), func(r rollout.Reading) bool {
		return r.Unhealthy == unhealthy && r.Healthy == r.Total-unhealthy
	})
}

// reports is how many came so far.
func (w *watcher) reports() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.times)
}

// stop ends the watch and checks how it ends.
func (w *watcher) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	select {
	case <-w.done:
	case <-time.After(w.within):
		t.Errorf("Watch did not return within %s of the end of its context", w.within)
		return
	}
	if !errors.Is(w.err, context.Canceled) {
		t.Errorf("Watch returned %v, want the error of its context", w.err)
	}
}
