package haproxy

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"viridian/router"
)

// window is how many seconds of traffic are kept.
const window = 15 * 60

// traffic is what this process counted: every second it asks HAProxy for the totals of our backends, and takes the
// difference for the generation that is in the slot.
type traffic struct {
	sampling chan struct{} // capacity 1: whoever put something in may take a sample

	mu      sync.Mutex
	run     string            // the incarnation that totals are of
	totals  map[string]totals // by backend
	seconds map[secondKey]*second
}

type totals struct{ requests, errors int64 }

type secondKey struct {
	environment string
	generation  int
	unix        int64
}

// second is the traffic of one generation in one second. HAProxy tells no single durations, only the average over the
// last 1,024 requests of a backend: all of a second count as having taken that long.
type second struct {
	requests, errors int64
	latency          []int64
}

func newTraffic() *traffic {
	return &traffic{sampling: make(chan struct{}, 1), totals: map[string]totals{}, seconds: map[secondKey]*second{}}
}

// sample reads the totals of all backends.
func (n *Node) sample(ctx context.Context) error {
	if err := take(ctx, n.traffic.sampling); err != nil {
		return err
	}
	defer func() { <-n.traffic.sampling }()
	v, err := n.look(ctx, "")
	if err != nil {
		return err
	}
	answers, err := n.runtime.show(ctx, command{"show", "info"}, command{"show", "stat", "-1", "2", "-1"})
	if err != nil {
		return err
	}
	i, err := readInfo(answers[0])
	if err != nil || i.incarnation != v.incarnation {
		return err // the next sample is of one run again
	}
	rows, err := readStats(answers[1])
	if err != nil {
		return err
	}
	n.traffic.take(v, rows, n.clock.Now())
	return nil
}

// take counts what came since the last sample. Of another run than before, everything is new.
func (t *traffic) take(v view, rows []stat, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := t.run == ""
	if t.run != v.incarnation {
		t.run, t.totals = v.incarnation, map[string]totals{}
	}
	entries := map[string]entry{}
	for _, row := range rows {
		name, _, last, ours := splitBackend(row["pxname"])
		if !ours || strings.HasPrefix(last, asks) {
			continue
		}
		e, known := entries[name]
		if !known {
			e, _ = parseEntry(v.entries[envKey+name]) // of one that was edited, what can be read
			entries[name] = e
		}
		before, seen := t.totals[row["pxname"]]
		after := row.totals()
		t.totals[row["pxname"]] = after
		if first && !seen {
			continue // what was there before this process is not of this second
		}
		if after.requests < before.requests || after.errors < before.errors {
			before = totals{} // somebody cleared the counters
		}
		if s, ok := e.at(last); ok && after.requests > before.requests {
			t.add(secondKey{name, s.generation, now.Unix()}, after.requests-before.requests, after.errors-before.errors, row.average())
		}
	}
	oldest := now.Unix() - window
	maps.DeleteFunc(t.seconds, func(k secondKey, _ *second) bool { return k.unix < oldest })
}

// at is the slot that a backend's name ends with, if a generation is in it.
func (e entry) at(last string) (slot, bool) {
	i := slices.IndexFunc(e.slots, func(s slot) bool { return s.generation != 0 && last == strconv.Itoa(s.number) })
	if i < 0 {
		return slot{}, false
	}
	return e.slots[i], true
}

func (t *traffic) add(key secondKey, requests, errors int64, took time.Duration) {
	s := t.seconds[key]
	if s == nil {
		s = &second{latency: make([]int64, len(router.LatencyBounds)+1)}
		t.seconds[key] = s
	}
	s.requests += requests
	s.errors += errors
	bound, _ := slices.BinarySearch(router.LatencyBounds, took)
	s.latency[bound] += requests
}

// totals are the answers of an http backend, or the connections of a tcp one.
func (s stat) totals() totals {
	if s["mode"] == protocolTCP {
		return totals{requests: s.number("stot"), errors: s.number("econ") + s.number("eresp")}
	}
	t := totals{errors: s.number("hrsp_5xx")}
	for _, column := range []string{"hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx", "hrsp_other"} {
		t.requests += s.number(column)
	}
	return t
}

// average is how long the last requests took from end to end, in HAProxy's whole milliseconds.
func (s stat) average() time.Duration {
	if s["mode"] == protocolTCP {
		return time.Duration(s.number("ctime")) * time.Millisecond
	}
	return time.Duration(s.number("rtime")) * time.Millisecond
}

// Measure tells the traffic of the environment's generations, in the seconds that begin in [from, to), as far back as
// this process has counted. Requests and errors are exact. Durations are not: see [second].
func (n *Node) Measure(ctx context.Context, environment string, from, to time.Time) ([]router.Bucket, error) {
	if err := n.sample(ctx); err != nil {
		return nil, err
	}
	n.traffic.mu.Lock()
	defer n.traffic.mu.Unlock()
	var out []router.Bucket
	for key, s := range n.traffic.seconds {
		at := time.Unix(key.unix, 0)
		if key.environment != environment || at.Before(from) || !at.Before(to) {
			continue
		}
		out = append(out, router.Bucket{At: at, Generation: key.generation, Requests: s.requests, Errors: s.errors, Latency: slices.Clone(s.latency)})
	}
	slices.SortFunc(out, func(a, b router.Bucket) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return a.Generation - b.Generation
	})
	return out, nil
}
