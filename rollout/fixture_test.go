package rollout

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

var (
	start  = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	alice  = Actor{Kind: ActorToken, ID: "1", Name: "alice"}
	timing = Timing{Silence: 10 * time.Second, Freshness: 10 * time.Second, Grace: 8 * time.Second}
)

// tb is what *testing.T and *rapid.T have in common.
type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world keeps one environment as a store would, and looks at every transition with [checkTransition].
type world struct {
	tb
	e          Environment
	now        time.Time
	gone       map[int]Generation // retired ones
	promotions map[int64]Promotion
	switches   map[int64]Switch
}

// newWorld is an environment of one service "web" with nodes a and b. change, if given, edits the spec.
func newWorld(t tb, change ...func(*Spec)) *world {
	t.Helper()
	spec := defaultSpec()
	spec.Services = []Service{defaultService()}
	spec.Services[0].Name = "web"
	for _, fn := range change {
		fn(&spec)
	}
	w := &world{tb: t, now: start, gone: map[int]Generation{}, promotions: map[int64]Promotion{}, switches: map[int64]Switch{}}
	w.e.Timing = timing
	w.do(w.e.Create(PutCommand{Actor: alice, Name: "shop", Spec: spec}, w.now))
	w.e.Nodes = []Node{w.node("a"), w.node("b")}
	return w
}

func (w *world) node(name string) Node {
	return Node{Router: "builtin", Name: name, Incarnation: name + "1", SeenAt: w.now}
}

// apply writes the transition: After becomes the environment, without what is retired.
func (w *world) apply(t Transition) Transition {
	w.Helper()
	checkTransition(w, t)
	nodes := w.e.Nodes
	w.e = t.After
	if w.e.Nodes == nil {
		w.e.Nodes = nodes // a store loads them beside the environment
	}
	w.e.Generations = nil
	for _, g := range t.After.Generations {
		if g.State == Retired {
			w.gone[g.Number] = g
		} else {
			w.e.Generations = append(w.e.Generations, g)
		}
	}
	for _, p := range t.Promotions {
		w.promotions[p.ID] = p
	}
	for _, s := range t.UpdatedSwitches {
		w.switches[s.Revision] = s
	}
	if t.NewSwitch != nil {
		w.switches[t.NewSwitch.Revision] = *t.NewSwitch
	}
	return t
}

// do applies a command that must be accepted.
func (w *world) do(t Transition, err error) Transition {
	w.Helper()
	if err != nil {
		w.Fatalf("refused: %v", err)
	}
	return w.apply(t)
}

// changes is do for a command that must have changed something, unchanged for one that must not.
func (w *world) changes(t Transition, err error) Transition {
	w.Helper()
	if t = w.do(t, err); !t.Answer.Changed || t.Empty() {
		w.Fatalf("accepted without a change: %+v", t.Answer)
	}
	return t
}

func (w *world) unchanged(t Transition, err error) Transition {
	w.Helper()
	if t = w.do(t, err); t.Answer.Changed || !t.Empty() {
		w.Fatalf("changed something: %+v, events %v", t.Answer, kinds(t))
	}
	return t
}

// refused wants a command refused with that code.
func (w *world) refused(code Code) func(Transition, error) Refusal {
	return func(_ Transition, err error) Refusal {
		w.Helper()
		r := refusal(err)
		if r == nil || r.Code != code {
			w.Fatalf("got %v, want a refusal %s", err, code)
		}
		checkRefusal(w, w.e, r)
		return *r
	}
}

func refusal(err error) *Refusal {
	var r *Refusal
	errors.As(err, &r)
	return r
}

// pass lets time go by, with nodes heard and health read until the end of it.
func (w *world) pass(d time.Duration) *world {
	w.now = w.now.Add(d)
	w.e.Readings = w.stamped(w.e.Readings)
	return w.heard()
}

// heard lets every node send its heartbeat.
func (w *world) heard() *world {
	w.e.Nodes = slices.Clone(w.e.Nodes)
	for i := range w.e.Nodes {
		w.e.Nodes[i].SeenAt = w.now
	}
	return w
}

func (w *world) stamped(readings []Reading) []Reading {
	readings = slices.Clone(readings)
	for i := range readings {
		readings[i].At = w.now
	}
	return readings
}

func (w *world) record(f Facts) Transition { w.Helper(); return w.apply(w.e.Record(f, w.now)) }
func (w *world) settle() Transition        { w.Helper(); return w.apply(w.e.Settle(w.now)) }

// gen returns the generation, retired or not.
func (w *world) gen(number int) Generation {
	w.Helper()
	if g, ok := w.e.Generation(number); ok {
		return g
	}
	g, ok := w.gone[number]
	if !ok {
		w.Fatalf("no generation %d", number)
	}
	return g
}

// naming is the environment as a store loads it for a command that names the generation.
func (w *world) naming(number int) Environment {
	e := w.e
	if g, ok := w.gone[number]; ok {
		e.Generations = append(slices.Clone(e.Generations), g)
		slices.SortFunc(e.Generations, func(a, b Generation) int { return a.Number - b.Number })
	}
	return e
}

func instances(number, size int) []Instance {
	var out []Instance
	for i := range size {
		out = append(out, Instance{ID: fmt.Sprintf("i%d", i), Address: "10.0.0.1", Port: 1000 + 10*number + i})
	}
	return out
}

// groups has two instances for each service.
func (w *world) groups() []Group {
	var out []Group
	for i, svc := range w.e.Spec.Services {
		out = append(out, Group{Service: svc.Name, Instances: instances(w.e.LastNumber*10+i, 2)})
	}
	return out
}

func (w *world) register(promote bool) int {
	w.Helper()
	t := w.changes(w.e.Register(RegisterCommand{Actor: alice, Version: "v", Groups: w.groups(), Promote: promote}, w.now))
	return t.Answer.Generation
}

// stagings are what the nodes report when all of them know the generation.
func (w *world) stagings(number int) []Staging {
	var out []Staging
	for _, n := range w.e.Nodes {
		out = append(out, Staging{Generation: number, Router: n.Router, Node: n.Name, Incarnation: n.Incarnation, SpecVersion: w.e.SpecVersion})
	}
	return out
}

// staged makes the generation known everywhere.
func (w *world) staged(number int) Transition {
	w.Helper()
	return w.record(Facts{Announced: []int{number}, Staged: w.stagings(number)})
}

// readings says how many of a generation's instances are healthy, each service alike; the others are unhealthy.
func (w *world) readings(number, healthy int) []Reading {
	var out []Reading
	for service, size := range w.gen(number).Sizes {
		out = append(out, Reading{Generation: number, Service: service, Healthy: healthy, Unhealthy: size - healthy, Total: size})
	}
	return out
}

func (w *world) health(number, healthy int) Transition {
	w.Helper()
	return w.record(Facts{Readings: w.readings(number, healthy)})
}

// ready registers a generation and sees it through validation.
func (w *world) ready() int {
	w.Helper()
	n := w.register(false)
	w.staged(n)
	w.health(n, 2)
	w.is(n, Ready)
	return n
}

func (w *world) receiptOf(n Node) Receipt {
	return Receipt{Router: n.Router, Node: n.Name, Incarnation: n.Incarnation, Revision: w.e.Revision, SpecVersion: w.e.SpecVersion,
		Hash: w.e.Route().Hash(), Weights: w.e.Weights, Grade: GradeFenced}
}

// applied lets every node confirm the present route.
func (w *world) applied() Transition {
	w.Helper()
	var f Facts
	for _, n := range w.e.Nodes {
		f.Receipts = append(f.Receipts, w.receiptOf(n))
	}
	return w.record(f)
}

// cleaned lets every node and the registry drop the generation.
func (w *world) cleaned(number int) Transition {
	w.Helper()
	return w.record(Facts{Unstaged: w.stagings(number), Withdrawn: []int{number}})
}

func (w *world) promote(number int) Transition {
	w.Helper()
	return w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: number}, w.now))
}

// live makes a new generation live and its promotion succeed.
func (w *world) live() int {
	w.Helper()
	n := w.ready()
	w.promote(n)
	w.applied()
	if w.e.Live != n || w.e.Promotion != nil {
		w.Fatalf("generation %d is not live in peace", n)
	}
	return w.pass(time.Second).e.Live
}

func (w *world) rollback(cmd RollbackCommand) (Transition, error) {
	if cmd.Actor == (Actor{}) {
		cmd.Actor = alice
	}
	return w.naming(cmd.From).Rollback(cmd, w.now)
}

func (w *world) weights(weights Weights) (Transition, error) {
	return w.e.SetWeights(WeightsCommand{Actor: alice, Weights: weights}, w.now)
}

// is wants the generation in that state.
func (w *world) is(number int, state GenerationState) {
	w.Helper()
	if g := w.gen(number); g.State != state {
		w.Fatalf("generation %d is %s (%s), want %s", number, g.State, g.Reason, state)
	}
}

// route wants live, previous and the shares above 0.
func (w *world) route(live, previous int, weights Weights) {
	w.Helper()
	if w.e.Live != live || w.e.Previous != previous || !sameWeights(w.e.Weights, weights) {
		w.Fatalf("live %d, previous %d, weights %v; want %d, %d, %v", w.e.Live, w.e.Previous, w.e.Weights, live, previous, weights)
	}
}

// promotion wants the last promotion of the generation in that state.
func (w *world) promotion(generation int, state PromotionState) Promotion {
	w.Helper()
	var last Promotion
	for _, p := range w.promotions {
		if p.Generation == generation && p.ID > last.ID {
			last = p
		}
	}
	if last.State != state {
		w.Fatalf("the promotion of generation %d is %q, want %s", generation, last.State, state)
	}
	return last
}

func kinds(t Transition) []string {
	var out []string
	for _, ev := range t.Events {
		out = append(out, ev.Kind)
	}
	return out
}

// emits wants an event of that kind among the transition's.
func emits(t testing.TB, tr Transition, kind string) Event {
	t.Helper()
	i := slices.IndexFunc(tr.Events, func(e Event) bool { return e.Kind == kind })
	if i < 0 {
		t.Fatalf("no event %s in %v", kind, kinds(tr))
	}
	return tr.Events[i]
}
