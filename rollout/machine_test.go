package rollout

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
}

// snapshot is an environment as it was, with a picture made at the time: later commands must not reach into it.
type snapshot struct {
	e, picture Environment
}

// simNode is a node as it really is, whatever the database knows of it.
type simNode struct {
	name     string
	runs     int
	silent   bool
	away     bool // taken out by an operator
	revision int64
	spec     int64
	hash     string
	weights  Weights
	staged   map[int]int64 // generation to spec version
}

func (n *simNode) node(seen time.Time) Node {
	return Node{Router: "builtin", Name: n.name, Incarnation: fmt.Sprintf("%s%d", n.name, n.runs), SeenAt: seen}
}

func (n *simNode) receipt() Receipt {
	return Receipt{Router: "builtin", Node: n.name, Incarnation: n.node(time.Time{}).Incarnation, Revision: n.revision,
		SpecVersion: n.spec, Hash: n.hash, Weights: n.weights, Grade: GradeFenced}
}

// follow does what is to be done on the node, up to a point where it is cut off, and says what came of it.
func (n *simNode) follow(t tb, e Environment, now time.Time, limit int) Facts {
	var f Facts
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
			n.staged[a.Generation] = e.SpecVersion
			f.Staged = append(f.Staged, s)
		case ActApply:
			for _, g := range e.Weights.Numbers() {
				if _, ok := n.staged[g]; !ok {
					t.Fatalf("node %s is to serve generation %d, which it does not know", n.name, g)
				}
			}
			if e.Revision >= n.revision { // its fence
				n.revision, n.spec, n.hash, n.weights = e.Revision, e.SpecVersion, e.Route().Hash(), maps.Clone(e.Weights)
			}
		case ActRemove:
			if n.weights.Carries(a.Generation) {
				t.Fatalf("node %s is to remove generation %d, which it serves", n.name, a.Generation)
			}
			delete(n.staged, a.Generation)
			f.Unstaged = append(f.Unstaged, s)
		case ActForget:
			n.staged = map[int]int64{}
			f.Forgotten = append(f.Forgotten, n.node(now))
		}
	}
	if len(f.Forgotten) == 0 {
		f.Receipts = append(f.Receipts, n.receipt())
	}
	return f
}

func newMachine(r *rapid.T, counts map[string]int) *machine {
	m := &machine{r: r, counts: counts}
	m.world = newWorld(r, func(s *Spec) {
		s.Validation.MinHealthyPercent = 50
		s.Retention.KeepGenerations = rapid.IntRange(0, 3).Draw(r, "keep")
		s.Retention.KeepFor = Duration(rapid.SampledFrom([]time.Duration{0, time.Minute, time.Hour}).Draw(r, "keep for"))
	})
	m.nodes = []*simNode{{name: "a", staged: map[int]int64{}}, {name: "b", staged: map[int]int64{}}}
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
			for _, n := range t.After.Nodes {
				if sim := m.sim(n.Name); m.now.Sub(n.SeenAt) <= timing.Silence && sim.revision < s.Revision {
					m.Fatalf("switch %d is applied, and node %s is at %d", s.Revision, n.Name, sim.revision)
				}
			}
		}
	}
	for _, mv := range t.Moves {
		m.counts[string(mv.From)+" to "+string(mv.To)]++
		if mv.To != Retired {
			continue
		}
		for _, n := range t.After.Nodes {
			if sim := m.sim(n.Name); sim.weights.Carries(mv.Generation) {
				m.Fatalf("generation %d is retired, and node %s serves it", mv.Generation, n.Name)
			}
		}
	}
	for _, p := range t.Promotions {
		m.counts["promotion "+string(p.State)]++
	}
	if m.taken++; m.taken%5 == 0 {
		m.history = append(m.history, snapshot{m.e, picture(m.e)})
	}
	m.apply(t)
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

// number draws a generation: mostly one of the states that the command is made for, at times a retired or unknown one.
func (m *machine) number(label string, states ...GenerationState) int {
	var numbers []int
	for _, g := range m.e.Generations {
		numbers = append(numbers, g.Number)
		if slices.Contains(states, g.State) {
			numbers = append(numbers, g.Number, g.Number, g.Number, g.Number, g.Number, g.Number)
		}
	}
	if len(m.gone) > 0 {
		numbers = append(numbers, slices.Min(slices.Collect(maps.Keys(m.gone))))
	}
	return rapid.SampledFrom(append(numbers, m.e.LastNumber+1)).Draw(m.r, label)
}

// often is true three times of four, seldom once.
func (m *machine) often(label string) bool {
	return rapid.SampledFrom([]bool{true, true, true, false}).Draw(m.r, label)
}

func (m *machine) seldom(label string) bool { return !m.often("not " + label) }

func (m *machine) expected() *int64 {
	if m.often("any revision") {
		return nil
	}
	revision := m.e.Revision
	if m.seldom("wrong revision") {
		revision++
	}
	return &revision
}

func (m *machine) Promote() {
	cmd := PromoteCommand{Actor: alice, Generation: m.number("generation", Ready, Shifting), ExpectedRevision: m.expected(),
		Supersede: m.seldom("supersede") != (m.e.Promotion != nil), Force: m.seldom("force")}
	switch split := len(m.e.Weights.Numbers()) > 1; {
	case split && m.seldom("the live one"):
		cmd.Generation = m.e.Live
	case split && m.e.candidate() != 0:
		cmd.Generation = m.e.candidate()
	}
	e := m.naming(cmd.Generation)
	checkPlan(m.world, e, cmd)
	t, err := e.Promote(cmd, m.now)
	if err == nil && cmd.Generation == e.Live && t.Answer.Changed {
		m.counts["promote the live one"]++
	}
	m.try("promote", t, err)
}

func (m *machine) Rollback() {
	cmd := RollbackCommand{Actor: alice, ExpectedRevision: m.expected(), Force: m.seldom("force")}
	if m.seldom("with from") {
		cmd.From = m.number("from", Live, Shifting)
	}
	if m.seldom("with to") {
		cmd.To = m.number("to", Standby)
	}
	if target := m.e.destination(cmd); m.seldom("kill the target") && m.gone[target].Number == 0 && target != 0 && target <= m.e.LastNumber {
		m.observe(m.e.Record(Facts{Readings: m.readings(target, 0)}, m.now))
	}
	e := m.naming(cmd.From)
	if _, ok := e.Generation(cmd.To); !ok {
		e = m.naming(cmd.To)
	}
	t, err := e.Rollback(cmd, m.now)
	m.asksNothing(e, cmd, t, err)
	if cmd == (RollbackCommand{Actor: alice}) && m.e.DeletingAt == nil {
		if ready := m.e.Readiness(m.now); ready.Ready != (err == nil) || (err == nil && ready.Generation != t.After.Live) {
			m.Fatalf("readiness %+v, and the rollback %+v: %v", ready, t.Answer, err)
		}
	}
	m.try("rollback", t, err)
}

// asksNothing wants the same outcome without lock, nodes, staging, validations, and any health but the target's.
func (m *machine) asksNothing(e Environment, cmd RollbackCommand, t Transition, err error) {
	m.Helper()
	target := e.destination(cmd)
	e.Lock, e.Nodes, e.Stagings, e.Receipts = nil, nil, nil, nil
	e.Readings = slices.DeleteFunc(slices.Clone(e.Readings), func(r Reading) bool { return r.Generation != target })
	e.Generations = slices.Clone(e.Generations)
	for i := range e.Generations {
		e.Generations[i].Checked = ValidationRecord{}
	}
	bare, bareErr := e.Rollback(cmd, m.now)
	if (err == nil) != (bareErr == nil) || (err == nil && (bare.After.Live != t.After.Live || bare.After.Revision != t.After.Revision)) {
		m.Fatalf("rollback %+v: %v; without lock and the side it leaves: %v", cmd, err, bareErr)
	}
	switch r := refusal(err); {
	case r == nil:
	case !slices.Contains([]Code{RevisionMismatch, Conflict, InvalidRequest, NotFound, RollbackUnavailable, RollbackTargetUnhealthy}, r.Code):
		m.Fatalf("rollback %+v: %v", cmd, err)
	case r.Code == RollbackTargetUnhealthy && cmd.Force:
		m.Fatalf("rollback %+v by a person: %v", cmd, err)
	}
}

func (m *machine) Weights() {
	share := rapid.SampledFrom([]int{0, 1, 10, 50, 99, 100, 101}).Draw(m.r, "share")
	cmd := WeightsCommand{Actor: alice, Weights: Weights{m.number("one", Ready, Shifting, Standby): share}, ExpectedRevision: m.expected()}
	cmd.Weights[m.e.Live] = 100 - share
	t, err := m.naming(0).SetWeights(cmd, m.now)
	m.try("weights", t, err)
}

// Split gives the newest ready generation a share, where there is a live one.
func (m *machine) Split() {
	m.Converge()
	for _, g := range slices.Backward(m.e.Generations) {
		if g.State == Ready && m.e.Live != 0 {
			t, err := m.weights(Weights{m.e.Live: 90, g.Number: 10})
			m.try("weights", t, err)
			return
		}
	}
}

// Neglect registers a generation that nobody stages in time.
func (m *machine) Neglect() {
	m.Register()
	m.now = m.now.Add(5 * time.Minute)
	m.beat()
	m.observe(m.e.Settle(m.now))
}

func (m *machine) Validate() {
	n := m.number("generation", Ready, Failed, Rejected)
	for _, g := range m.e.Generations {
		if (g.State == Failed || g.State == Rejected) && m.often("what failed") {
			n = g.Number
		}
	}
	t, err := m.naming(n).Validate(ValidateCommand{Actor: alice, Generation: n}, m.now)
	m.try("validate", t, err)
}

func (m *machine) Retire() {
	n := m.number("generation")
	t, err := m.naming(n).Retire(RetireCommand{Actor: alice, Generation: n}, m.now)
	m.try("retire", t, err)
}

func (m *machine) Retain() {
	n := m.number("generation", Standby, Rejected)
	until := m.now.Add(time.Duration(rapid.IntRange(-1, 3).Draw(m.r, "hours")) * time.Hour)
	t, err := m.naming(n).Retain(RetentionCommand{Actor: alice, Generation: n, KeepUntil: until}, m.now)
	m.try("retain", t, err)
}

func (m *machine) Register() {
	t, err := m.e.Register(RegisterCommand{Actor: alice, Groups: m.groups(), Promote: m.seldom("promote")}, m.now)
	m.try("register", t, err)
}

func (m *machine) Lock() {
	if m.e.Lock == nil {
		t, err := m.e.SetLock(LockCommand{Actor: alice, Reason: "why"}, m.now)
		m.try("lock", t, err)
		return
	}
	t, err := m.e.ClearLock(alice, m.now)
	m.try("unlock", t, err)
}

func (m *machine) Release() {
	t, err := m.e.ReleaseAutomation(alice, m.now)
	m.try("release", t, err)
}

func (m *machine) Replace() {
	spec := m.e.Spec
	spec.Services = slices.Clone(spec.Services)
	switch rapid.IntRange(0, 3).Draw(m.r, "what") {
	case 0:
		spec.Retention.KeepGenerations = (spec.Retention.KeepGenerations + 1) % 4
	case 1:
		spec.Validation.MinCapacityPercent = 150 - spec.Validation.MinCapacityPercent
	case 2:
		spec.Services[0].Hosts = []string{fmt.Sprintf("h%d.example", m.e.SpecVersion)}
	case 3:
		api := defaultService()
		api.Name = "api"
		if spec.Services = append(spec.Services, api); len(spec.Services) > 2 {
			spec.Services = spec.Services[:1]
		}
	}
	t, err := m.e.Replace(PutCommand{Actor: alice, Spec: spec}, m.now)
	m.try("replace", t, err)
}

// Delete is rare, and a deleted environment is created again.
func (m *machine) Delete() {
	if m.e.DeletedAt != nil {
		spec := m.e.Spec
		t, err := m.e.Create(PutCommand{Actor: alice, Name: "shop", Spec: spec}, m.now)
		m.try("create", t, err)
		m.e.Nodes = nil
		m.beat()
		return
	}
	if m.seldom("delete") {
		t, err := m.e.Delete(DeleteCommand{Actor: alice, Force: m.seldom("force")}, m.now)
		m.try("delete", t, err)
	}
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

// Probe reads the health of every generation; mostly all is well.
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
	switch rapid.IntRange(0, 4).Draw(m.r, "what") {
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
			}
		}
		for _, g := range m.e.Generations {
			f.Readings = append(f.Readings, m.readings(g.Number, 2)...)
		}
		m.observe(m.e.Record(f, m.now))
	}
}

func (m *machine) actions() map[string]func() {
	return map[string]func(){
		"promote": m.Promote, "promote more": m.Promote, "rollback": m.Rollback, "weights": m.Weights, "weights more": m.Weights,
		"validate": m.Validate, "retire": m.Retire, "retain": m.Retain, "register": m.Register, "register more": m.Register,
		"lock": m.Lock, "release": m.Release, "replace": m.Replace, "delete": m.Delete,
		"follow": m.Follow, "follow more": m.Follow, "late": m.RecordLate, "work": m.Work, "probe": m.Probe,
		"deploy": m.Deploy, "deploy more": m.Deploy, "split": m.Split, "neglect": m.Neglect, "pass": m.Pass, "pass more": m.Pass, "node": m.Node, "converge": m.Converge,
	}
}

// TestProve_RandomWalks takes long random walks, and wants every rule kept and every move of the tables seen. It takes
// at least two rounds, and more until everything was seen.
func TestProve_RandomWalks(t *testing.T) {
	t.Parallel()
	least, most := 2, 30
	if os.Getenv("VIRIDIAN_PROVE") == "full" {
		least, most = 100, 100
	}
	var mu sync.Mutex
	seen := map[string]int{}
	for round := 0; round < least || (uncovered(seen) != nil && round < most); round += 2 {
		t.Run(fmt.Sprintf("rounds from %d", round), func(t *testing.T) {
			for i := range 2 {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					t.Parallel()
					rapid.Check(t, func(r *rapid.T) {
						counts := randomWalk(r)
						mu.Lock()
						defer mu.Unlock()
						for k, v := range counts {
							seen[k] += v
						}
					})
				})
			}
		})
		if t.Failed() {
			return
		}
	}
	if err := uncovered(seen); err != nil {
		t.Error(err)
	}
}

func randomWalk(r *rapid.T) map[string]int {
	m := newMachine(r, map[string]int{})
	actions := m.actions()
	names := slices.Sorted(maps.Keys(actions))
	for range rapid.SampledFrom([]int{60, 30, 15, 6, 3}).Draw(r, "steps") {
		actions[rapid.SampledFrom(names).Draw(r, "action")]()
	}
	for _, s := range m.history {
		if !reflect.DeepEqual(s.e, s.picture) {
			m.Fatalf("a later command reached into an environment:\n%s", cmp.Diff(s.picture, s.e))
		}
	}
	return m.counts
}

// uncovered names the moves that no walk made.
func uncovered(counts map[string]int) error {
	var missing []error
	want := []string{"applied", "promote the live one", "promote", "rollback", "weights", "delete", "create", "rollback rollback_unavailable", "rollback rollback_target_unhealthy",
		"promote promotion_in_progress", "promote environment_locked", "promote revision_mismatch", "promotion paused"}
	for from, states := range GenerationMoves {
		for _, to := range states {
			want = append(want, string(from)+" to "+string(to))
		}
	}
	for _, outcome := range []PromotionState{PromotionSucceeded, PromotionAborted, PromotionRolledBack, PromotionSuperseded} {
		want = append(want, "promotion "+string(outcome))
	}
	for _, k := range want {
		if counts[k] == 0 {
			missing = append(missing, errors.New("no walk showed: "+k))
		}
	}
	return errors.Join(missing...)
}
