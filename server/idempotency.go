package server

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"time"

	"viridian/rollout/controller"
)

// saveTime bounds how long an answer is held back to keep it for replays.
const saveTime = time.Second

// once serves a request, and with an idempotency key keeps its answer for replays before it goes out.
func (s *server) once(w http.ResponseWriter, r *http.Request, next http.Handler) {
	c := callOf(r.Context())
	if c.key == nil {
		next.ServeHTTP(w, r)
		return
	}
	held := &heldAnswer{ResponseWriter: w}
	next.ServeHTTP(held, r)
	if c.replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	if c.saved != nil {
		held.repeat(c)
	} else if held.status >= 200 && held.status < 300 && !c.unfinished {
		s.keep(r.Context(), c, held)
	}
	held.send()
}

// keep saves the answer. Without it a replay is made anew from what is recorded, which is as true.
func (s *server) keep(ctx context.Context, c *call, held *heldAnswer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if err := s.Store.SaveResponse(ctx, *c.key, held.status, held.body.Bytes()); err != nil {
		s.Log.Warn("answer not kept for replays", "request_id", c.id, "error", err)
	}
}

// replays notes that the key was used before; when it answers true, the kept answer goes out with the headers that
// belong to it, and the handler returns nothing.
func replays(ctx context.Context, out controller.Outcome, headers func(saved []byte) http.Header) bool {
	c := callOf(ctx)
	c.replayed = out.Replayed
	if !out.Replayed || out.Response == nil {
		return false
	}
	c.saved = out.Response
	if headers != nil {
		c.headers = headers(out.Response.Body)
	}
	return true
}

// heldAnswer keeps an answer back until it is whole.
type heldAnswer struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *heldAnswer) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}

// Unwrap is for http.ResponseController.
func (h *heldAnswer) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// repeat puts the kept answer in place of what the handler wrote, which is nothing.
func (h *heldAnswer) repeat(c *call) {
	header := h.Header()
	for name, values := range c.headers {
		header[name] = values
	}
	if len(c.saved.Body) > 0 {
		header.Set("Content-Type", "application/json")
	}
	h.status = c.saved.Status
	h.body.Reset()
	h.body.Write(c.saved.Body)
}

func (h *heldAnswer) send() {
	if h.status == 0 {
		return // the handler panicked or wrote nothing: the layer outside says so
	}
	if h.status != http.StatusNoContent {
		h.Header().Set("Content-Length", strconv.Itoa(h.body.Len()))
	}
	h.ResponseWriter.WriteHeader(h.status)
	_, _ = h.ResponseWriter.Write(h.body.Bytes()) // the caller may have gone; its answer is kept
}
