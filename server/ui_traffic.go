package server

import (
	"context"
	"sync"
	"time"

	"viridian/rollout"
	"viridian/router"
	"viridian/web"
)

const (
	// trafficStep is the time between two points of a line, and trafficPoints how many there are.
	trafficStep   = 2 * time.Second
	trafficPoints = 60
	// trafficNow is how many points the present number is the mean of.
	trafficNow = 2
)

// meter keeps what was counted in the environments that somebody looks at, by the step that it was counted in.
type meter struct {
	mu   sync.Mutex
	read map[string]meterReading
}

// meterPatience bounds the wait for the counts of nodes that are other processes: a page is not late for one of them.
const meterPatience = 300 * time.Millisecond

type meterReading struct {
	step    int64
	asking  bool // somebody does
	traffic map[int]*web.Traffic
}

// trafficOf is the traffic of each generation as it was measured last; nil when that is not known.
func (b *board) trafficOf(environment string) map[int]*web.Traffic {
	b.meter.mu.Lock()
	defer b.meter.mu.Unlock()
	return b.meter.read[environment].traffic
}

// measure asks the routers that can be asked from here what they counted. It is done once in a step for all who look,
// and nobody waits who holds the lock of the drawing: a node that does not answer would hold up every page. It says
// whether there is something new.
func (b *board) measure(ctx context.Context, e rollout.Environment) bool {
	to := b.Clock.Now().UTC().Truncate(trafficStep)
	if !b.beginMeasuring(e.Name, to.Unix()) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, meterPatience)
	defer cancel()
	from := to.Add(-trafficPoints * trafficStep)
	reading := meterReading{step: to.Unix()}
	if buckets, _, err := b.Service.Measure(ctx, e, from, to); err == nil {
		reading.traffic = b.trafficViews(e, buckets, from)
	}
	b.meter.mu.Lock()
	defer b.meter.mu.Unlock()
	b.meter.read[e.Name] = reading
	return true
}

// beginMeasuring says whether nobody has asked in this step.
func (b *board) beginMeasuring(environment string, step int64) bool {
	b.meter.mu.Lock()
	defer b.meter.mu.Unlock()
	at, known := b.meter.read[environment]
	if known && (at.asking || at.step == step) {
		return false
	}
	if len(b.meter.read) > 1000 {
		clear(b.meter.read)
	}
	at.asking = true
	b.meter.read[environment] = at
	return true
}

// measureBeside does so for a page that is read on and on, and wakes its readers with what is new.
func (b *board) measureBeside(e rollout.Environment) {
	b.beside(func() {
		if b.measure(b.running, e) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.tick++
			b.wakeLocked(e.Name, false)
		}
	})
}

// trafficViews turns seconds into the lines of the page. Both sides share their scales, so that they can be compared.
func (b *board) trafficViews(e rollout.Environment, buckets []router.Bucket, from time.Time) map[int]*web.Traffic {
	parts := map[int][]traffic{}
	for _, bucket := range buckets {
		slot := int(bucket.At.Sub(from) / trafficStep)
		if slot < 0 || slot >= trafficPoints {
			continue
		}
		if parts[bucket.Generation] == nil {
			parts[bucket.Generation] = make([]traffic, trafficPoints)
		}
		parts[bucket.Generation][slot].add(bucket)
	}
	out := map[int]*web.Traffic{}
	topRate, topP99 := 0.0, 0.0
	for _, g := range e.Generations {
		t := b.trafficView(parts[g.Number], from)
		for i := range t.Rates {
			topRate, topP99 = max(topRate, t.Rates[i]), max(topP99, t.P99s[i])
		}
		out[g.Number] = t
	}
	for _, t := range out {
		t.TopRate, t.TopP99 = topRate*1.1, topP99*1.1
	}
	return out
}

func (b *board) trafficView(parts []traffic, from time.Time) *web.Traffic {
	t := &web.Traffic{Node: b.Service.Node.Name, From: from, Step: trafficStep, Rates: make([]float64, trafficPoints),
		Faults: make([]float64, trafficPoints), P99s: make([]float64, trafficPoints)}
	var last traffic
	for i, part := range parts {
		t.Rates[i] = float64(part.requests) / trafficStep.Seconds()
		t.Faults[i] = float64(part.errors) / trafficStep.Seconds()
		if p99 := part.percentile(0.99); p99 != nil {
			t.P99s[i] = *p99
		}
		if i >= trafficPoints-trafficNow {
			last.sum(part)
		}
	}
	span := (trafficNow * trafficStep).Seconds()
	t.Rate, t.Errors, t.P99 = float64(last.requests)/span, float64(last.errors)/span, last.percentile(0.99)
	return t
}

// sum adds another sum.
func (t *traffic) sum(o traffic) {
	t.add(router.Bucket{Requests: o.requests, Errors: o.errors, Latency: o.latency})
}
