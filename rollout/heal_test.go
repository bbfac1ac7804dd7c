package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// drift is what a node reports when somebody gave everything to the generation behind our back.
func (w *world) drift(node, to int) Receipt {
	r := w.receiptOf(w.e.Nodes[node])
	r.Weights = Weights{to: 100}
	r.Hash = Route{Weights: r.Weights, Live: to}.Hash()
	return r
}

func (w *world) sees(receipts ...Receipt) Transition {
	w.Helper()
	return w.record(Facts{Receipts: receipts})
}

// healed wants a heal switch in the transition.
func (w *world) healed(t Transition) {
	w.Helper()
	if t.NewSwitch == nil || t.NewSwitch.Kind != SwitchHeal {
		w.Fatalf("no heal: %+v, %v", t.NewSwitch, kinds(t))
	}
}

func (w *world) notHealed(t Transition) {
	w.Helper()
	if t.NewSwitch != nil {
		w.Fatalf("a switch: %+v", t.NewSwitch)
	}
}

func TestHeal_DriftIsToldAndMended(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	found := w.e.Revision
	tr := w.sees(w.drift(1, 1))
	w.healed(tr)
	data := emits(t, tr, EventRouteDrifted).Data
	want := map[string]any{"router": "builtin", "node": "b", "expected": map[string]any{"1": 0, "2": 100}, "found": map[string]any{"1": 100}}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Errorf("the finding (-want +got):\n%s", diff)
	}
	if s := w.e.Switch; s.Revision != found+1 || s.Actor != "viridian" || s.From != 2 || s.To != 2 || s.Status != Committed {
		t.Errorf("heal %+v", s)
	}
	w.route(2, 1, Weights{2: 100})
	w.decides(on("a", ActApply, 0), on("b", ActApply, 0))
	w.applied()
	if w.e.Switch.Status != Applied {
		t.Errorf("the heal is %s", w.e.Switch.Status)
	}
}

// What a hand changed is told in words, also where it shows in no weight.
func TestHeal_EditsAreTold(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	moved, drained := w.drift(1, 1), w.receiptOf(w.e.Nodes[0])
	moved.Edits, drained.Edits = []string{"the map entry was changed"}, []string{"server web/s1 is draining", "the hosts were changed"}
	tr := w.sees(moved, drained)
	var told []map[string]any
	for _, e := range tr.Events {
		if e.Kind == EventRouteDrifted {
			told = append(told, e.Data)
		}
	}
	if diff := cmp.Diff([]map[string]any{
		{"router": "builtin", "node": "b", "expected": map[string]any{"1": 0, "2": 100}, "found": map[string]any{"1": 100}, "edits": moved.Edits},
		{"router": "builtin", "node": "a", "edits": drained.Edits},
	}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	for _, r := range w.e.Receipts {
		if r.Edits != nil {
			t.Errorf("kept with the receipt: %+v", r)
		}
	}
}

// One finding is one event, however often it is seen, and also by the next process on the same state file.
func TestHeal_OneFindingIsToldOnce(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	w.sees(w.drift(0, 1))
	w.applied()
	drifted := w.drift(0, 1)
	emits(t, w.sees(drifted), EventRouteDrifted) // too soon after the last heal to heal
	drifted.Error = "something else"
	for range 3 {
		if tr := w.sees(drifted); slices.Contains(kinds(tr), EventRouteDrifted) {
			t.Errorf("told again: %v", kinds(tr))
		}
	}
	w.e.Nodes[0].Incarnation = "a2"
	drifted.Incarnation = "a2"
	if tr := w.sees(drifted); slices.Contains(kinds(tr), EventRouteDrifted) {
		t.Errorf("told again after a restart: %v", kinds(tr))
	}
	w.healed(w.pass(time.Second).settle())
}

// A node that diverges again and again is healed ever more rarely, and soon again when it was quiet for long.
func TestHeal_Backoff(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	begun, heals, events := w.now, 0, 0
	for w.now.Before(begun.Add(time.Hour)) {
		tr := w.sees(w.drift(0, 1))
		for tr.NewSwitch == nil {
			events += len(tr.Events)
			pause := w.wake()
			if pause <= 0 || pause > healPauseMax {
				t.Fatalf("heal %d: wakes after %s", heals, pause)
			}
			tr = w.pass(pause).settle()
		}
		if heals++; heals > 1000 {
			t.Fatalf("%d heals in %s", heals, w.now.Sub(begun))
		}
		events += len(tr.Events)
		w.applied()
	}
	if heals < 60 || heals > 70 || events > 4*heals {
		t.Errorf("%d heals and %d events in an hour", heals, events)
	}
	w.pass(healMemory + 1)
	w.healed(w.sees(w.drift(0, 1)))
	w.applied()
	w.notHealed(w.sees(w.drift(0, 1)))
	if pause := w.wake(); pause != healPause {
		t.Errorf("after a long time in order, the second heal comes after %s", pause)
	}
}

// What is not a drift: a node on its way, one that is silent, one that did not write it down yet.
func TestHeal_NotWithoutNeed(t *testing.T) {
	t.Parallel()
	w := twoLive(t) // the second switch is on its way
	behind := w.receiptOf(w.e.Nodes[0])
	behind.Revision--
	behind.Hash, behind.Weights = Route{Weights: Weights{1: 100}, Live: 1}.Hash(), Weights{1: 100}
	behind.Error, behind.Fence = "revision 2 serves, and is being written", w.e.Revision
	w.notHealed(w.sees(behind))
	w.applied()
	w.e.Nodes[0].Incarnation = "a2" // nothing is known of the new run
	w.notHealed(w.settle())
	w.applied()
	silent := w.drift(1, 1)
	w.pass(timing.Silence + 1)
	w.e.Nodes[1].SeenAt = w.now.Add(-timing.Silence - 1)
	w.notHealed(w.sees(silent))
	w.healed(w.heard().settle()) // it is back
}

func TestHeal_WithLockAndHold(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	w.changes(w.rollback(RollbackCommand{}))
	w.applied()
	w.changes(w.e.SetLock(LockCommand{Actor: alice, Reason: "why"}, w.now))
	w.healed(w.sees(w.drift(0, 2)))
	if w.e.Lock == nil || w.e.Hold == nil {
		t.Error("a heal clears a lock or a hold")
	}
}

// A promotion goes on through a heal: it succeeds when the heal is applied, because that is the same route.
func TestHeal_PromotionGoesOn(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.sees(w.receiptOf(w.e.Nodes[0]), w.drift(1, 1)) // b holds something else at the promote's revision
	w.healed(Transition{NewSwitch: w.e.Switch})
	if p := w.promotion(2, PromotionBaking); p.Revision != w.e.Revision || w.e.Switch.Promotion != p.ID {
		t.Fatalf("promotion %+v, switch %+v", p, w.e.Switch)
	}
	w.applied()
	w.promotion(2, PromotionSucceeded)
	w.route(2, 1, Weights{2: 100})
}

func TestHeal_PausedPromotionStaysPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	n := w.ready()
	w.changes(w.weights(Weights{1: 90, n: 10}))
	w.applied()
	w.healed(w.sees(w.drift(0, n)))
	w.applied()
	w.promotion(n, PromotionPaused)
	w.route(1, 0, Weights{1: 90, n: 10})
	w.promote(n)
	w.applied()
	w.promotion(n, PromotionSucceeded)
}

// An environment that is being deleted is healed too: else what a node holds would never go.
func TestHeal_WhileDeleting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	w.changes(w.e.Delete(DeleteCommand{Actor: alice, Force: true}, w.now))
	w.applied()
	w.healed(w.sees(w.drift(0, 1)))
	w.applied()
	w.pass(time.Minute).settle()
	w.pass(time.Minute).cleaned(1)
	if w.e.DeletedAt == nil {
		t.Errorf("not deleted: %+v", w.e.Generations)
	}
}

// A rollback is never refused for a heal that came between what its caller saw and itself.
func TestHeal_ARollbackRacingItWins(t *testing.T) {
	t.Parallel()
	seen := func(w *world) *int64 { r := w.e.Revision; return &r }
	w := twoLive(t)
	w.applied()
	before := seen(w)
	w.healed(w.sees(w.drift(0, 1)))
	w.pass(time.Minute)
	w.healed(w.sees(w.drift(0, 1)))
	w.changes(w.rollback(RollbackCommand{From: 2, ExpectedRevision: before}))
	w.route(1, 0, Weights{1: 100})
	w.notHealed(w.sees(w.receiptOf(w.e.Nodes[1]))) // what a did at the heal's revision is behind now
	w.refused(RevisionMismatch)(w.rollback(RollbackCommand{ExpectedRevision: before}))

	w = twoLive(t)
	w.applied()
	before = seen(w)
	drifted := w.drift(0, 1)
	w.changes(w.rollback(RollbackCommand{ExpectedRevision: before}))
	w.notHealed(w.sees(drifted))
	after := seen(w)
	w.applied()
	w.healed(w.sees(w.drift(0, 2)))
	w.refused(RevisionMismatch)(w.rollback(RollbackCommand{To: 1, ExpectedRevision: before})) // a rollback lies between
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: 2}, w.now))
	w.health(2, 2)
	w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: 2, ExpectedRevision: after}, w.now))
}

// A program that does not know of heals makes a switch on top of one: then the revision before is a different route.
func TestKeeps_OnlyWhileTheHealIsTheLastSwitch(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	w.healed(w.sees(w.drift(0, 1)))
	if !w.e.Keeps(2) || !w.e.Keeps(3) || w.e.Keeps(1) || w.e.Keeps(4) {
		t.Error("a heal at 3 keeps the route of 2 and no other")
	}
	other := w.e
	other.Revision++
	if other.Keeps(2) || other.Keeps(3) || !other.Keeps(4) {
		t.Error("a later switch keeps nothing")
	}
}
