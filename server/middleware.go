package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strconv"

	"viridian/rollout"
)

// begin gives the request its call and its id. An id from outside is not taken: it could be anything.
func (s *server) begin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var id [8]byte
		if _, err := rand.Read(id[:]); err != nil {
			panic(err) // the machine has no source of chance
		}
		c := &call{id: hex.EncodeToString(id[:]), started: s.Clock.Now(), head: r.Method == http.MethodHead}
		w.Header().Set("X-Request-Id", c.id)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	})
}

// observe writes one line of log and counts, for every request, when it is over.
func (s *server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := callOf(r.Context())
		counted := &countedAnswer{ResponseWriter: w}
		defer func() {
			c.status = counted.status
			operation := "none"
			if c.route != nil {
				operation = c.route.operation
			}
			took := s.Clock.Since(c.started)
			s.metrics.requests.WithLabelValues(operation, strconv.Itoa(c.status)).Inc()
			s.metrics.duration.WithLabelValues(operation).Observe(took.Seconds())
			s.logRequest(c, r, operation, counted.bytes, took.Seconds())
		}()
		next.ServeHTTP(counted, r)
	})
}

func (s *server) logRequest(c *call, r *http.Request, operation string, bytes int64, seconds float64) {
	level := slog.LevelInfo
	switch {
	case c.status >= 500:
		level = slog.LevelError
	case c.route != nil && (c.route.quiet || public[c.route.action]):
		level = slog.LevelDebug
	}
	attributes := []slog.Attr{
		slog.String("request_id", c.id), slog.String("operation", operation), slog.String("method", r.Method),
		slog.String("path", redact(r.URL.Path)), slog.Int("status", c.status), slog.Int64("bytes", bytes),
		slog.Float64("seconds", seconds), slog.String("remote", s.address(r)),
	}
	if c.caller.TokenID != "" {
		attributes = append(attributes, slog.String("actor", c.caller.Actor().String()), slog.String("token", c.caller.TokenID))
	}
	if c.failure != nil {
		attributes = append(attributes, slog.String("error", redact(c.failure.Error())))
	}
	s.Log.LogAttrs(r.Context(), level, "request", attributes...)
}

var tokenShape = regexp.MustCompile(`vir_[A-Za-z0-9]+_[A-Za-z0-9]+`)

// redact keeps secrets that were put in the wrong place, and very long texts, out of the log.
func redact(text string) string {
	const limit = 500
	text = tokenShape.ReplaceAllString(text, "vir_…")
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return text
}

// recover turns a panic into an answer without details; those are in the log.
func (s *server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			fault := recover()
			if fault == nil {
				return
			}
			if err, ok := fault.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(fault)
			}
			c := callOf(r.Context())
			s.Log.Error("panic", "request_id", c.id, "panic", redact(fmt.Sprint(fault)), "stack", string(debug.Stack()))
			if counted, ok := w.(*countedAnswer); ok && counted.status != 0 {
				panic(http.ErrAbortHandler) // half an answer is out: cut it, so that nobody takes it for a whole one
			}
			s.fail(w, r, fmt.Errorf("panic: %v", fault))
		}()
		next.ServeHTTP(w, r)
	})
}

// The policies of what an answer may load and do: nothing at all, and for pages what our own server has. Nothing is
// inline anywhere.
const (
	answerPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	pagePolicy   = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

// permissions is what pages of ours never ask a browser for.
const permissions = "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), " +
	"midi=(), payment=(), publickey-credentials-get=(), screen-wake-lock=(self), serial=(), usb=(), xr-spatial-tracking=()"

// protect sets the headers that keep a browser from making something else of an answer.
func protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", answerPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", permissions)
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// countedAnswer notes the status and size of an answer.
type countedAnswer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (a *countedAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *countedAnswer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// notFound answers for paths that nothing is at.
func (s *server) notFound(w http.ResponseWriter, r *http.Request) {
	if forPeople(r) {
		_ = s.openSession(callOf(r.Context()), &page{quiet: true}, r) // who is signed in keeps the way to the other pages
		s.fail(w, r, rollout.Refuse(rollout.NotFound, "there is nothing at this path", "begin at the list of environments"))
		return
	}
	s.fail(w, r, rollout.Refuse(rollout.NotFound, "there is nothing at this path", "look at the contract at /openapi.yaml"))
}
