package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/router"
	"viridian/server"
	serverapi "viridian/server/api"
)

// apiPatience bounds the end of the API: waiting callers are answered at once, so little is left to wait for.
const apiPatience = 5 * time.Second

// api is the side of a replica that people and programs talk to.
type api struct {
	*door
	handler http.Handler
	schema  <-chan struct{} // closed when the database has been reached and its schema is there
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
		Log: r.log, Clock: r.clock, Metrics: r.metrics, ProxyReady: r.proxyReady, Version: p.version})
	r.api = &api{handler: handler, schema: r.migrated}
	return err
}

// measurer is the replica's router, which is opened after the API was made.
type measurer struct{ r *replica }

func (m measurer) Measure(ctx context.Context, environment string, from, to time.Time) ([]router.Bucket, error) {
	return m.r.router.Measure(ctx, environment, from, to)
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
	web := server.HTTPServer(r.api.handler)
	web.Handler = http.HandlerFunc(r.api.admit)
	r.api.door = newDoor(web, l)
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

// admit keeps requests from a database that has no schema yet.
func (a *api) admit(w http.ResponseWriter, r *http.Request) {
	asksDatabase := strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/readyz"
	switch {
	case asksDatabase && !closed(a.schema):
		notYet(w, "the database cannot be reached yet, or its schema is not there; traffic flows on", "try again in a moment")
	case r.URL.Path == "/readyz" && a.leaving():
		notYet(w, "this replica is ending", "ask another one")
	default:
		a.handler.ServeHTTP(w, r)
	}
}

func notYet(w http.ResponseWriter, detail, fix string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	_ = json.NewEncoder(w).Encode(serverapi.Problem{ // the caller may have gone
		Type: "urn:viridian:problem:unavailable", Title: "Unavailable", Status: http.StatusServiceUnavailable,
		Code: serverapi.Code(rollout.Unavailable), Detail: detail, Fixes: []string{fix}, Errors: []serverapi.FieldError{},
		RequestId: strings.ToLower(rand.Text()[:16]),
	})
}

// shutdown closes the door; streams and callers who wait for something are answered at once.
func (a *api) shutdown(delay time.Duration) {
	a.close(delay, apiPatience)
	a.cut()
}
