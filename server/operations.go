package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"viridian/store"
)

// readyTime is how long the database may take to answer /readyz.
const readyTime = time.Second

func (s *server) livez(w http.ResponseWriter, _ *http.Request) { writeText(w, "ok\n") }

// reachable refuses what would ask a database that has no schema yet.
func (s *server) reachable() error {
	if s.Schema == nil || s.Schema() {
		return nil
	}
	return unavailable("the database cannot be reached yet, or its schema is not there; traffic flows on", "try again in a moment")
}

func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	if s.Ending != nil && s.Ending() {
		s.writeError(w, r, unavailable("this replica is ending", "ask another one"))
		return
	}
	if err := s.reachable(); err != nil {
		s.writeError(w, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	if err := s.Store.Ping(ctx); err != nil {
		s.writeError(w, r, errors.Join(store.ErrUnavailable, err))
		return
	}
	writeText(w, "ok\n")
}

func (s *server) readyzProxy(w http.ResponseWriter, r *http.Request) {
	if s.ProxyReady == nil || !s.ProxyReady() {
		s.writeError(w, r, unavailable("no routing table is loaded", "wait until a route was read from the database or the state file"))
		return
	}
	writeText(w, "ok\n")
}

func (s *server) showMetrics(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(s.Metrics, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

func (s *server) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Content-Length", strconv.Itoa(len(s.OpenAPI)))
	_, _ = w.Write(s.OpenAPI) // the reader may have gone
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write([]byte(text)) // the caller may have gone
}
