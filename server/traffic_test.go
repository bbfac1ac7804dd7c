package server

import (
	"slices"
	"testing"
	"time"

	"viridian/router"
)

func TestBucketSeconds_AtMost60(t *testing.T) {
	t.Parallel()
	for window, want := range map[time.Duration]int{time.Second: 1, time.Minute: 1, 61 * time.Second: 2, 15 * time.Minute: 15, 100 * time.Second: 2} {
		have := bucketSeconds(window)
		if have != want || int(window/time.Second) > have*maxBuckets {
			t.Errorf("buckets of %d s for %s, want %d", have, window, want)
		}
	}
}

func TestTrafficOf_AddsUpByGenerationAndTime(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	second := func(at, generation int, requests, errors int64, latency time.Duration) router.Bucket {
		counts := make([]int64, len(router.LatencyBounds)+1)
		i, _ := slices.BinarySearch(router.LatencyBounds, latency)
		counts[i] = requests
		return router.Bucket{At: from.Add(time.Duration(at) * time.Second), Generation: generation, Requests: requests, Errors: errors, Latency: counts}
	}
	out := trafficOf([]router.Bucket{second(-1, 1, 1000, 1000, time.Second), second(0, 2, 10, 1, time.Millisecond), second(14, 2, 89, 0, time.Millisecond),
		second(15, 2, 1, 1, time.Hour), second(16, 1, 0, 2, 0)}, from, 15)
	if len(out) != 2 || out[0].Generation != 1 || out[1].Generation != 2 {
		t.Fatalf("generations: %+v", out)
	}
	if g := out[0]; g.Requests != 0 || g.Errors != 2 || g.P50Ms != nil {
		t.Errorf("without requests there is no latency: %+v", g)
	}
	g := out[1]
	if g.Requests != 100 || g.Errors != 2 || len(g.Buckets) != 2 || g.Buckets[0].Requests != 99 || !g.Buckets[1].At.Equal(from.Add(15*time.Second)) {
		t.Errorf("%+v", g)
	}
	if *g.P50Ms < 1 || *g.P50Ms > 1.3 || *g.P99Ms != 60_000 || *g.Buckets[0].P99Ms != *g.P50Ms {
		t.Errorf("p50 %v, p99 %v, of the first bucket %v", *g.P50Ms, *g.P99Ms, *g.Buckets[0].P99Ms)
	}
}
