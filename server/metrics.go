package server

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"viridian/rollout"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

// newMetrics registers the server's metrics, among them those of switches that this process hears of.
func newMetrics(o Options) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "viridian_api_requests_total",
			Help: "Requests to the API by operation and status."}, []string{"operation", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "viridian_api_request_duration_seconds",
			Help: "Time to answer requests to the API, by operation; waiting for a switch is part of it.", Buckets: latencyBuckets}, []string{"operation"}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "viridian_build_info",
		Help: "Always 1; the labels say what runs."}, []string{"version", "go_version"})
	build.WithLabelValues(o.Version, runtime.Version()).Set(1)
	switches := newSwitchMetrics(o.Clock, o.Store.Nodes)
	for _, c := range []prometheus.Collector{m.requests, m.duration, build, switches} {
		if err := o.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	o.Service.Hub.Subscribe("", switches.see) // for as long as the process lives
	return m, nil
}

// latencyBuckets reach from half a millisecond to half a minute.
var latencyBuckets = []float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30}

// switchMetrics follows what the hub tells: how long switches took to be applied, and how old receipts are.
type switchMetrics struct {
	clock   clockwork.Clock
	nodes   func(context.Context) ([]rollout.Node, time.Time, error)
	applied prometheus.Histogram
	age     *prometheus.Desc

	mu     sync.Mutex
	latest map[string]rollout.Environment
	open   map[string]int64 // the revision that was heard of as committed and not yet as applied
}

func newSwitchMetrics(clock clockwork.Clock, nodes func(context.Context) ([]rollout.Node, time.Time, error)) *switchMetrics {
	return &switchMetrics{clock: clock, nodes: nodes, latest: map[string]rollout.Environment{}, open: map[string]int64{},
		applied: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "viridian_switch_commit_to_applied_seconds",
			Help: "Time from the commit of a switch until every required node was seen to follow it.", Buckets: latencyBuckets}),
		age: prometheus.NewDesc("viridian_receipt_age_seconds",
			"Time since a node was last known to do what its receipt says.", []string{"environment", "router", "node"}, nil)}
}

// see notes what is known of an environment now.
func (m *switchMetrics) see(name string, e *rollout.Environment) {
	if e == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e.DeletedAt != nil {
		delete(m.latest, name)
		delete(m.open, name)
		return
	}
	m.latest[name] = *e
	switch s := e.Switch; {
	case s == nil:
	case s.Status == rollout.Committed:
		m.open[name] = s.Revision
	case s.Status == rollout.Applied && m.open[name] == s.Revision && s.AppliedAt != nil:
		delete(m.open, name)
		m.applied.Observe(s.AppliedAt.Sub(s.CommittedAt).Seconds())
	}
}

// Describe is for Prometheus.
func (m *switchMetrics) Describe(out chan<- *prometheus.Desc) {
	m.applied.Describe(out)
	out <- m.age
}

// Collect is for Prometheus.
func (m *switchMetrics) Collect(out chan<- prometheus.Metric) {
	m.applied.Collect(out)
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	nodes, now, err := m.nodes(ctx)
	if err != nil { // without the database the ages grow from what was last heard
		now = m.clock.Now()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, e := range m.latest {
		if err == nil {
			e.Nodes = nodes
		}
		for _, n := range e.Nodes {
			if at, ok := e.ConfirmedAt(n); ok && !n.Removed {
				out <- prometheus.MustNewConstMetric(m.age, prometheus.GaugeValue, max(now.Sub(at), time.Duration(0)).Seconds(), name, n.Router, n.Name)
			}
		}
	}
}

// scrapeTimeout bounds what a scrape of the metrics asks of the database.
const scrapeTimeout = time.Second
