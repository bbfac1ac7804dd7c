package server

import (
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

const (
	// readTime is how long an answer may take that waits for nothing but the database.
	readTime = 10 * time.Second
	// longTime is how long an answer may take that reads everything.
	longTime = 10 * time.Minute
	// maxWait bounds the timeout of a request that waits for a switch.
	maxWait = 5 * time.Minute
	// defaultWait is the timeout of one that names none, as the contract says.
	defaultWait = 10 * time.Second
)

// guard lets a request through to its handler when the caller is known and may do this, and when the request is what
// the contract says. In that order: who is not allowed to ask cannot make us read a body.
func (s *server) guard(rt *route, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(store.For(r.Context(), rt.class()))
		c := callOf(r.Context())
		c.route = rt
		if err := s.admit(c, w, r); err != nil {
			s.writeError(w, r, err)
			return
		}
		ctx, cancel := s.bound(w, r)
		defer cancel()
		s.once(w, r.WithContext(ctx), next)
	})
}

// class says which connections to the database the route may use: a crowd that reads or streams leaves those alone that
// a command needs, and so does one that asks whether we are ready.
func (rt *route) class() store.Class {
	switch {
	case rt.streams:
		return store.Streams
	case public[rt.action]:
		return store.Loops
	case rt.method == http.MethodGet:
		return store.Reads
	}
	return store.Commands
}

func (s *server) admit(c *call, w http.ResponseWriter, r *http.Request) error {
	if !public[c.route.action] {
		if err := s.reachable(); err != nil {
			return err
		}
		caller, err := s.authenticate(r)
		if err != nil {
			return err
		}
		c.caller = caller
		if err := allow(caller, c.route.action, c.route.environment(r)); err != nil {
			return err
		}
	}
	if err := checkParameters(c.route, r); err != nil {
		return err
	}
	if c.route.waits { // before anything is committed
		if _, err := waitTimeout(r.URL.Query().Get("timeout")); err != nil {
			return err
		}
	}
	raw, err := readBody(w, r)
	if err != nil {
		return err
	}
	if err := s.checkBody(c.route, r, raw); err != nil {
		return err
	}
	if key := r.Header.Get("Idempotency-Key"); key != "" && c.route.repeatable {
		c.key = &controller.IdempotencyKey{Caller: c.caller.TokenID, Key: key, BodyHash: requestHash(r, raw)}
	}
	return nil
}

// requestHash tells one request from another that is sent with the same key.
func requestHash(r *http.Request, raw []byte) []byte {
	h := sha256.New()
	for _, part := range []string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("If-Match")} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	h.Write(raw)
	return h.Sum(nil)
}

// bound gives the request its time: the context's deadline, and the connection's.
func (s *server) bound(w http.ResponseWriter, r *http.Request) (context.Context, context.CancelFunc) {
	if c := callOf(r.Context()); c.route.streams {
		return context.WithCancel(r.Context())
	} else if c.route.long {
		s.extend(w, longTime)
		return context.WithTimeout(r.Context(), longTime)
	} else if c.route.waits {
		wait := defaultWait
		if timeout, err := waitTimeout(r.URL.Query().Get("timeout")); err == nil {
			wait = timeout
		}
		s.extend(w, wait+2*readTime)
		return context.WithTimeout(r.Context(), wait+readTime)
	}
	return context.WithTimeout(r.Context(), readTime)
}

// extend moves the connection's deadlines: an answer may still be written for so long, and the whole request has been
// read, so that only the caller's going away ends the reading.
func (s *server) extend(w http.ResponseWriter, d time.Duration) {
	connection := http.NewResponseController(w)
	// A connection that knows no deadlines has none to move.
	_ = connection.SetReadDeadline(time.Time{})
	_ = connection.SetWriteDeadline(time.Now().Add(d))
}

// waitTimeout reads the timeout of a request that waits.
func waitTimeout(text string) (time.Duration, error) {
	if text == "" {
		return defaultWait, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d > maxWait {
		return 0, invalid("?timeout", "must be at most 5m")
	}
	return d, nil
}

// refuseForce refuses force to a caller whose role does not go so far.
func refuseForce(ctx context.Context, force bool, environment string) error {
	if !force || Can(callOf(ctx).caller, actionForce, environment) {
		return nil
	}
	return rollout.Refuse(rollout.Forbidden, "the token does not allow force", "ask an operator, or leave force out")
}
