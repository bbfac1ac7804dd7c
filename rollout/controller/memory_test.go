package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"viridian/failpoint"
	"viridian/registry"
	"viridian/rollout"
	"viridian/router"
)

// memory is a Store that keeps everything in memory and is as strict as the real one about leases.
type memory struct {
	mu     sync.Mutex
	fp     *failpoint.Set
	envs   map[string]rollout.Environment
	groups map[string][]rollout.Group
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
	t := m.load(name).Record(facts, time.Now())
	if t.Empty() {
		return t.After, nil
	}
	return m.save(t), nil
}

func (m *memory) Groups(_ context.Context, name string, number int) ([]rollout.Group, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups[fmt.Sprint(name, number)], m.begin()
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

func (m *memory) ClaimLeases(_ context.Context, holder string, ttl time.Duration) ([]Lease, error) {
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

// node is a router of one node that keeps its table over restarts, as a state file would.
type node struct {
	mu     sync.Mutex
	name   string
	routes map[string]rollout.Route
	staged map[string][]int
	fail   error // every call fails
	full   bool  // its disk is: what is staged is known, and not durable
}

func newNode(name string) *node {
	return &node{name: name, routes: map[string]rollout.Route{}, staged: map[string][]int{}}
}

func (n *node) Stage(_ context.Context, _ router.Fence, r rollout.Route, g rollout.Generation) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(g.Groups) == 0 {
		return fmt.Errorf("no groups")
	}
	if !slices.Contains(n.staged[r.Environment], g.Number) {
		n.staged[r.Environment] = append(n.staged[r.Environment], g.Number)
	}
	if n.full {
		return fmt.Errorf("no space left on device")
	}
	return n.fail
}

func (n *node) Apply(_ context.Context, _ router.Fence, r rollout.Route) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fail != nil {
		return n.fail
	}
	if n.routes[r.Environment].Revision > r.Revision {
		return router.ErrStale
	}
	for _, number := range r.Weights.Numbers() {
		if !slices.Contains(n.staged[r.Environment], number) {
			return router.ErrNotStaged
		}
	}
	n.routes[r.Environment] = r
	return nil
}

func (n *node) Observe(_ context.Context, name string) (router.Observation, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.routes[name]
	return router.Observation{Staged: slices.Clone(n.staged[name]), Receipt: rollout.Receipt{Node: n.name,
		Revision: r.Revision, SpecVersion: r.SpecVersion, Hash: r.Hash(), Weights: r.Weights, Grade: rollout.GradeFenced}}, nil
}

func (n *node) Remove(_ context.Context, _ router.Fence, name string, number int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.routes[name].Weights.Carries(number) {
		return router.ErrInUse
	}
	n.staged[name] = slices.DeleteFunc(n.staged[name], func(s int) bool { return s == number })
	return n.fail
}

func (n *node) Forget(_ context.Context, _ router.Fence, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.staged[name]) > 0 || n.routes[name].Weights.Sum() > 0 {
		return router.ErrInUse
	}
	delete(n.routes, name)
	delete(n.staged, name)
	return n.fail
}

func (n *node) serves(name string) []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.routes[name].Weights.Numbers()
}

// healthyRegistry finds every instance healthy, and counts what it was asked.
type healthyRegistry struct {
	mu        sync.Mutex
	announced map[int]bool
	refused   int // this generation is not taken
	watching  int
}

func (r *healthyRegistry) Register(_ context.Context, _ rollout.Spec, g rollout.Generation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.Number == r.refused {
		return fmt.Errorf("generation %d is refused", g.Number)
	}
	r.announced[g.Number] = true
	return nil
}

func (r *healthyRegistry) Deregister(_ context.Context, _ rollout.Spec, g rollout.Generation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.announced, g.Number)
	return nil
}

func (r *healthyRegistry) Watch(ctx context.Context, _ rollout.Spec, g rollout.Generation, report func([]rollout.Reading)) error {
	r.mu.Lock()
	r.watching++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.watching--
		r.mu.Unlock()
	}()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		var readings []rollout.Reading
		for _, group := range g.Groups {
			readings = append(readings, rollout.Reading{Service: group.Service, Healthy: len(group.Instances), Total: len(group.Instances)})
		}
		report(readings)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

var (
	_ Store             = (*memory)(nil)
	_ router.Router     = (*node)(nil)
	_ registry.Registry = (*healthyRegistry)(nil)
)
