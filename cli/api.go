package cli

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"viridian/rollout/controller"
	"viridian/server"
)

// apiPatience bounds the end of the API: waiting callers are answered at once, so little is left to wait for.
const apiPatience = 5 * time.Second

// api is the side of a replica that people and programs talk to.
type api struct {
	*door
	handler http.Handler
}

// makeAPI prepares the API, which takes longer than anything else at a start.
func (r *replica) makeAPI(p *program) error {
	r.metrics = prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := r.metrics.Register(c); err != nil {
			return err
		}
	}
	handler, err := server.New(server.Options{Service: controller.NewService(r.options()), Store: r.store, OpenAPI: p.openapi,
		Log: r.log, Clock: r.clock, Metrics: r.metrics, ProxyReady: r.proxyReady, Version: p.version,
		Schema: func() bool { return closed(r.migrated) }, Ending: func() bool { return r.api.leaving() },
		SessionIdle: r.config.SessionIdle, SessionLifetime: r.config.SessionLifetime, TrustedProxies: r.config.TrustedProxies,
		PublicBadges: r.config.PublicBadges, ProxyListen: func() string { return r.proxyAddress().String() }})
	r.api = &api{handler: handler}
	return err
}

// openAPI lets the API be asked.
func (r *replica) openAPI() error {
	if err := r.metrics.Register(r.router.Collector()); err != nil {
		return err
	}
	l, err := r.inherited.listen(socketAPI, r.config.Listen, "listen (--listen)")
	if err != nil {
		return err
	}
	r.api.door = newDoor(server.HTTPServer(r.api.handler), l)
	r.api.share(r.inherited.shared())
	r.log.Info("the API is served", "address", l.Addr().String())
	return nil
}

// proxyReady is true when there is a routing table: from the state files, or, on a node that has none, once the
// database has been asked.
func (r *replica) proxyReady() bool {
	if r.proxy.leaving() {
		return false
	}
	environments, _ := r.router.Loaded()
	return environments > 0 || closed(r.migrated)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// shutdown closes the door; streams and callers who wait for something are answered at once.
func (a *api) shutdown(delay time.Duration) {
	a.close(delay, apiPatience)
	a.cut()
}
