package builtin

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"viridian/router"
)

// window is how many seconds of traffic are kept.
const window = 15 * 60

// The classes of answers: index 1 to 5 for statuses of 100 and above, and one for answers that broke off.
const (
	classAborted = 0
	classes      = 6
)

var classNames = [classes]string{"aborted", "1xx", "2xx", "3xx", "4xx", "5xx"}

// traffic counts what one generation answered: in all, and in each of the last seconds. Everything is an atomic, for
// every request passes here.
type traffic struct {
	byClass [classes]atomic.Int64
	latency []atomic.Int64 // as router.Bucket.Latency
	sum     atomic.Int64   // of the durations, nanoseconds
	seconds [window]atomic.Pointer[second]
}

// second is the traffic of one second. It is made by the first request of that second, so that idle time costs nothing.
type second struct {
	unix             int64
	requests, errors atomic.Int64
	latency          []atomic.Int32
}

func newTraffic() *traffic {
	return &traffic{latency: make([]atomic.Int64, len(router.LatencyBounds)+1)}
}

func (t *traffic) add(now time.Time, took time.Duration, class int, failed bool) {
	if class < 0 || class >= classes {
		class = classAborted
	}
	bound, _ := slices.BinarySearch(router.LatencyBounds, took)
	t.byClass[class].Add(1)
	t.latency[bound].Add(1)
	t.sum.Add(int64(took))
	s := t.second(now.Unix())
	s.requests.Add(1)
	s.latency[bound].Add(1)
	if failed {
		s.errors.Add(1)
	}
}

// second returns the counters of that second. Where a newer second has their place (the clock went back by the whole
// window), that one is returned.
func (t *traffic) second(unix int64) *second {
	place := &t.seconds[unix%window]
	for {
		s := place.Load()
		if s != nil && s.unix >= unix {
			return s
		}
		fresh := &second{unix: unix, latency: make([]atomic.Int32, len(router.LatencyBounds)+1)}
		if place.CompareAndSwap(s, fresh) {
			return fresh
		}
	}
}

// buckets lists the seconds that begin in [from, to), oldest first.
func (t *traffic) buckets(generation int, from, to time.Time) []router.Bucket {
	var out []router.Bucket
	for i := range t.seconds {
		s := t.seconds[i].Load()
		if s == nil {
			continue
		}
		at := time.Unix(s.unix, 0)
		if at.Before(from) || !at.Before(to) {
			continue
		}
		b := router.Bucket{At: at, Generation: generation, Requests: s.requests.Load(), Errors: s.errors.Load(),
			Latency: make([]int64, len(s.latency))}
		for k := range s.latency {
			b.Latency[k] = int64(s.latency[k].Load())
		}
		out = append(out, b)
	}
	return out
}

// Measure tells the traffic of every generation that is known of the environment, in the seconds that begin in
// [from, to). Seconds without traffic are left out. A request counts in the second of its end; an event stream and an
// upgraded connection in the second of the first answer, with the time until then.
func (r *Router) Measure(_ context.Context, name string, from, to time.Time) ([]router.Bucket, error) {
	env := r.known(name)
	if env == nil {
		return nil, nil
	}
	if oldest := r.clock.Now().Add(-window * time.Second); from.Before(oldest) {
		from = oldest
	}
	env.mu.Lock()
	known := make([]*generation, 0, len(env.generations))
	for _, n := range env.numbers() {
		known = append(known, env.generations[n])
	}
	env.mu.Unlock()
	var out []router.Bucket
	for _, g := range known {
		out = append(out, g.traffic.buckets(g.number, from, to)...)
	}
	slices.SortStableFunc(out, func(a, b router.Bucket) int { return a.At.Compare(b.At) })
	return out, nil
}
