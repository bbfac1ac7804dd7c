package rollout

import (
	"testing"
	"time"
)

// threeLive leaves generation 3 live, 2 previous and 1 an older standby.
func threeLive(t testing.TB, change ...func(*Spec)) *world {
	t.Helper()
	w := newWorld(t, append([]func(*Spec){func(s *Spec) { s.Retention.KeepGenerations = 5 }}, change...)...)
	w.live()
	w.live()
	w.live()
	w.is(1, Standby)
	return w
}

func TestRetention_KeepFor(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	until, ends := w.e.KeptUntil(w.gen(1))
	if !ends || !until.Equal(w.gen(1).StateChangedAt.Add(time.Hour)) {
		t.Fatalf("kept until %v, %v", until, ends)
	}
	w.pass(until.Sub(w.now) - 1).settle()
	w.is(1, Standby)
	w.pass(1).settle()
	w.is(1, Retiring)
	w.route(2, 0, Weights{2: 100})
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{}))
}

func TestRetention_KeepGenerations(t *testing.T) {
	t.Parallel()
	for keep, state := range map[int]GenerationState{1: Retiring, 2: Standby} {
		w := newWorld(t, func(s *Spec) { s.Retention.KeepGenerations = keep })
		w.live()
		w.live()
		w.live()
		w.is(1, state)
		w.is(2, Standby)
	}
}

func TestRetention_KeepNoGenerations(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Retention.KeepGenerations = 0 })
	w.live()
	w.promote(w.ready())
	w.is(1, Standby) // while the promotion runs it is the way back
	w.applied()
	w.is(1, Retiring)
	w.route(2, 0, Weights{2: 100})
}

func TestRetention_NeverExpiresPreviousDuringAPromotion(t *testing.T) {
	t.Parallel()
	w := threeLive(t)
	w.promote(w.ready())
	w.pass(50 * time.Hour).settle()
	w.is(3, Standby) // previous
	w.is(2, Retiring)
	w.is(1, Retiring)
	w.applied()
	w.is(3, Retiring)
	w.route(4, 0, Weights{4: 100})
}

func TestRetention_KeepUntilReplacesBothRules(t *testing.T) {
	t.Parallel()
	w := threeLive(t)
	until := w.now.Add(3 * time.Hour)
	tr := w.changes(w.e.Retain(RetentionCommand{Actor: alice, Generation: 1, KeepUntil: until}, w.now))
	emits(t, tr, EventRetentionChanged)
	spec := w.e.Spec
	spec.Retention.KeepGenerations = 1
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	w.pass(2 * time.Hour).settle()
	w.is(1, Standby)
	w.is(2, Retiring) // over keep_for
	w.pass(time.Hour).settle()
	w.is(1, Retiring)
}

func TestRetention_KeepUntilShortens(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	w.changes(w.e.Retain(RetentionCommand{Actor: alice, Generation: 1, KeepUntil: w.now.Add(time.Minute)}, w.now))
	w.pass(time.Minute).settle()
	w.is(1, Retiring)
}

func TestRetention_KeepUntilLiesInTheFuture(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	r := w.refused(InvalidRequest)(w.e.Retain(RetentionCommand{Actor: alice, Generation: 1, KeepUntil: w.now}, w.now))
	if len(r.Errors) != 1 || r.Errors[0].Pointer != "/keep_until" {
		t.Errorf("errors %+v", r.Errors)
	}
}

func TestRetention_KeepUntilEndsWithTheState(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.changes(w.e.Retain(RetentionCommand{Actor: alice, Generation: 1, KeepUntil: w.now.Add(time.Minute)}, w.now))
	w.changes(w.rollback(RollbackCommand{}))
	if g := w.gen(1); g.KeepUntil != nil {
		t.Errorf("live and kept until %v", g.KeepUntil)
	}
}

func TestRetention_FailedAndRejectedGoAfterKeepFor(t *testing.T) {
	t.Parallel()
	for _, state := range []GenerationState{Failed, Rejected} {
		w, n := brought(t, state)
		until, _ := w.e.KeptUntil(w.gen(n))
		w.pass(until.Sub(w.now) - 1).settle()
		w.is(n, state)
		w.pass(1).settle()
		w.is(n, Retiring)
	}
}

func TestRetention_ReadyOnesAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.pass(20 * time.Hour).settle()
	w.is(n, Ready)
}

func TestRetire_OfPreviousClearsIt(t *testing.T) {
	t.Parallel()
	w := threeLive(t)
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: 2}, w.now))
	w.route(3, 0, Weights{3: 100})
	w.is(1, Standby)
}

func TestRetire_AgainstARollbackOneWins(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: 1}, w.now))
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{From: 2}))
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{From: 2, To: 1}))

	w = twoLive(t)
	w.applied()
	w.changes(w.rollback(RollbackCommand{From: 2}))
	w.refused(Conflict)(w.e.Retire(RetireCommand{Actor: alice, Generation: 1}, w.now))
	w.pass(2 * time.Hour).settle() // the deadline of the standby that it was has passed
	w.is(1, Live)
}

// retiring is a world where generation 1 served, and retires.
func retiring(t testing.TB) *world {
	t.Helper()
	w := twoLive(t)
	w.record(Facts{Receipts: []Receipt{w.receiptOf(w.e.Nodes[0])}})
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: 1}, w.now))
	return w
}

func TestCleanUp_WaitsForEveryNodeDrainAndGrace(t *testing.T) {
	t.Parallel()
	w := retiring(t)
	w.pass(24 * time.Hour).settle()
	if w.gen(1).QuietAt != nil || w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("a node has not confirmed, and it may be removed")
	}
	w.applied()
	wait := w.e.Spec.Retention.Drain.Std() + timing.Grace
	w.pass(wait - 1)
	if w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("removed within drain and grace")
	}
	w.pass(1)
	if !w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("kept after drain and grace")
	}
	w.is(1, Retiring)
	w.record(Facts{Unstaged: w.stagings(1)[:1], Withdrawn: []int{1}})
	w.is(1, Retiring)
	w.record(Facts{Unstaged: w.stagings(1)[1:]})
	w.is(1, Retired)
}

func TestCleanUp_WaitsForASilentNode(t *testing.T) {
	t.Parallel()
	w := retiring(t)
	w.pass(time.Hour)
	w.e.Nodes[1].SeenAt = start
	w.settle()
	if w.e.Switch.Status != Applied || !w.e.Switch.Degraded {
		t.Fatalf("switch %+v", w.e.Switch)
	}
	w.pass(time.Hour)
	w.e.Nodes[1].SeenAt = start
	if w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("a silent node may still serve it")
	}
	w.e.Nodes = w.e.Nodes[:1] // an operator takes it out
	w.settle()
	w.pass(w.e.Spec.Retention.Drain.Std() + timing.Grace)
	if !w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("kept for a node that was taken out")
	}
}

func TestCleanUp_BeginsAnewWhenANodeComesBack(t *testing.T) {
	t.Parallel()
	w := retiring(t)
	w.applied()
	w.pass(time.Minute)
	back := Node{Router: "builtin", Name: "c", Incarnation: "c1", SeenAt: w.now}
	w.e.Nodes = append(w.e.Nodes, back)
	if w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("a node that came back has not confirmed")
	}
	w.settle()
	w.pass(time.Minute)
	w.record(Facts{Receipts: []Receipt{w.receiptOf(back)}})
	w.pass(timing.Grace)
	if w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("the node that came back has not drained")
	}
	w.pass(w.e.Spec.Retention.Drain.Std())
	if !w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("kept")
	}
}

func TestCleanUp_ANodeThatStillSendsThereBlocksIt(t *testing.T) {
	t.Parallel()
	w := retiring(t)
	drifted := w.receiptOf(w.e.Nodes[1])
	drifted.Weights, drifted.Hash = Weights{1: 50, 2: 50}, "edited"
	w.record(Facts{Receipts: []Receipt{drifted}})
	w.pass(time.Hour).settle()
	if w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("removed under traffic")
	}
}

func TestCleanUp_WithoutAnyNodeNothingIsConfirmed(t *testing.T) {
	t.Parallel()
	w := retiring(t)
	w.e.Nodes = []Node{}
	w.settle()
	w.now = w.now.Add(time.Hour)
	if w.e.Cleanable(w.gen(1), w.now) {
		t.Fatal("nobody confirmed")
	}
}

func TestCleanUp_NeverServedWaitsForTheGraceOnly(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Retiring)
	w.pass(timing.Grace - 1)
	if w.e.Cleanable(w.gen(n), w.now) {
		t.Fatal("a late worker may still stage it")
	}
	w.pass(1)
	w.cleaned(n)
	w.is(n, Retired)
}

func TestCleanUp_AGenerationNobodyEverKnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(false)
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: n}, w.now))
	w.pass(timing.Grace).settle()
	w.is(n, Retiring)
	w.decides(on("a", ActApply, 0), on("b", ActApply, 0), Action{Kind: ActDeregister, Generation: n}) // it may have been announced, and not recorded
	w.record(Facts{Withdrawn: []int{n}})
	w.is(n, Retired)
}

// An announcement whose record was lost is taken back all the same.
func TestCleanUp_AnnouncedAndNotRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(false)
	w.decides(Action{Kind: ActRegister, Generation: n}, on("a", ActApply, 0), on("a", ActStage, n), on("b", ActApply, 0), on("b", ActStage, n))
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: n}, w.now)) // the registry knows it by now, and nobody will tell
	w.record(Facts{Announced: []int{n}})                                     // or somebody does, late
	w.pass(timing.Grace).settle()
	w.decides(on("a", ActApply, 0), on("b", ActApply, 0), Action{Kind: ActDeregister, Generation: n})
}

func TestCleanUp_NotWhatANodeServes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	never := w.ready()
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: never}, w.now))
	w.sees(w.drift(0, never)) // by hand
	w.pass(time.Hour)
	if g := w.gen(never); w.e.Cleanable(g, w.now) {
		t.Error("cleanable while a node serves it")
	}
	w.applied()
	if g := w.gen(never); !w.e.Cleanable(g, w.now) {
		t.Error("not cleanable in the end")
	}
}
