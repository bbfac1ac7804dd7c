package builtin

import (
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"viridian/router"
)

func TestTraffic_Buckets(t *testing.T) {
	t.Parallel()
	tr := newTraffic()
	start := time.Unix(1_800_000_000, 500)
	tr.add(start, 50*time.Microsecond, 2, false)
	tr.add(start, 100*time.Microsecond, 2, false)
	tr.add(start.Add(time.Second), 101*time.Microsecond, 5, true)
	tr.add(start.Add(time.Second), time.Hour, 2, false)
	got := tr.buckets(4, start.Truncate(time.Second), start.Add(time.Minute))
	if len(got) != 2 {
		t.Fatalf("%d buckets, want 2", len(got))
	}
	byTime := map[int64]router.Bucket{}
	for _, b := range got {
		byTime[b.At.Unix()] = b
	}
	first, then := byTime[start.Unix()], byTime[start.Unix()+1]
	if first.Generation != 4 || first.Requests != 2 || first.Errors != 0 || first.Latency[0] != 2 {
		t.Errorf("first second: %+v", first)
	}
	if then.Requests != 2 || then.Errors != 1 || then.Latency[1] != 1 || then.Latency[len(router.LatencyBounds)] != 1 {
		t.Errorf("next second: %+v", then)
	}
	if b := tr.buckets(4, start, start.Add(time.Second)); len(b) != 1 || b[0].At.Unix() != start.Unix()+1 {
		t.Errorf("from the middle of a second: %+v", b)
	}
	tr.add(start.Add(window*time.Second), time.Millisecond, 2, false) // takes the place of the first second
	if b := tr.buckets(4, start.Add(-time.Hour), start.Add(time.Hour)); len(b) != 2 {
		t.Errorf("after the window %d buckets, want 2", len(b))
	}
}

func TestMeasure_LeavesOutWhatIsOld(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	n := served(t, func(n *node) { n.clock = clock })
	n.serves(1)
	requests := func() int64 { return n.measured(func(b router.Bucket) int64 { return b.Requests })[1] }
	n.eventually("the count", func() bool { return requests() == 1 })
	clock.Advance(window*time.Second + time.Second)
	if requests() != 0 {
		t.Error("traffic of more than 15 minutes ago is told")
	}
}

func TestCollector(t *testing.T) {
	t.Parallel()
	n := served(t)
	n.stage(2)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(n.Collector())
	for range 3 {
		n.serves(1)
	}
	n.eventually("the counts", func() bool { return n.measured(func(b router.Bucket) int64 { return b.Requests })[1] == 3 })
	for series, want := range map[string]float64{
		"viridian_proxy_requests_total code_class=2xx environment=shop generation=1": 3,
		"viridian_proxy_request_duration_seconds environment=shop generation=1":      3,
		"viridian_proxy_in_flight environment=shop generation=1":                     0,
		"viridian_proxy_cut_total environment=shop generation=2":                     0,
	} {
		if got, ok := gather(t, registry)[series]; !ok || got != want {
			t.Errorf("%s is %v (there: %v), want %v", series, got, ok, want)
		}
	}
	if err := n.Remove(t.Context(), router.Fence{Revision: 1}, "shop", 2); err != nil {
		t.Fatal(err)
	}
	for series := range gather(t, registry) {
		if strings.Contains(series, "generation=2") {
			t.Errorf("%s is still there after its generation was removed", series)
		}
	}
}

// gather reads all series: counters and gauges by value, histograms by count.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			out[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return out
}
