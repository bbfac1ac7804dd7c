package cli

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"viridian/rollout/controller"
	"viridian/server"
)

// apiPatience bounds the end of the API: waiting callers are answered at once, so little is left to wait for.
const apiPatience = 5 * time.Second

// api is the side of a replica that people and programs talk to.
type api struct{ *door }

func (r *replica) openAPI(p *program) error {
	metrics := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), r.router.Collector()} {
		if err := metrics.Register(c); err != nil {
			return err
		}
	}
	handler, err := server.New(server.Options{Service: controller.NewService(r.options()), Store: r.store, OpenAPI: p.openapi,
		Log: r.log, Clock: r.clock, Metrics: metrics, Measurer: r.router, ProxyReady: r.proxyReady, Version: p.version,
		Schema: func() bool { return closed(r.migrated) }, Ending: func() bool { return r.api.ending.Load() },
		SessionIdle: r.config.SessionIdle, SessionLifetime: r.config.SessionLifetime, TrustedProxies: r.config.TrustedProxies,
		ProxyListen: r.proxyAddress().String()})
	if err != nil {
		return err
	}
	l, err := listen(r.config.Listen, "listen (--listen)")
	if err != nil {
		return err
	}
	r.api = &api{newDoor(server.HTTPServer(handler), l)}
	r.log.Info("the API and the pages are served", "address", l.Addr().String())
	return nil
}

// proxyReady is true when there is a routing table: from the state files, or, on a node that has none, once the
// database has been asked.
func (r *replica) proxyReady() bool {
	if r.proxy.ending.Load() {
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
