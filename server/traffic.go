package server

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"viridian/router"
	"viridian/server/api"
)

const (
	maxWindow  = 15 * time.Minute
	minWindow  = time.Second
	maxBuckets = 60
)

func (h handlers) ShowTraffic(ctx context.Context, request api.ShowTrafficRequestObject) (api.ShowTrafficResponseObject, error) {
	window := maxWindow
	if request.Params.Window != nil {
		var err error
		if window, err = time.ParseDuration(*request.Params.Window); err != nil || window < minWindow || window > maxWindow {
			return nil, invalid("?window", "must be 1s to 15m")
		}
	}
	e, _, err := h.environment(ctx, request.Environment)
	if err != nil {
		return nil, err
	}
	seconds := bucketSeconds(window)
	to := h.Clock.Now().UTC().Truncate(time.Second)
	out := api.ShowTraffic200JSONResponse{Environment: request.Environment, From: to.Add(-window), To: to, BucketSeconds: seconds,
		Missing: []api.UnmeasuredNode{}}
	measured, missing, err := h.Service.Measure(ctx, e, out.From, out.To)
	if err != nil {
		return nil, err
	}
	for _, m := range missing {
		out.Missing = append(out.Missing, api.UnmeasuredNode{Router: m.Router, Node: m.Node, Error: m.Error})
	}
	slices.SortFunc(out.Missing, func(a, b api.UnmeasuredNode) int {
		return cmp.Or(strings.Compare(a.Router, b.Router), strings.Compare(a.Node, b.Node))
	})
	out.Generations = trafficOf(measured, out.From, seconds)
	return out, nil
}

// bucketSeconds is how long a bucket is, so that a window has at most maxBuckets of them.
func bucketSeconds(window time.Duration) int {
	return int((window + maxBuckets*time.Second - 1) / (maxBuckets * time.Second))
}

// trafficOf adds seconds up to longer buckets, by generation and time. Buckets without requests are left out.
func trafficOf(measured []router.Bucket, from time.Time, seconds int) []api.GenerationTraffic {
	totals, parts := map[int]*traffic{}, map[int]map[int64]*traffic{}
	for _, b := range measured {
		if b.At.Before(from) {
			continue
		}
		slot := int64(b.At.Sub(from)/time.Second) / int64(seconds)
		if totals[b.Generation] == nil {
			totals[b.Generation], parts[b.Generation] = &traffic{}, map[int64]*traffic{}
		}
		if parts[b.Generation][slot] == nil {
			parts[b.Generation][slot] = &traffic{}
		}
		totals[b.Generation].add(b)
		parts[b.Generation][slot].add(b)
	}
	out := []api.GenerationTraffic{}
	for generation, total := range totals {
		shown := api.GenerationTraffic{Generation: generation, Requests: total.requests, Errors: total.errors,
			P50Ms: total.percentile(0.50), P99Ms: total.percentile(0.99), Buckets: []api.TrafficBucket{}}
		for slot, part := range parts[generation] {
			shown.Buckets = append(shown.Buckets, api.TrafficBucket{At: from.Add(time.Duration(slot) * time.Duration(seconds) * time.Second),
				Requests: part.requests, Errors: part.errors, P50Ms: part.percentile(0.50), P99Ms: part.percentile(0.99)})
		}
		slices.SortFunc(shown.Buckets, func(a, b api.TrafficBucket) int { return a.At.Compare(b.At) })
		out = append(out, shown)
	}
	slices.SortFunc(out, func(a, b api.GenerationTraffic) int { return cmp.Compare(a.Generation, b.Generation) })
	return out
}

// traffic is a sum of buckets.
type traffic struct {
	requests, errors int64
	latency          []int64
}

func (t *traffic) add(b router.Bucket) {
	t.requests += b.Requests
	t.errors += b.Errors
	if len(t.latency) < len(b.Latency) {
		t.latency = append(t.latency, make([]int64, len(b.Latency)-len(t.latency))...)
	}
	for i, n := range b.Latency {
		t.latency[i] += n
	}
}

// percentile is the time, in milliseconds, within which that share of the requests was answered: the upper end of
// its latency count, so that it is never too good. It is nil when nothing was counted.
func (t *traffic) percentile(share float64) *float64 {
	var total int64
	for _, n := range t.latency {
		total += n
	}
	if total == 0 {
		return nil
	}
	rank, seen := int64(share*float64(total)), int64(0)
	for i, n := range t.latency {
		if seen += n; seen > rank || seen == total {
			ms := float64(router.LatencyBounds[min(i, len(router.LatencyBounds)-1)]) / float64(time.Millisecond)
			return &ms
		}
	}
	return nil
}
