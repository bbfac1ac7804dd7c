package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// todo leaves out when to look again.
func (w *world) todo() []Action {
	return slices.DeleteFunc(Decide(w.e, w.now), func(a Action) bool { return a.Kind == ActWake })
}

func (w *world) wake() time.Duration {
	w.Helper()
	for _, a := range Decide(w.e, w.now) {
		if a.Kind == ActWake {
			return a.At.Sub(w.now)
		}
	}
	return 0
}

func (w *world) decides(want ...Action) {
	w.Helper()
	if diff := cmp.Diff(want, w.todo(), cmpopts.EquateEmpty()); diff != "" {
		w.Fatalf("actions (-want +got):\n%s", diff)
	}
}

func on(node string, kind ActionKind, generation int) Action {
	return Action{Kind: kind, Generation: generation, Router: "builtin", Node: node}
}

func TestDecide_FromRegistrationToPeace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.decides(on("a", ActApply, 0), on("b", ActApply, 0)) // hosts that answer 503
	w.applied()
	w.decides()
	n := w.register(true)
	w.decides(Action{Kind: ActRegister, Generation: n}, on("a", ActStage, n), on("b", ActStage, n))
	w.record(Facts{Announced: []int{n}, Staged: w.stagings(n)[:1]})
	w.decides(on("b", ActStage, n))
	w.record(Facts{Staged: w.stagings(n)[1:]})
	w.decides()
	w.health(n, 2)
	w.decides(on("a", ActApply, 0), on("b", ActApply, 0))
	w.record(Facts{Receipts: []Receipt{w.receiptOf(w.e.Nodes[1])}})
	w.decides(on("a", ActApply, 0))
	w.applied()
	w.decides()
}

func TestDecide_StagesWhatServesThenAppliesThenStagesTheRestThenRemoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	retire := w.ready()
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: retire}, w.now))
	w.live()
	w.pass(time.Minute).settle()
	w.e.Nodes[0].Incarnation = "a2" // restarted: knows nothing we could count on
	w.decides(on("a", ActStage, 3), on("a", ActApply, 0), on("a", ActStage, 1), on("a", ActRemove, retire), on("b", ActApply, 0), on("b", ActRemove, retire),
		Action{Kind: ActSettle}) // what a confirmed before its restart counts no more
	w.settle()
	w.record(Facts{Unstaged: w.stagings(retire), Staged: append(w.stagings(3), w.stagings(1)...)})
	w.decides(on("a", ActApply, 0), Action{Kind: ActDeregister, Generation: retire})
}

func TestDecide_NothingForNodesOfOtherRouters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.e.Nodes = append(w.e.Nodes, Node{Router: "edge", Name: "x", Incarnation: "x1", SeenAt: w.now})
	w.register(false)
	for _, a := range w.todo() {
		if a.Router == "edge" || a.Node == "x" {
			t.Errorf("action %+v", a)
		}
	}
}

func TestDecide_AppliesAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Receipt)
		apply  bool
	}{
		"in sync":    {func(*Receipt) {}, false},
		"behind":     {func(r *Receipt) { r.Revision, r.Grade = r.Revision-1, GradeReadBack }, true},
		"older spec": {func(r *Receipt) { r.SpecVersion-- }, true},
		"failed":     {func(r *Receipt) { r.Error = "disk full" }, true},
		"drifted":    {func(r *Receipt) { r.Hash = "x" }, true}, // by the heal that follows
		"ahead":      {func(r *Receipt) { r.Revision++ }, true}, // by the recover that follows
	} {
		w := newWorld(t)
		w.live()
		r := w.receiptOf(w.e.Nodes[0])
		c.change(&r)
		w.record(Facts{Receipts: []Receipt{r}})
		if got := slices.Contains(w.todo(), on("a", ActApply, 0)); got != c.apply {
			t.Errorf("%s: apply %v", name, got)
		}
	}
}

// A node that would refuse the route is not asked again and again: a switch is on its way that it takes.
func TestDecide_DoesNotApplyInVain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	w.e.Readings = nil // so that no recover is made at once
	w.now = w.now.Add(time.Second)
	for name, change := range map[string]func(*Receipt){
		"drifted": func(r *Receipt) { r.Hash = "x" },
		"ahead":   func(r *Receipt) { r.Revision++ },
	} {
		r := w.receiptOf(w.e.Nodes[0])
		change(&r)
		r.Error, r.SpecVersion = "refused", r.SpecVersion-1
		e := w.e.Witnessed(w.e.Nodes[0], r, []int{1})
		for _, a := range Decide(e, w.now) {
			if a.Kind == ActApply && a.Node == "a" {
				t.Errorf("%s: applied", name)
			}
		}
	}
}

func TestDecide_AppliesInANewIncarnation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	old := w.receiptOf(w.e.Nodes[0])
	w.e.Nodes = slices.Clone(w.e.Nodes)
	w.e.Nodes[0].Incarnation = "a9"
	w.record(Facts{Receipts: []Receipt{old}}) // the process before it, or one that lost its name to it
	if !slices.Contains(w.todo(), on("a", ActApply, 0)) {
		t.Error("the receipt of another process counts as this one's")
	}
}

func TestDecide_StagesAgainForANewSpec(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.live()
	spec := w.e.Spec
	spec.Description = "new"
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	w.decides(on("a", ActStage, n), on("a", ActApply, 0), on("b", ActStage, n), on("b", ActApply, 0))
}

func TestDecide_SettlesWhatFactsAllow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(false)
	w.pass(time.Hour)
	if !slices.Contains(w.todo(), Action{Kind: ActSettle}) {
		t.Error("the deadline has passed, and nothing is to be settled")
	}
	w.settle()
	w.is(n, Failed)
	w.decides(on("a", ActApply, 0), on("b", ActApply, 0))
}

func TestDecide_WakesAtTheNextDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.applied()
	if d := w.wake(); d != 0 {
		t.Errorf("nothing to wait for, and yet wakes in %s", d)
	}
	n := w.register(false)
	if d := w.wake(); d != timing.Silence+1 {
		t.Errorf("registered: wakes in %s", d)
	}
	w.staged(n)
	w.e.Nodes = nil
	if d := w.wake(); d != 5*time.Minute {
		t.Errorf("validating: wakes in %s", d)
	}
	w = newWorld(t)
	n = w.ready()
	if d := w.wake(); d != 24*time.Hour+1 {
		t.Errorf("ready: wakes in %s", d)
	}
	w.promote(n)
	w.now = w.now.Add(3 * time.Second)
	if d := w.wake(); d != timing.Silence-3*time.Second+1 {
		t.Errorf("committed: wakes in %s", d)
	}
	w = twoLive(t)
	busy := w.receiptOf(w.e.Nodes[1])
	busy.InFlight = map[int]int{1: 1}
	w.record(Facts{Receipts: []Receipt{w.receiptOf(w.e.Nodes[0]), busy}})
	w.e.Nodes = nil
	if d := w.wake(); d != 30*time.Second {
		t.Errorf("draining: wakes in %s", d)
	}
	w.e.Switch.DrainedAt = &w.now
	if d, want := w.wake(), w.gen(1).StateChangedAt.Add(time.Hour).Sub(w.now); d != want {
		t.Errorf("standby: wakes in %s, want %s", d, want)
	}
	w, _ = brought(t, Retiring)
	w.e.Switch.DrainedAt = &w.now
	if d := w.wake(); d != timing.Grace {
		t.Errorf("retiring: wakes in %s", d)
	}
}
