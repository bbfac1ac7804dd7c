package builtin

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"viridian/router"
)

var (
	byGeneration = []string{"environment", "generation"}
	requestsDesc = prometheus.NewDesc("viridian_proxy_requests_total",
		"Requests by class of answer; aborted ones broke off.", append(byGeneration, "code_class"), nil)
	durationDesc = prometheus.NewDesc("viridian_proxy_request_duration_seconds",
		"Time to the end of the answer; for event streams and upgraded connections to its beginning.", byGeneration, nil)
	inFlightDesc = prometheus.NewDesc("viridian_proxy_in_flight",
		"Requests and upgraded connections that are open.", byGeneration, nil)
	cutDesc = prometheus.NewDesc("viridian_proxy_cut_total",
		"Requests and upgraded connections that were ended because they outlasted a drain.", byGeneration, nil)
)

// collector reads the counters of the generations that are known at the time, so that a removed one leaves no series.
type collector struct{ router *Router }

// Collector is the router's metrics, all named viridian_proxy_…
func (r *Router) Collector() prometheus.Collector { return collector{r} }

func (c collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, durationDesc, inFlightDesc, cutDesc} {
		out <- d
	}
}

func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, env := range c.router.snapshot() {
		env.mu.Lock()
		known := make([]*generation, 0, len(env.generations))
		for _, g := range env.generations {
			known = append(known, g)
		}
		env.mu.Unlock()
		for _, g := range known {
			g.collect(out)
		}
	}
}

func (g *generation) collect(out chan<- prometheus.Metric) {
	number := strconv.Itoa(g.number)
	for class := range g.traffic.byClass {
		if n := g.traffic.byClass[class].Load(); n > 0 {
			out <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(n),
				g.environment, number, classNames[class])
		}
	}
	count, buckets := g.traffic.histogram()
	sum := time.Duration(g.traffic.sum.Load()).Seconds()
	out <- prometheus.MustNewConstHistogram(durationDesc, count, sum, buckets, g.environment, number)
	out <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, float64(g.open.Load()), g.environment, number)
	out <- prometheus.MustNewConstMetric(cutDesc, prometheus.CounterValue, float64(g.cut.Load()), g.environment, number)
}

// histogram sums the latency counts up as Prometheus wants them, with every fourth bound: 15 buckets, not 60.
func (t *traffic) histogram() (count uint64, buckets map[float64]uint64) {
	buckets = map[float64]uint64{}
	for i := range t.latency {
		count += uint64(t.latency[i].Load())
		if i%4 == 3 && i < len(router.LatencyBounds) {
			buckets[router.LatencyBounds[i].Seconds()] = count
		}
	}
	return count, buckets
}
