package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// machine drives one environment with random commands, observations and time, beside simulated nodes that do what
// they are told, die, restart, fall silent and come back.
type machine struct {
	*world
	r       *rapid.T
	nodes   []*simNode
	late    []Receipt // seen, and recorded only later
	history []snapshot
	taken   int
	counts  map[string]int
	copied  *world // of the database, as a backup has it
	made    int    // registrations, over all that the database has forgotten
}

// snapshot is an environment as it was, with a picture made at the time: later commands must not reach into it.
type snapshot struct {
	e, picture Environment
}

// simNode is a node as it really is, whatever the database knows of it.
type simNode struct {
	router   string
	name     string
	runs     int
	silent   bool
	away     bool // taken out by an operator
	revision int64
	spec     int64
	hash     string
	weights  Weights
	staged   map[int]string // generations, with the version that they were registered with
	slots    int            // how many of them it has places for; 0 for any number
	// unseen is set while it does what the database has had no occasion to see: it was edited by hand, or the database
	// was restored from a copy.
	unseen bool
}

func newSimNode(router, name string) *simNode {
	return &simNode{router: router, name: name, hash: Route{}.Hash(), staged: map[int]string{}}
}

func (n *simNode) node(seen time.Time) Node {
	return Node{Router: n.router, Name: n.name, Incarnation: fmt.Sprintf("%s%d", n.name, n.runs), SeenAt: seen}
}

func (n *simNode) receipt() Receipt {
	return Receipt{Router: n.router, Node: n.name, Incarnation: n.node(time.Time{}).Incarnation, Revision: n.revision,
		SpecVersion: n.spec, Hash: n.hash, Weights: n.weights, Grade: GradeFenced, Newest: slices.Max(append(slices.Collect(maps.Keys(n.staged)), 0))}
}

// follow does what is to be done on the node, up to a point where it is cut off, and says what came of it.
func (n *simNode) follow(t tb, e Environment, now time.Time, limit int) Facts {
	var f Facts
	e = e.Witnessed(n.node(now), n.receipt(), slices.Collect(maps.Keys(n.staged)))
	for _, a := range Decide(e, now) {
		if a.Node != n.name {
			continue
		}
		if limit--; limit < 0 {
			break
		}
		s := Staging{Generation: a.Generation, Router: a.Router, Node: a.Node, Incarnation: n.node(now).Incarnation, SpecVersion: e.SpecVersion}
		switch a.Kind {
		case ActStage:
			if _, known := n.staged[a.Generation]; !known && n.slots > 0 && len(n.staged) >= n.slots {
				f.Unplaced = append(f.Unplaced, a.Generation)
				continue
			}
			if n.stage(e, a.Generation) {
				f.Staged = append(f.Staged, s)
			}
		case ActApply:
			if slices.ContainsFunc(f.Unplaced, e.Weights.Carries) {
				continue // it refuses what it does not know
			}
			for _, number := range e.Weights.Numbers() {
				if g, _ := e.Generation(number); n.staged[number] != g.Version {
					t.Fatalf("node %s is to serve generation %d, %s, and knows %q", n.name, number, g.Version, n.staged[number])
				}
			}
			if e.Revision > n.revision || (e.Revision == n.revision && e.Route().Hash() == n.hash) { // its fence
				n.revision, n.hash, n.weights = e.Revision, e.Route().Hash(), maps.Clone(e.Weights)
				n.spec = max(n.spec, e.SpecVersion)
			}
		case ActRemove:
			if n.weights.Carries(a.Generation) {
				t.Fatalf("node %s is to remove generation %d, which it serves", n.name, a.Generation)
			}
			delete(n.staged, a.Generation)
			f.Unstaged = append(f.Unstaged, s)
		case ActForget:
			n.staged = map[int]string{}
			f.Forgotten = append(f.Forgotten, n.node(now))
		}
	}
	n.dropUnknown(e)
	n.unseen = false
	if len(f.Forgotten) == 0 {
		f.Receipts = append(f.Receipts, n.receipt())
	}
	return f
}

// fleets are the ways in which a machine's environment is served: the nodes of each router, and the policy of "edge".
var fleets = []struct {
	routers  []string
	nodes    map[string]string // name to router
	required Required
}{
	{[]string{Builtin}, map[string]string{"a": Builtin, "b": Builtin}, RequiredAll},
	{[]string{"edge"}, map[string]string{"e1": "edge", "e2": "edge"}, RequiredAll},
	{[]string{"edge"}, map[string]string{"e1": "edge", "e2": "edge", "e3": "edge"}, RequiredQuorum},
	{[]string{Builtin, "edge"}, map[string]string{"a": Builtin, "b": Builtin, "e1": "edge", "e2": "edge", "e3": "edge"}, RequiredQuorum},
}

func newMachine(r *rapid.T, counts map[string]int) *machine {
	m := &machine{r: r, counts: counts}
	f := rapid.SampledFrom(fleets).Draw(r, "fleet")
	m.world = newWorld(r, func(s *Spec) {
		s.Routers = f.routers
		s.Validation.MinHealthyPercent = 50
		s.Retention.KeepGenerations = rapid.IntRange(0, 3).Draw(r, "keep")
		s.Retention.KeepFor = Duration(rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(r, "keep for"))
	})
	m.e.Required, m.e.Nodes = map[string]Required{"edge": f.required}, nil
	for _, name := range slices.Sorted(maps.Keys(f.nodes)) {
		m.nodes = append(m.nodes, newSimNode(f.nodes[name], name))
	}
	if m.seldom("a node of few places") {
		m.nodes[len(m.nodes)-1].slots = 4
	}
	if last := m.nodes[len(m.nodes)-1]; last.router != Builtin && m.seldom("one was never reached") {
		last.silent = true
	}
	m.beat()
	for range rapid.IntRange(0, 3).Draw(r, "promoted before") {
		m.Deploy()
	}
	return m
}

// Deploy registers a generation and brings it as far as the environment lets it.
func (m *machine) Deploy() {
	m.Converge()
	m.Register()
	m.Converge()
	if m.often("promote") {
		t, err := m.e.Promote(PromoteCommand{Actor: alice, Generation: m.e.LastNumber}, m.now)
		m.try("promote", t, err)
	}
}

// beat loads the nodes as a store would: those that are heard, and those that were.
func (m *machine) beat() {
	old := m.e.Nodes
	m.e.Nodes = []Node{}
	for _, n := range m.nodes {
		switch i := slices.IndexFunc(old, func(o Node) bool { return o.Name == n.name }); {
		case n.away:
		case n.silent && i >= 0:
			m.e.Nodes = append(m.e.Nodes, old[i])
		case n.silent && n.router != Builtin: // configured, and never reached
			m.e.Nodes = append(m.e.Nodes, Node{Router: n.router, Name: n.name, SeenAt: time.Unix(0, 0)})
		case !n.silent:
			m.e.Nodes = append(m.e.Nodes, n.node(m.now))
		}
	}
}

// take applies a transition, after looking at what only the machine can see.
func (m *machine) take(t Transition) {
	m.Helper()
	for _, s := range t.UpdatedSwitches {
		if s.Status == Applied && m.switches[s.Revision].Status == Committed {
			m.counts["applied"]++
			if s.Degraded {
				m.counts["applied degraded"]++
			}
			m.trulyApplied(s, t.After)
		}
	}
	for _, mv := range t.Moves {
		m.counts[string(mv.From)+" to "+string(mv.To)]++
		if mv.To != Retired {
			continue
		}
		for _, n := range t.After.Nodes {
			if sim := m.sim(n.Name); sim.weights.Carries(mv.Generation) && !sim.unseen {
				m.Fatalf("generation %d is retired, and node %s serves it", mv.Generation, n.Name)
			}
		}
	}
	for _, p := range t.Promotions {
		m.counts["promotion "+string(p.State)]++
	}
	if s := t.NewSwitch; s != nil {
		m.counts["switch "+string(s.Kind)]++
	}
	for _, ev := range t.Events {
		m.counts["event "+ev.Kind]++
	}
	if m.taken++; m.taken%5 == 0 {
		m.history = append(m.history, snapshot{m.e, picture(m.e)})
	}
	m.apply(t)
}

// trulyApplied looks at the nodes themselves, whatever the database knows.
func (m *machine) trulyApplied(s Switch, e Environment) {
	m.Helper()
	behind, all := map[string][]string{}, map[string]int{}
	for _, n := range e.Nodes {
		if n.Router == Builtin && m.now.Sub(n.SeenAt) > timing.Silence {
			continue
		}
		all[n.Router]++
		if m.sim(n.Name).revision < s.Revision {
			behind[n.Router] = append(behind[n.Router], n.Name)
		}
	}
	for _, router := range e.Spec.Routers {
		late := len(behind[router])
		if quorum := e.RequiredOf(router) == RequiredQuorum; all[router] == 0 || (late > 0 && !quorum) || (quorum && 2*late >= all[router]) {
			m.Fatalf("switch %d is applied on router %s, where %v of %d nodes are behind", s.Revision, router, behind[router], all[router])
		}
	}
}

// observe takes a transition of Record or Settle; then nothing is left to settle.
func (m *machine) observe(t Transition) {
	m.Helper()
	m.take(t)
	if again := m.e.Settle(m.now); !again.Empty() {
		m.Fatalf("settled, and there is more to settle: %v, changed %v", kinds(again), again.Changed)
	}
}

func (m *machine) sim(name string) *simNode {
	return m.nodes[slices.IndexFunc(m.nodes, func(n *simNode) bool { return n.name == name })]
}

// try takes an accepted command, and looks at a refusal.
func (m *machine) try(name string, t Transition, err error) {
	m.Helper()
	if r := refusal(err); r != nil {
		checkRefusal(m, m.e, r)
		m.counts[name+" "+string(r.Code)]++
		return
	}
	if err != nil {
		m.Fatalf("not a refusal: %v", err)
	}
	m.counts[name]++
	m.take(t)
}

// Follow lets one node do its work, or a part of it; the record may be lost or late.
func (m *machine) Follow() {
	n := rapid.SampledFrom(m.nodes).Draw(m.r, "node")
	if n.silent || n.away {
		return
	}
	f := n.follow(m, m.e, m.now, rapid.IntRange(0, 6).Draw(m.r, "how much"))
	switch rapid.IntRange(0, 5).Draw(m.r, "record") {
	case 0: // lost
	case 1:
		m.late = append(m.late, f.Receipts...)
	default:
		m.observe(m.e.Record(f, m.now))
	}
}

func (m *machine) RecordLate() {
	if len(m.late) > 0 {
		f := Facts{Receipts: m.late[:1]}
		m.late = m.late[1:]
		m.observe(m.e.Record(f, m.now))
	}
}

// Work does what the lease holder does: announce, withdraw, settle.
func (m *machine) Work() { m.observe(m.e.Record(m.work(), m.now)) }

func (m *machine) work() Facts {
	var f Facts
	for _, a := range Decide(m.e, m.now) {
		switch a.Kind {
		case ActRegister:
			f.Announced = append(f.Announced, a.Generation)
		case ActDeregister:
			f.Withdrawn = append(f.Withdrawn, a.Generation)
		}
	}
	return f
}

// Probe reads the health of every generation, good or bad.
func (m *machine) Probe() {
	var f Facts
	for _, g := range m.e.Generations {
		healthy := rapid.SampledFrom([]int{2, 1, 0}).Draw(m.r, "healthy")
		for service, size := range g.Sizes {
			f.Readings = append(f.Readings, Reading{Generation: g.Number, Service: service, Healthy: min(healthy, size), Unhealthy: size - min(healthy, size), Total: size})
		}
	}
	slices.SortFunc(f.Readings, func(a, b Reading) int { return strings.Compare(a.Service, b.Service) })
	m.observe(m.e.Record(f, m.now))
}

// Pass lets time go by, and the loops look.
func (m *machine) Pass() {
	steps := []time.Duration{time.Millisecond, time.Second, time.Second, 5 * time.Second, 12 * time.Second, 40 * time.Second, 40 * time.Second, 6 * time.Minute, 2 * time.Hour, 25 * time.Hour}
	m.now = m.now.Add(rapid.SampledFrom(steps).Draw(m.r, "time"))
	m.beat()
	m.observe(m.e.Settle(m.now))
}

// Node lets a node fall silent or be heard again, restart, be taken out or come back.
func (m *machine) Node() {
	n := rapid.SampledFrom(m.nodes).Draw(m.r, "node")
	switch rapid.IntRange(0, 5).Draw(m.r, "what") {
	case 0:
		n.silent = true
	case 1:
		n.silent = false
	case 2: // it comes up with its state file
		n.runs++
		n.silent = false
	case 3:
		n.away = true
	case 4: // it comes back, and may serve what it was last told
		n.away, n.silent = false, false
	case 5: // a load balancer restarts, and kept nothing
		if n.router != Builtin && !n.away {
			n.runs++
			n.silent, n.revision, n.spec, n.hash, n.weights, n.staged = false, 0, 0, Route{}.Hash(), nil, map[int]string{}
		}
	}
	m.beat()
}

// Converge lets everybody do all of their work, as most of the time.
func (m *machine) Converge() {
	for range 4 {
		m.now = m.now.Add(time.Second)
		m.beat()
		f := m.work()
		for _, n := range m.nodes {
			if !n.silent && !n.away {
				did := n.follow(m, m.e, m.now, 100)
				f.Receipts, f.Staged = append(f.Receipts, did.Receipts...), append(f.Staged, did.Staged...)
				f.Unstaged, f.Forgotten = append(f.Unstaged, did.Unstaged...), append(f.Forgotten, did.Forgotten...)
				f.Unplaced = append(f.Unplaced, did.Unplaced...)
			}
		}
		for _, g := range m.e.Generations {
			f.Readings = append(f.Readings, m.readings(g.Number, 2)...)
		}
		m.observe(m.e.Record(f, m.now))
	}
}
