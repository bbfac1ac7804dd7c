package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// future is a receipt of a time that the database does not know: the node serves the generation at that revision.
func (w *world) future(node int, revision int64, generation int) Receipt {
	r := w.receiptOf(w.e.Nodes[node])
	r.Revision, r.Weights, r.Newest = revision, Weights{generation: 100}, generation
	r.Hash = Route{Weights: r.Weights, Live: generation}.Hash()
	return r
}

// healthy reads the weighted generations as healthy, or as dead.
func (w *world) healthy(count int) Transition {
	w.Helper()
	var f Facts
	for _, n := range w.e.Weights.Numbers() {
		f.Readings = append(f.Readings, w.readings(n, count)...)
	}
	return w.record(f)
}

func (w *world) recovered(t Transition, revision int64) Switch {
	w.Helper()
	if t.NewSwitch == nil || t.NewSwitch.Kind != SwitchRecover || t.NewSwitch.Revision != revision {
		w.Fatalf("no recover at %d: %+v, %v", revision, t.NewSwitch, kinds(t))
	}
	return *t.NewSwitch
}

// past is an environment with 2 live and 1 standby, some time after the copy of it was made.
func past(t *testing.T) *world {
	t.Helper()
	w := twoLive(t)
	w.applied()
	w.pass(time.Hour / 2).settle()
	w.e.Readings = nil
	return w
}

func TestRecover_AboveTheHighestOfAll(t *testing.T) {
	t.Parallel()
	w := past(t)
	tr := w.sees(w.future(0, 6, 5), w.future(1, 7, 4))
	for i, node := range []string{"a", "b"} {
		ahead := slices.DeleteFunc(slices.Clone(tr.Events), func(e Event) bool { return e.Kind != EventRouteAhead })
		if len(ahead) != 2 || ahead[i].Data["node"] != node || ahead[i].Revision != 2 {
			t.Fatalf("told %+v", ahead)
		}
	}
	if tr.NewSwitch != nil {
		t.Fatalf("moved before anybody looked at generation 2: %+v", tr.NewSwitch)
	}
	s := w.recovered(w.healthy(2), 8)
	if s.Actor != "viridian" || s.From != 2 || s.To != 2 || len(s.Warnings) != 0 {
		t.Errorf("recover %+v", s)
	}
	w.route(2, 1, Weights{2: 100})
	if w.e.LastNumber != 5 || w.e.Hold == nil || w.e.mending().Lost != nil {
		t.Errorf("last number %d, hold %+v, mending %+v", w.e.LastNumber, w.e.Hold, w.e.Mending)
	}
	w.decides(Action{Kind: ActRegister, Generation: 1}, Action{Kind: ActRegister, Generation: 2}, on("a", ActApply, 0), on("b", ActApply, 0))
	w.applied()
	if w.e.Switch.Status != Applied {
		t.Errorf("the recover is %s", w.e.Switch.Status)
	}
	if n := w.register(false); n != 6 {
		t.Errorf("the next generation is %d", n)
	}
}

// What is told once is not told again, and a second node that is ahead is.
func TestRecover_OneFindingIsToldOnce(t *testing.T) {
	t.Parallel()
	w := past(t)
	told := func(tr Transition) int {
		return len(slices.DeleteFunc(slices.Clone(tr.Events), func(e Event) bool { return e.Kind != EventRouteAhead }))
	}
	a := w.future(0, 6, 5)
	for i, want := range []int{1, 0, 0} {
		if got := told(w.sees(a)); got != want {
			t.Errorf("look %d: told %d times", i, got)
		}
	}
	w.e.Nodes[0].Incarnation, a.Incarnation = "a2", "a2"
	if got := told(w.sees(a)); got != 0 {
		t.Error("told again after a restart")
	}
	if got := told(w.sees(w.future(1, 6, 5))); got != 1 {
		t.Errorf("of the other node told %d times", got)
	}
	if got := told(w.pass(time.Second).settle()); got != 0 {
		t.Error("told again by the clock")
	}
}

// Traffic is not moved to what is known to be dead; people are told, once. It goes on when that is well again, or when
// somebody has decided.
func TestRecover_HeldWhileTheTargetIsDead(t *testing.T) {
	t.Parallel()
	held := func() *world {
		w := past(t)
		w.sees(w.future(0, 6, 5), w.future(1, 6, 5))
		tr := w.healthy(0)
		w.notHealed(tr)
		if why, _ := emits(t, tr, EventRecoveryHeld).Data["reason"].(string); !strings.Contains(why, "2 instances healthy") || !strings.Contains(why, "generation 5") {
			t.Errorf("told %q", why)
		}
		for range 20 {
			w.pass(5 * time.Second)
			if tr := w.healthy(0); len(tr.Events) != 0 {
				t.Fatalf("held again: %v", kinds(tr))
			}
		}
		return w
	}
	w := held()
	w.recovered(w.healthy(1), 7)

	w = held()
	w.health(1, 2)
	w.changes(w.rollback(RollbackCommand{}))
	w.recovered(w.settle(), 7)
	w.route(1, 0, Weights{1: 100})

	w = held()
	w.changes(w.rollback(RollbackCommand{From: 2}))
	w.recovered(w.settle(), 7)
	if w.e.UnweightedRevisionOf(2) != 7 {
		t.Errorf("generation 2 is without weight since %d", w.e.UnweightedRevisionOf(2))
	}

	w = held() // there is nothing better, and a person says so
	w.health(1, 0)
	w.changes(w.rollback(RollbackCommand{To: 1, Force: true}))
	w.recovered(w.settle(), 7)

	w = held() // a new generation is registered on top of what was lost, staged and promoted
	n := w.register(false)
	w.staged(n)
	w.health(n, 2)
	w.promote(n)
	w.recovered(w.settle(), 7)
	w.applied()
	w.route(n, 2, Weights{n: 100})
	if n != 6 || w.e.Switch.Status != Applied {
		t.Errorf("generation %d, switch %+v", n, w.e.Switch)
	}
	w.promotion(n, PromotionSucceeded)

	w = held() // an admin gives up the environment
	w.changes(w.e.Delete(DeleteCommand{Actor: alice, Force: true}, w.now))
	w.recovered(w.settle(), 7)
}

// UnweightedRevisionOf is for tests.
func (e Environment) UnweightedRevisionOf(number int) int64 {
	g, _ := e.Generation(number)
	return g.UnweightedRevision
}

func TestRecover_UnknownHealthIsWaitedForAWhile(t *testing.T) {
	t.Parallel()
	w := past(t)
	w.e.Readings = w.stamped(w.readings(2, 2)) // fresh, and of before
	w.now = w.now.Add(time.Second)
	w.notHealed(w.sees(w.future(0, 6, 5)))
	if pause := w.wake(); pause != timing.Freshness {
		t.Errorf("wakes after %s", pause)
	}
	// Asked, and not often enough to tell.
	w.notHealed(w.record(Facts{Readings: []Reading{{Generation: 2, Service: "web", Total: 2, Unhealthy: 1}}}))
	w.now = w.now.Add(timing.Freshness - 1)
	w.notHealed(w.heard().settle())
	w.now = w.now.Add(1)
	if s := w.recovered(w.heard().settle(), 7); len(s.Warnings) == 0 {
		t.Error("nobody is warned that the health is not known")
	}
}

func TestRecover_AtOnceWhereNoTrafficMoves(t *testing.T) {
	t.Parallel()
	w := past(t)
	w.recovered(w.sees(w.future(0, 9, 2)), 10) // they went to and fro, and ended where the copy is
	w = newWorld(t)
	ahead := w.receiptOf(w.e.Nodes[0])
	ahead.Revision = 4
	w.recovered(w.sees(ahead), 5) // deleted and created again in the time that was lost
}

// A database of before the first promote does not take the traffic from what serves.
func TestRecover_HeldWithoutALiveGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tr := w.sees(w.future(0, 6, 5))
	w.notHealed(tr)
	emits(t, tr, EventRecoveryHeld)
	w.notHealed(w.pass(time.Hour).settle())
	n := w.ready()
	w.promote(n)
	w.recovered(w.settle(), 7)
	w.applied()
	w.route(6, 0, Weights{6: 100})
}

// Commands alone do not end it: what the lost time left behind is cleared by a recover, above both.
func TestRecover_AlsoWhenCommandsHaveComeAsFar(t *testing.T) {
	t.Parallel()
	w := past(t)
	w.sees(w.future(0, 3, 5))
	w.health(1, 2)
	w.changes(w.rollback(RollbackCommand{}))
	w.recovered(w.settle(), 4)
	w.applied()
	w.route(1, 0, Weights{1: 100})
}

// A node that could not write down what it serves refuses to go below that all the same.
func TestRecover_AboveWhatIsNotDurable(t *testing.T) {
	t.Parallel()
	w := past(t)
	r := w.receiptOf(w.e.Nodes[0])
	r.Fence, r.Error = 9, "revision 9 serves, but is not durable: no space left on device"
	w.recovered(w.sees(r), 10)
}

// A file that somebody wrote does not use up the numbers there are; the node is shown as it is.
func TestRecover_NotAboveWhatCannotBe(t *testing.T) {
	t.Parallel()
	w := past(t)
	r := w.future(0, 1<<62, 5)
	r.SpecVersion, r.Newest = 1<<62, 1<<30
	for range 3 {
		if tr := w.sees(r); tr.NewSwitch != nil || len(tr.Events) != 0 {
			t.Fatalf("told %v, switch %+v", kinds(tr), tr.NewSwitch)
		}
	}
	if state := w.e.ReceiptState(w.e.Nodes[0], w.now); state != Ahead || w.e.LastNumber != 2 || w.e.SpecVersion != 1 || w.e.Mending != nil {
		t.Errorf("%s, last number %d, spec version %d, mending %+v", state, w.e.LastNumber, w.e.SpecVersion, w.e.Mending)
	}
}

// The last revision that is believed leaves as many above it, and what is above it then is our own.
func TestRecover_LeavesNumbers(t *testing.T) {
	t.Parallel()
	w := past(t)
	for _, revision := range []int64{1<<53 - 1, 1 << 52} {
		r := w.future(0, revision, 5)
		r.SpecVersion, r.Newest = revision, 0
		if tr := w.sees(r); tr.NewSwitch != nil || len(tr.Events) != 0 {
			t.Fatalf("told %v, switch %+v", kinds(tr), tr.NewSwitch)
		}
	}
	w = past(t)
	r := w.receiptOf(w.e.Nodes[0])
	r.Fence = 1<<52 - 1
	w.recovered(w.sees(r), 1<<52)
	w.applied()
	w.changes(w.rollback(RollbackCommand{}))
	w.applied()
	w.route(1, 0, Weights{1: 100})
	if w.e.Revision != 1<<52+1 {
		t.Errorf("at revision %d", w.e.Revision)
	}
}

// Only a generation or a spec was lost: no switch is needed for that.
func TestRecover_LostNumbersAndSpecs(t *testing.T) {
	t.Parallel()
	w := past(t)
	r := w.receiptOf(w.e.Nodes[0])
	r.Newest = 4
	tr := w.sees(r)
	w.notHealed(tr)
	if data := emits(t, tr, EventRouteAhead).Data; data["found_generation"] != 4 || data["last_generation"] != 2 {
		t.Errorf("told %v", data)
	}
	if n := w.register(false); n != 5 {
		t.Errorf("the next generation is %d", n)
	}
	r = w.receiptOf(w.e.Nodes[0])
	r.SpecVersion = 4
	tr = w.sees(r)
	w.notHealed(tr)
	if w.e.SpecVersion != 5 || !tr.SpecChanged {
		t.Errorf("the spec is at version %d", w.e.SpecVersion)
	}
	emits(t, tr, EventEnvironmentUpdated)
	w.applied()
	if tr = w.settle(); !tr.Empty() {
		t.Errorf("again: %v", kinds(tr))
	}
}

// A generation that the copy has without weight may have served since: every node has to confirm anew that it does not.
func TestRecover_NothingIsTakenOutOnOldWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	never := w.ready()
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: never}, w.now))
	w.pass(time.Hour)
	if g := w.gen(never); !w.e.Cleanable(g, w.now) {
		t.Fatal("not cleanable before")
	}
	w.now = w.now.Add(time.Second)
	w.sees(w.future(0, 6, 5))
	if g := w.gen(never); w.e.Cleanable(g, w.now) {
		t.Error("cleanable while nobody knows what has become of it")
	}
	w.recovered(w.healthy(2), 7)
	w.pass(time.Hour)
	w.sees(w.receiptOf(w.e.Nodes[0]))
	if g := w.gen(never); w.e.Cleanable(g, w.now) {
		t.Error("cleanable although b may serve it")
	}
	w.applied()
	w.pass(time.Hour).settle()
	if g := w.gen(never); !w.e.Cleanable(g, w.now) {
		t.Error("not cleanable in the end")
	}
}

// Automation does not act on what is long past.
func TestRecover_HoldsAutomation(t *testing.T) {
	t.Parallel()
	w := past(t)
	n := w.register(true)
	w.staged(n)
	ahead := w.future(0, 6, 5)
	tr := w.record(Facts{Receipts: []Receipt{ahead}, Readings: w.readings(n, 2)})
	w.notHealed(tr)
	w.is(n, Ready)
	w.recovered(w.healthy(2), 7)
	if g := w.gen(n); g.Waiting != AutomationHeld {
		t.Errorf("it waits for %q", g.Waiting)
	}
	w.changes(w.e.ReleaseAutomation(alice, w.now))
	w.staged(n)
	w.applied()
	w.settle()
	w.route(n, 2, Weights{n: 100})
}

func TestRecover_WithLock(t *testing.T) {
	t.Parallel()
	w := past(t)
	w.changes(w.e.SetLock(LockCommand{Actor: alice, Reason: "why"}, w.now))
	w.sees(w.future(0, 6, 5))
	w.recovered(w.healthy(2), 7)
}

// A revision that only the lost time knows is nothing that a caller may have seen of this route.
func TestRecover_LostRevisionsAreNotExpected(t *testing.T) {
	t.Parallel()
	w := past(t)
	w.sees(w.future(0, 6, 5))
	w.recovered(w.healthy(2), 7)
	if !w.e.CarriesOn(2) || w.e.CarriesOn(3) || !w.e.CarriesOn(7) {
		t.Error("the recover at 7 carries on what was decided at 2, and nothing else")
	}
	for revision := int64(2); revision < 7; revision++ {
		w.refused(RevisionMismatch)(w.rollback(RollbackCommand{ExpectedRevision: &revision}))
	}
	revision := int64(7)
	w.applied()
	w.healed(w.sees(w.drift(0, 1)))
	if !w.e.CarriesOn(2) || !w.e.Keeps(7) || w.e.Keeps(2) {
		t.Error("a heal on top of the recover carries on as well")
	}
	w.changes(w.rollback(RollbackCommand{ExpectedRevision: &revision}))
	if w.e.CarriesOn(2) || w.e.CarriesOn(8) {
		t.Error("a rollback carries nothing on")
	}
}

func TestRecover_PromotionGoesOn(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.recovered(w.sees(w.future(0, 6, 5)), 7) // the health was read at this very moment
	if p := w.promotion(2, PromotionBaking); p.Revision != 7 {
		t.Errorf("promotion %+v", p)
	}
	w.applied()
	w.promotion(2, PromotionSucceeded)
}
