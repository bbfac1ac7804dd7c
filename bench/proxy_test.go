package bench

import (
	"fmt"
	"os"
	"testing"
	"time"

	"viridian/router/routertest"
)

// What a round is made of. The proxies hold their backend's connections from one round to the next.
const (
	proxyRounds = 12
	proxyRound  = 1300 * time.Millisecond
	proxyWarmUp = 200 * time.Millisecond
)

var proxyGoal = goal{bound: 0.95, atLeast: true}

// contender is a proxy and what was measured of it, by round.
type contender struct {
	*child
	title     string
	perSecond []float64
	p50, p99  []time.Duration
	processor []time.Duration // for one request
}

// TestBenchProxy compares the builtin router with a plain reverse proxy, and with HAProxy for the scale. A proxy has
// one core; backend and clients have another one.
func TestBenchProxy(t *testing.T) {
	gate(t)
	free := cores()
	if len(free) < 2 {
		t.Skip("needs taskset and two cores: one for the proxy, one for the rest")
	}
	rounds := proxyRounds
	if testing.Short() {
		rounds = 4
	}
	load := start(t, "load", free[1], task{})
	all := contenders(t, free[0], load.Address)
	busy := 0.0
	for round := -1; round < rounds; round++ { // the first one warms up
		for i := range all {
			c := all[(i+max(round, 0))%len(all)]
			result := c.volley(t, load)
			if round < 0 {
				continue
			}
			c.note(result)
			if c.role != "haproxy" {
				busy = max(busy, result.Busy)
			}
		}
	}
	builtin, plain := all[0], all[1]
	lines := []string{"\trequests/s\tp50\tp99\tprocessor time/request\trequests/s to ReverseProxy"}
	for _, c := range all {
		lines = append(lines, c.row(plain))
	}
	lines = append(lines, "",
		proxyGoal.row("builtin to ReverseProxy, requests/s", ratios(builtin.perSecond, plain.perSecond)),
		"builtin to ReverseProxy, processor time\t"+ratio(ratios(seconds(builtin.processor), seconds(plain.processor))),
		fmt.Sprintf("backend and clients: at most %.0f%% of their core with the Go proxies", busy*100))
	report(t, fmt.Sprintf("Proxies on one core: %d keep-alive connections, body of %d bytes, %d rounds of %s",
		connections, len(body), rounds, proxyRound), lines...)
}

// contenders starts the proxies: builtin, plain, and HAProxy where it is installed.
func contenders(t *testing.T, core, backend string) []*contender {
	t.Helper()
	proxy := func(role, title string) *contender {
		c := start(t, role, core, task{Backend: backend, Dir: t.TempDir()})
		return &contender{child: c, title: title}
	}
	all := []*contender{proxy("builtin", "builtin router"), proxy("plain", "httputil.ReverseProxy")}
	switch _, err := routertest.FindHAProxy(); {
	case err == nil:
		all = append(all, proxy("haproxy", "HAProxy, 1 thread"))
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Logf("HAProxy is left out: %v", err)
	}
	return all
}

// volley measures the proxy once.
func (c *contender) volley(t *testing.T, load *child) volleyResult {
	t.Helper()
	before := c.processorTime()
	if err := load.tell.Encode(volley{Address: c.Address, Warm: proxyWarmUp, For: proxyRound}); err != nil {
		t.Fatal(err)
	}
	var result volleyResult
	if err := load.hear.Decode(&result); err != nil {
		t.Fatalf("%s: %v", c.title, err)
	}
	if result.Error != "" || result.Requests == 0 {
		t.Fatalf("%s: %d requests: %s", c.title, result.Requests, result.Error)
	}
	result.Processor = c.processorTime() - before
	return result
}

func (c *contender) note(r volleyResult) {
	c.perSecond = append(c.perSecond, float64(r.Requests)/proxyRound.Seconds())
	c.p50, c.p99 = append(c.p50, r.P50), append(c.p99, r.P99)
	c.processor = append(c.processor, r.Processor/time.Duration(r.Sent))
}

func (c *contender) row(to *contender) string {
	return fmt.Sprintf("%s\t%.0f ±%.0f%%\t%s\t%s\t%s\t%s", c.title, median(c.perSecond), spread(c.perSecond),
		millis(median(c.p50)), millis(median(c.p99)), micros(median(c.processor)), ratio(ratios(c.perSecond, to.perSecond)))
}

// ratios divides round by round.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

func seconds(durations []time.Duration) []float64 {
	out := make([]float64, len(durations))
	for i, d := range durations {
		out[i] = d.Seconds()
	}
	return out
}
