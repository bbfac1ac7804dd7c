package controller

import (
	"sync"

	"viridian/rollout"
)

// Hub tells the loops and waiters of this process what changed, so that a switch is applied at once. It is a hint:
// whoever misses one finds out by polling.
type Hub struct {
	mu     sync.Mutex
	subs   map[*subscription]struct{}
	latest map[string]rollout.Environment
}

type subscription struct {
	environment string // empty for all
	notify      func(name string, e *rollout.Environment)
}

// NewHub makes an empty hub.
func NewHub() *Hub {
	return &Hub{subs: map[*subscription]struct{}{}, latest: map[string]rollout.Environment{}}
}

// Publish tells that the environment is now known to be e. Something older than what was told before is dropped.
func (h *Hub) Publish(e rollout.Environment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.latest[e.Name].Version > e.Version {
		return
	}
	h.latest[e.Name] = e
	if e.DeletedAt != nil {
		delete(h.latest, e.Name)
	}
	h.sendLocked(e.Name, &e)
}

// Rewind forgets what was told of the environment: the database went back behind it, and what it says now counts.
func (h *Hub) Rewind(environment string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.latest, environment)
}

// Hint tells that something about the environment changed, of which nothing is known here.
func (h *Hub) Hint(environment string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sendLocked(environment, nil)
}

// Latest is the newest that was published of the environment in this process.
func (h *Hub) Latest(environment string) (rollout.Environment, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e, ok := h.latest[environment]
	return e, ok
}

// Subscribe calls notify, which must not block, for the environment (or for all, when it is empty) until cancel is
// called. e is nil for a hint.
func (h *Hub) Subscribe(environment string, notify func(name string, e *rollout.Environment)) (cancel func()) {
	s := &subscription{environment: environment, notify: notify}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[s] = struct{}{}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.subs, s)
	}
}

func (h *Hub) sendLocked(name string, e *rollout.Environment) {
	for s := range h.subs {
		if s.environment == "" || s.environment == name {
			s.notify(name, e)
		}
	}
}
