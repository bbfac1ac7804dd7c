package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/server"
	serverapi "viridian/server/api"
)

// apiPatience bounds the end of the API: waiting callers are answered at once, so little is left to wait for.
const apiPatience = 5 * time.Second

// api is the side of a replica that people and programs talk to.
type api struct {
	server   *http.Server
	listener net.Listener
	handler  http.Handler
	schema   <-chan struct{} // closed when the database has been reached and its schema is there
	ending   atomic.Bool
}

func (r *replica) openAPI(p *program) error {
	metrics := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), r.router.Collector()} {
		if err := metrics.Register(c); err != nil {
			return err
		}
	}
	handler, err := server.New(server.Options{Service: controller.NewService(r.options()), Store: r.store, OpenAPI: p.openapi,
		Log: r.log, Clock: r.clock, Metrics: metrics, Measurer: r.router, ProxyReady: r.proxyReady, Version: p.version})
	if err != nil {
		return err
	}
	l, err := listen(r.config.Listen, "listen (--listen)")
	if err != nil {
		return err
	}
	r.api = &api{server: server.HTTPServer(handler), listener: lastCallOf(l), handler: handler, schema: r.migrated}
	r.api.server.Handler = r.api
	r.log.Info("the API is served", "address", l.Addr().String())
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

// ServeHTTP keeps requests from a database that has no schema yet, and tells clients when it is time to go.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.ending.Load() {
		w.Header().Set("Connection", "close")
	}
	asksDatabase := strings.HasPrefix(r.URL.Path, "/v1/") || r.URL.Path == "/readyz"
	switch {
	case asksDatabase && !closed(a.schema):
		notYet(w, "the database cannot be reached yet, or its schema is not there; traffic flows on", "try again in a moment")
	case r.URL.Path == "/readyz" && a.ending.Load():
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

// serve answers until shutdown is called.
func (a *api) serve() error {
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the API: %w", err)
	}
	return nil
}

// shutdown goes on for the time of delay, then ends streams and waits, and lets the rest finish.
func (a *api) shutdown(delay time.Duration) {
	a.ending.Store(true)
	wait(delay)
	ctx, cancel := context.WithTimeout(context.Background(), apiPatience)
	defer cancel()
	_ = a.server.Shutdown(ctx) // what is not over by now is cut
	_ = a.server.Close()
}
