package rollout

import (
	"testing"
	"time"
)

// wish registers a generation that wants to be promoted, and sees it through validation.
func (w *world) wish() int {
	w.Helper()
	n := w.register(true)
	w.record(Facts{Announced: []int{n}, Staged: w.stagings(n), Readings: w.readings(n, 2)})
	return n
}

func TestIntake_PromotesWhenReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.wish()
	w.route(n, 0, Weights{n: 100})
	if w.gen(n).Promote {
		t.Error("the wish is not spent")
	}
	if s := w.e.Switch; s.Kind != SwitchPromote || s.Reason != "registered with promote: true" {
		t.Errorf("switch %+v", s)
	}
}

func TestIntake_QueueLetsTheNewestWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.wish() // its promotion runs
	two := w.wish()
	w.is(two, Ready)
	if g := w.gen(two); g.Waiting != string(PromotionInProgress) || g.Reason == "" {
		t.Errorf("waits for %q: %q", g.Waiting, g.Reason)
	}
	three := w.wish()
	w.is(two, Retiring)
	w.is(three, Ready)
	if g := w.gen(two); g.Reason != "superseded by generation 3" || g.Waiting != "" {
		t.Errorf("generation 2: %q, waits for %q", g.Reason, g.Waiting)
	}
	w.applied()
	w.promotion(one, PromotionSucceeded)
	w.route(three, one, Weights{three: 100})
}

func TestIntake_LeavesThoseAloneThatDoNotAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.wish()
	w.is(n, Ready)
}

func TestIntake_WaitsForTheLockAndSaysSoOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.changes(w.e.SetLock(LockCommand{Actor: alice, Reason: "sale"}, w.now))
	n := w.register(true)
	tr := w.record(Facts{Announced: []int{n}, Staged: w.stagings(n), Readings: w.readings(n, 2)})
	if ev := emits(t, tr, EventPromotionWaiting); ev.Data["code"] != string(EnvironmentLocked) {
		t.Errorf("event %v", ev.Data)
	}
	if again := w.settle(); !again.Empty() {
		t.Errorf("said again: %v", kinds(again))
	}
	w.changes(w.e.ClearLock(alice, w.now))
	w.settle()
	w.is(n, Live)
	if w.gen(n).Waiting != "" {
		t.Errorf("live, and waits for %s", w.gen(n).Waiting)
	}
}

func TestIntake_IsHeldAfterARollback(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.changes(w.rollback(RollbackCommand{}))
	w.applied()
	n := w.wish()
	w.is(n, Ready)
	if w.gen(n).Waiting != AutomationHeld {
		t.Errorf("waits for %q", w.gen(n).Waiting)
	}
	w.changes(w.e.ReleaseAutomation(alice, w.now))
	w.settle()
	w.is(n, Live)
}

func TestIntake_RejectionSpendsTheWish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	n := w.wish()
	w.changes(w.rollback(RollbackCommand{}))
	w.applied()
	w.changes(w.e.ReleaseAutomation(alice, w.now))
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now))
	w.settle()
	w.is(n, Ready)
	w.settle()
	w.is(n, Ready)
}

func TestIntake_FailureSpendsTheWish(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(true)
	w.pass(5 * time.Minute).settle()
	w.is(n, Failed)
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now))
	w.record(Facts{Announced: []int{n}, Staged: w.stagings(n), Readings: w.readings(n, 2)})
	w.is(n, Ready)
}

func TestIntake_NeverAnOlderOneOverANewerLiveOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.register(true)
	two := w.live()
	w.record(Facts{Announced: []int{one}, Staged: w.stagings(one), Readings: w.readings(one, 2)})
	w.is(one, Ready)
	w.route(two, 0, Weights{two: 100})
	if w.gen(one).Waiting != string(Conflict) {
		t.Errorf("waits for %q", w.gen(one).Waiting)
	}
	w.promote(one) // by hand it is allowed
	w.route(one, two, Weights{one: 100})
}

func TestIntake_DoesNotOverrideWeightsSetByHand(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Standby)
	w.changes(w.weights(Weights{2: 90, n: 10}))
	w.applied()
	three := w.wish()
	w.is(three, Ready)
	w.changes(w.weights(Weights{2: 100}))
	w.settle()
	w.route(three, 2, Weights{three: 100})
}

func TestIntake_WaitsForCapacityHealthAndStaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.changes(w.e.SetLock(LockCommand{Actor: alice}, w.now))
	n := w.wish()
	w.changes(w.e.ClearLock(alice, w.now))
	w.health(n, 1)
	if w.gen(n).Waiting != string(GenerationNotReady) {
		t.Errorf("waits for %q", w.gen(n).Waiting)
	}
	w.record(Facts{Unstaged: w.stagings(n)})
	if w.gen(n).Waiting != string(NodeNotStaged) {
		t.Errorf("waits for %q", w.gen(n).Waiting)
	}
	w.record(Facts{Staged: w.stagings(n), Readings: w.readings(n, 2)})
	w.is(n, Live)
}
