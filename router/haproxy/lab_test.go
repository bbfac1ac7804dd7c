package haproxy

import (
	"context"
	"maps"
	"net"
	"net/http"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

const shopHost = "shop.localhost"

// lab is an HAProxy with one environment of one service, the driver of it, and the backends of its generations.
type lab struct {
	testing.TB
	*haproxy
	*Node
	ctx      context.Context
	spec     rollout.Route
	backends map[int]*routertest.Backend
	flips    []routertest.Flip
}

func newLab(t testing.TB, options ...func(*haproxy, *Config)) *lab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
	t.Cleanup(cancel)
	l := &lab{TB: t, ctx: ctx, backends: map[int]*routertest.Backend{}, spec: shop()}
	c := Config{Environments: environmentsOf([]rollout.Route{l.spec})}
	l.haproxy = startHAProxy(t, c, func(h *haproxy) {
		for _, change := range options {
			change(h, &h.Config)
		}
	})
	l.Node = l.haproxy.node(t)
	return l
}

// shop is a route without weights.
func shop() rollout.Route {
	return rollout.Route{Environment: "shop", SpecVersion: 1, Drain: rollout.Duration(time.Minute),
		Services: []rollout.RouteService{{Hosts: []string{shopHost}, Service: rollout.Service{Name: "web", Protocol: "http",
			Health: rollout.Health{Type: rollout.HealthTCP, Interval: rollout.Duration(100 * time.Millisecond), Timeout: rollout.Duration(time.Second),
				HealthyAfter: 1, UnhealthyAfter: 1}}}}}
}

func all(generation int) rollout.Weights { return rollout.Weights{generation: 100} }

// generation has one instance, a new backend.
func (l *lab) generation(number int) rollout.Generation {
	l.Helper()
	if l.backends[number] == nil {
		l.backends[number] = routertest.NewBackend(l, number)
	}
	return at(number, l.backends[number].Instance("web-1"))
}

func at(number int, instances ...rollout.Instance) rollout.Generation {
	return rollout.Generation{Environment: "shop", Number: number, Groups: []rollout.Group{{Service: "web", Instances: instances}}}
}

func (l *lab) route(revision int64, weights rollout.Weights) rollout.Route {
	route := l.spec
	route.Revision, route.Weights = revision, maps.Clone(weights)
	for _, n := range weights.Numbers() {
		if route.Live == 0 || weights[n] > weights[route.Live] {
			route.Live = n
		}
	}
	return route
}

func (l *lab) tryStage(revision int64, g rollout.Generation) error {
	return l.Stage(l.ctx, router.Fence{Revision: revision}, l.route(revision, nil), g)
}

func (l *lab) stage(revision int64, numbers ...int) {
	l.Helper()
	for _, number := range numbers {
		if err := l.tryStage(revision, l.generation(number)); err != nil {
			l.Fatalf("stage: %v", err)
		}
	}
}

func (l *lab) tryApply(revision int64, weights rollout.Weights) error {
	return l.Apply(l.ctx, router.Fence{Revision: revision}, l.route(revision, weights))
}

func (l *lab) apply(revision int64, weights rollout.Weights) {
	l.Helper()
	f := routertest.Flip{Begun: time.Now(), Weights: weights}
	if err := l.tryApply(revision, weights); err != nil {
		l.Fatalf("apply revision %d: %v", revision, err)
	}
	f.Applied = time.Now()
	l.flips = append(l.flips, f)
}

func (l *lab) remove(revision int64, number int) {
	l.Helper()
	if err := l.Remove(l.ctx, router.Fence{Revision: revision}, "shop", number); err != nil {
		l.Fatalf("remove: %v", err)
	}
}

func (l *lab) observe() router.Observation {
	l.Helper()
	o, err := l.Observe(l.ctx, "shop")
	if err != nil {
		l.Fatalf("observe: %v", err)
	}
	return o
}

// say sends a line to the runtime socket as a person would, and returns the answer.
func (h *haproxy) say(line string) string {
	h.Helper()
	answer, err := address{network: "unix", target: h.dir + "/admin.sock"}.exchange(h.Context(), line+"\n")
	if err != nil {
		h.Fatalf("%s: %v", line, err)
	}
	return answer
}

// ask sends one request, and returns its status and the generation that answered.
func (h *haproxy) ask(host, path string, header ...string) (status int, generation string) {
	h.Helper()
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, h.listen)
	}}
	req, err := http.NewRequestWithContext(h.Context(), http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		h.Fatalf("%s%s: %v", host, path, err)
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get(routertest.GenerationHeader)
}

// serves checks that a request is answered by the generation, or with that status when it is "".
func (l *lab) serves(generation string, status int) {
	l.Helper()
	if s, g := l.haproxy.ask(shopHost, "/"); s != status || g != generation {
		l.Fatalf("answered with status %d by generation %q, want %d by %q", s, g, status, generation)
	}
}

// load puts traffic on the shop while during runs, and judges it by the flips so far.
func (l *lab) load(load routertest.Load, during func(*routertest.Traffic)) routertest.Verdict {
	load.Address, load.Host = l.listen, shopHost
	traffic := load.Start()
	during(traffic)
	return routertest.Check(traffic.Stop(), l.flips)
}
