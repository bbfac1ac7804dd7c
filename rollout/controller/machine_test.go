package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// machine is a node that is a process of its own: it can be away, hang, restart, forget and be changed by hand, and it
// refuses writers of an older term.
type machine struct {
	*node

	mu    sync.Mutex
	run   int
	away  bool          // nothing listens
	hung  chan struct{} // not nil: what is asked waits until it is closed
	term  int64         // the highest that wrote
	stale int           // writes refused because of their term
	asked map[string]int
	slow  time.Duration // how long staging takes
	slots int           // how many generations it has places for; 0 for any number
	quiet bool          // its driver cannot tell which run an observation is of
	// applied is when each revision came to be in force.
	applied map[int64]time.Time
	cutAt   time.Time // when a call that hung was last cut short
	// What a hand did to a generation, until that is staged again; "" for nothing.
	damaged    string
	generation int
}

func newMachine(name string) *machine {
	return &machine{node: newNode(name), run: 1, asked: map[string]int{}, applied: map[int64]time.Time{}}
}

var errAway = errors.New("connection refused")

// reach is what every call begins with.
func (m *machine) reach(ctx context.Context, call string) error {
	m.mu.Lock()
	m.asked[call]++
	hung, away := m.hung, m.away
	m.mu.Unlock()
	if hung != nil {
		select {
		case <-hung:
		case <-ctx.Done():
			m.mu.Lock()
			m.cutAt = time.Now()
			m.mu.Unlock()
			return ctx.Err()
		}
	}
	if away {
		return errAway
	}
	return nil
}

// write is reach for a call that changes something.
func (m *machine) write(ctx context.Context, call string, f router.Fence) error {
	if err := m.reach(ctx, call); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if f.Term < m.term || f.Term == 0 {
		m.stale++
		return fmt.Errorf("%w: term %d is there", router.ErrStale, m.term)
	}
	m.term = f.Term
	return nil
}

func (m *machine) incarnation() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("%s-%d", m.name, m.run)
}

func (m *machine) Pulse(ctx context.Context) (string, error) {
	if err := m.reach(ctx, "pulse"); err != nil {
		return "", err
	}
	return m.incarnation(), nil
}

func (m *machine) Stage(ctx context.Context, f router.Fence, r rollout.Route, g rollout.Generation) error {
	if err := m.write(ctx, "stage", f); err != nil {
		return err
	}
	select {
	case <-time.After(m.slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	m.node.mu.Lock()
	full := m.slots > 0 && len(m.staged[r.Environment]) >= m.slots && !slices.Contains(m.staged[r.Environment], g.Number)
	m.node.mu.Unlock()
	if full {
		return fmt.Errorf("all %d slots are taken: %w", m.slots, router.ErrNoSlot)
	}
	m.mu.Lock()
	if g.Number == m.generation {
		m.damaged, m.generation = "", 0
	}
	m.mu.Unlock()
	return m.node.Stage(ctx, f, r, g)
}

// damage is what a hand does to a generation that shows in no weight.
func (m *machine) damage(words string, generation int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.damaged, m.generation = words, generation
}

func (m *machine) sound() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.damaged == ""
}

func (m *machine) Apply(ctx context.Context, f router.Fence, r rollout.Route) error {
	if err := m.write(ctx, "apply", f); err != nil {
		return err
	}
	err := m.node.Apply(ctx, f, r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.applied[r.Revision]; err == nil && !known {
		m.applied[r.Revision] = time.Now()
	}
	return err
}

func (m *machine) Observe(ctx context.Context, name string) (router.Observation, error) {
	if err := m.reach(ctx, "observe"); err != nil {
		return router.Observation{}, err
	}
	o, err := m.node.Observe(ctx, name)
	if !m.quiet {
		o.Incarnation = m.incarnation()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.damaged != "" {
		o.Error, o.Edits = m.damaged, []string{m.damaged}
		o.Staged = slices.DeleteFunc(o.Staged, func(n int) bool { return n == m.generation })
	}
	return o, err
}

func (m *machine) Remove(ctx context.Context, f router.Fence, name string, number int) error {
	if err := m.write(ctx, "remove", f); err != nil {
		return err
	}
	return m.node.Remove(ctx, f, name, number)
}

func (m *machine) Forget(ctx context.Context, f router.Fence, name string) error {
	if err := m.write(ctx, "forget", f); err != nil {
		return err
	}
	return m.node.Forget(ctx, f, name)
}

// restart begins another run of it, which kept nothing when it forgets.
func (m *machine) restart(forget bool) {
	m.mu.Lock()
	m.run++
	m.away = false
	m.mu.Unlock()
	if forget {
		m.node.mu.Lock()
		m.routes, m.staged = map[string]rollout.Route{}, map[string][]int{}
		m.node.mu.Unlock()
	}
}

func (m *machine) setAway(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

// hang lets every call wait until the returned function is called.
func (m *machine) hang() (goOn func()) {
	hung := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung = hung
	return func() {
		m.mu.Lock()
		m.hung = nil
		m.mu.Unlock()
		close(hung)
	}
}

// edit changes by hand what the node does.
func (m *machine) edit(change func(r *rollout.Route, staged *[]int)) {
	m.node.mu.Lock()
	defer m.node.mu.Unlock()
	r, staged := m.routes["shop"], slices.Clone(m.staged["shop"])
	r.Weights = maps.Clone(r.Weights)
	change(&r, &staged)
	m.routes["shop"], m.staged["shop"] = r, staged
}

func (m *machine) counts(call string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[call]
}

func (m *machine) appliedAt(revision int64) (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, ok := m.applied[revision]
	return at, ok
}

var _ Remote = (*machine)(nil)
