package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
)

// memory is a Store that keeps everything in memory and is as strict as the real one about leases.
type memory struct {
	mu     sync.Mutex
	fp     *failpoint.Set
	envs   map[string]rollout.Environment
	groups map[string][]rollout.Group
	taken  map[string]string // what other generations have
	leases map[string]Lease
	holder map[string]string
	nodes  []rollout.Node
	// required are the policies that the installation has.
	required map[string]rollout.Required
	down     bool // every call fails
	calls    int
	beats    int // heartbeats of fleets' nodes that were written
	events   []rollout.Event
}

func newMemory(fp *failpoint.Set) *memory {
	return &memory{fp: fp, envs: map[string]rollout.Environment{}, groups: map[string][]rollout.Group{},
		leases: map[string]Lease{}, holder: map[string]string{}}
}

func (m *memory) begin() error {
	m.calls++
	if m.down {
		return fmt.Errorf("the database is away")
	}
	return nil
}

func (m *memory) load(name string) rollout.Environment {
	e := m.envs[name]
	e.Nodes = slices.DeleteFunc(slices.Clone(m.nodes), func(n rollout.Node) bool { return n.Removed || !slices.Contains(e.Spec.Routers, n.Router) })
	e.Required = m.required
	return e
}

func (m *memory) save(t rollout.Transition) rollout.Environment {
	e := t.After
	e.Version++
	if t.Registered != nil {
		m.groups[fmt.Sprint(e.Name, t.Registered.Number)] = t.Registered.Groups
	}
	if a := t.Adopted; a != nil {
		m.groups[fmt.Sprint(e.Name, a.Generation)] = a.Groups
	}
	for _, members := range t.Members {
		groups := slices.Clone(m.groups[fmt.Sprint(e.Name, members.Generation)])
		for i, group := range groups {
			if at := slices.IndexFunc(members.Groups, func(g rollout.Group) bool { return g.Service == group.Service }); at >= 0 {
				groups[i] = members.Groups[at]
			}
		}
		m.groups[fmt.Sprint(e.Name, members.Generation)] = groups
	}
	e.Generations = slices.DeleteFunc(slices.Clone(e.Generations), func(g rollout.Generation) bool { return g.State == rollout.Retired })
	for i := range e.Generations {
		e.Generations[i].Groups = nil
	}
	m.envs[e.Name] = e
	m.events = append(m.events, t.Events...)
	return m.load(e.Name)
}

func (m *memory) Environment(_ context.Context, name string) (rollout.Environment, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return rollout.Environment{}, time.Time{}, err
	}
	if _, ok := m.envs[name]; !ok {
		return rollout.Environment{}, time.Time{}, rollout.Refuse(rollout.NotFound, "no environment "+name)
	}
	return m.load(name), time.Now(), nil
}

// Failpoints are hit without the lock: a hang under a mutex would stop the clock of a synctest bubble.
func (m *memory) Transact(ctx context.Context, cmd Command, decide Decision) (Outcome, error) {
	if err := m.fp.Hit(ctx, cmd.Decided); err != nil {
		return Outcome{}, err
	}
	out, err := m.transact(cmd, decide)
	if err != nil {
		return Outcome{}, err
	}
	return out, m.fp.Hit(ctx, cmd.Committed)
}

func (m *memory) transact(cmd Command, decide Decision) (Outcome, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return Outcome{}, err
	}
	t, err := decide(m.load(cmd.Environment), time.Now())
	if err != nil {
		return Outcome{}, err
	}
	t.After.Timing = rollout.DefaultTiming
	e := t.After
	if !t.Empty() {
		e = m.save(t)
	}
	return Outcome{Answer: t.Answer, Environment: e}, nil
}

func (m *memory) Record(ctx context.Context, name string, term int64, facts rollout.Facts) (rollout.Environment, error) {
	if err := m.fp.Hit(ctx, failpoint.SettleDecided); err != nil {
		return rollout.Environment{}, err
	}
	e, err := m.record(name, term, facts)
	if err != nil {
		return e, err
	}
	return e, m.fp.Hit(ctx, failpoint.SettleCommitted)
}

func (m *memory) record(name string, term int64, facts rollout.Facts) (rollout.Environment, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return rollout.Environment{}, err
	}
	if term > 0 && (m.leases[name].Term != term || !time.Now().Before(m.leases[name].ExpiresAt)) {
		return rollout.Environment{}, ErrLeaseLost
	}
	before := m.load(name)
	t := before.Record(facts, time.Now())
	if t.Empty() {
		return t.After, nil
	}
	after := m.save(t)
	if !news(before, t) {
		after.Version = before.Version
		m.envs[name] = after
		return m.load(name), nil
	}
	return after, nil
}

// news says whether a transition changes more than the times of readings and receipts, as the store does.
func news(before rollout.Environment, t rollout.Transition) bool {
	f := t.Facts
	return len(t.Events)+len(t.Changed)+len(f.Staged)+len(f.Unstaged)+len(f.Forgotten) > 0 || t.SpecChanged || t.Touched ||
		slices.ContainsFunc(f.Receipts, func(r rollout.Receipt) bool {
			return !slices.ContainsFunc(before.Receipts, func(old rollout.Receipt) bool { return sameReceipt(old, r) })
		}) ||
		slices.ContainsFunc(f.Readings, func(r rollout.Reading) bool {
			return !slices.ContainsFunc(before.Readings, func(old rollout.Reading) bool { old.At, r.At = time.Time{}, time.Time{}; return old == r })
		})
}

func (m *memory) Generation(_ context.Context, name string, number int) (rollout.Generation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, _ := m.envs[name].Generation(number)
	g.Groups = m.groups[fmt.Sprint(name, number)]
	return g.WithAdoptions(), m.begin()
}

func (m *memory) Taken(context.Context, string, int, []rollout.Instance) (map[string]string, error) {
	return m.taken, nil
}

func (m *memory) Versions(context.Context) (map[string]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int64{}
	for name, e := range m.envs {
		if e.DeletedAt == nil || len(e.Receipts) > 0 {
			out[name] = e.Version
		}
	}
	return out, m.begin()
}

func (m *memory) Heartbeat(_ context.Context, node rollout.Node, quiet time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	if slices.ContainsFunc(m.nodes, func(n rollout.Node) bool {
		return n.Name == node.Name && n.Incarnation != node.Incarnation && !n.Removed && time.Since(n.SeenAt) <= quiet
	}) {
		return ErrNameTaken
	}
	m.nodes = slices.DeleteFunc(slices.Clone(m.nodes), func(n rollout.Node) bool { return n.Name == node.Name })
	node.SeenAt = time.Now()
	m.nodes = append(m.nodes, node)
	return nil
}

func (m *memory) Enrol(_ context.Context, nodes []rollout.Node) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	for _, n := range nodes {
		if m.find(n) < 0 {
			n.SeenAt = time.Unix(0, 0)
			m.nodes = append(slices.Clone(m.nodes), n)
		}
	}
	return nil
}

func (m *memory) Pulse(_ context.Context, nodes []rollout.Node, fresh time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return err
	}
	m.nodes = slices.Clone(m.nodes)
	for _, n := range nodes {
		i := m.find(n)
		if i < 0 {
			m.nodes = append(m.nodes, n)
			i = len(m.nodes) - 1
		}
		old := m.nodes[i]
		if old.Incarnation == n.Incarnation && !old.Removed && time.Since(old.SeenAt) < fresh {
			continue
		}
		m.beats++
		n.SeenAt = time.Now()
		m.nodes[i] = n
	}
	return nil
}

func (m *memory) find(n rollout.Node) int {
	return slices.IndexFunc(m.nodes, func(o rollout.Node) bool { return o.Router == n.Router && o.Name == n.Name })
}

func (m *memory) SignOff(_ context.Context, node rollout.Node) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.nodes {
		if m.nodes[i].Name == node.Name {
			m.nodes[i].Removed = true
		}
	}
	return m.begin()
}

func (m *memory) ClaimLeases(_ context.Context, holder string, ttl time.Duration, except ...string) ([]Lease, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin(); err != nil {
		return nil, err
	}
	var out []Lease
	now := time.Now()
	for name := range m.envs {
		l, held := m.leases[name], m.holder[name]
		expired := !now.Before(l.ExpiresAt)
		if held != holder && !expired {
			continue
		}
		if slices.Contains(except, name) {
			if held == holder {
				l.ExpiresAt = time.Time{}
				m.leases[name] = l
			}
			continue
		}
		if held != holder || expired {
			l.Term++
		}
		l.Environment, l.ExpiresAt = name, now.Add(ttl)
		m.leases[name], m.holder[name] = l, holder
		out = append(out, l)
	}
	return out, nil
}

func (m *memory) ReleaseLeases(_ context.Context, holder string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, h := range m.holder {
		if h == holder {
			delete(m.holder, name)
			l := m.leases[name]
			l.ExpiresAt = time.Time{}
			m.leases[name] = l
		}
	}
	return m.begin()
}

func (m *memory) Prune(context.Context) error { return nil }

// backup is a copy of everything that the store keeps; restore puts one in its place.
func (m *memory) backup() *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{envs: maps.Clone(m.envs), groups: maps.Clone(m.groups), leases: maps.Clone(m.leases),
		holder: maps.Clone(m.holder), nodes: slices.Clone(m.nodes), events: slices.Clone(m.events)}
}

func (m *memory) restore(b *memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.envs, m.groups, m.leases = maps.Clone(b.envs), maps.Clone(b.groups), maps.Clone(b.leases)
	m.holder, m.nodes, m.events = maps.Clone(b.holder), slices.Clone(b.nodes), slices.Clone(b.events)
}

// kinds counts the events of each kind.
func (m *memory) kinds() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[string]int{}
	for _, e := range m.events {
		out[e.Kind]++
	}
	return out
}

// change edits an environment behind everybody's back.
func (m *memory) change(name string, fn func(*rollout.Environment)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.envs[name]
	e.Generations = slices.Clone(e.Generations)
	fn(&e)
	e.Version++
	m.envs[name] = e
}

var _ Store = (*memory)(nil)

// last is the newest event of that kind.
func (m *memory) last(kind string) rollout.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range slices.Backward(m.events) {
		if e.Kind == kind {
			return e
		}
	}
	return rollout.Event{}
}
