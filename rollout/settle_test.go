package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestSettle_StagesThenValidates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(false)
	w.record(Facts{Staged: w.stagings(n)})
	w.is(n, Registered) // the registry does not know it yet
	w.record(Facts{Announced: []int{n}, Unstaged: w.stagings(n)[:1]})
	w.is(n, Registered)
	w.record(Facts{Staged: w.stagings(n)[:1]})
	w.is(n, Validating)
	w.health(n, 1)
	w.is(n, Validating)
	w.health(n, 2)
	w.is(n, Ready)
	g := w.gen(n)
	if !g.Checked.Passed || g.Checked.FinishedAt == nil || g.Checked.Detail != "" {
		t.Errorf("validation %+v", g.Checked)
	}
}

func TestSettle_SeveralMovesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(true)
	tr := w.record(Facts{Announced: []int{n}, Staged: w.stagings(n), Readings: w.readings(n, 2)})
	want := []Move{{n, Registered, Validating}, {n, Validating, Ready}, {n, Ready, Live}}
	if diff := cmp.Diff(want, tr.Moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
	if tr.NewSwitch == nil || tr.NewSwitch.Actor != "viridian" || !slices.Equal(tr.Changed, []int{n}) {
		t.Errorf("switch %+v, changed %v", tr.NewSwitch, tr.Changed)
	}
	w.applied()
	w.promotion(n, PromotionSucceeded)
}

func TestSettle_IsDoneAfterOnce(t *testing.T) {
	t.Parallel()
	for state := range GenerationMoves {
		w, _ := brought(t, state)
		for range 3 {
			w.pass(30 * time.Hour).settle()
			if again := w.e.Settle(w.now); !again.Empty() {
				t.Errorf("%s: settled again: %v, changed %v", state, kinds(again), again.Changed)
			}
		}
	}
}

func TestSettle_StagingDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(false)
	w.pass(5*time.Minute - 1).settle()
	w.is(n, Registered)
	w.pass(1).settle()
	w.is(n, Failed)
	if want := "not staged within 5m: the registry does not know it"; w.gen(n).Reason != want {
		t.Errorf("reason %q, want %q", w.gen(n).Reason, want)
	}
	w = newWorld(t)
	n = w.register(true)
	w.record(Facts{Announced: []int{n}})
	w.pass(5 * time.Minute).settle()
	if want := "not staged within 5m: node a of router builtin has not staged it"; w.gen(n).Reason != want {
		t.Errorf("reason %q, want %q", w.gen(n).Reason, want)
	}
	if w.gen(n).Promote {
		t.Error("a failed generation still wants to be promoted")
	}
}

func TestSettle_ValidationDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(false)
	w.pass(time.Minute)
	w.staged(n)
	w.health(n, 1)
	w.pass(5*time.Minute - 1).settle()
	w.is(n, Validating)
	w.pass(1).settle()
	w.is(n, Failed)
	g := w.gen(n)
	if want := "service web has 1 of 2 instances healthy, and needs 100 %"; g.Checked.Detail != want || g.Checked.Passed {
		t.Errorf("validation %+v, want %q", g.Checked, want)
	}
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now))
	if d := w.gen(n).Checked; d.FinishedAt != nil || d.Detail != "" || !d.Deadline.Equal(w.now.Add(5*time.Minute)) {
		t.Errorf("counters are not fresh: %+v", d)
	}
	w.health(n, 2)
	w.is(n, Ready)
}

func TestSettle_ReadyIsValidatedAgainWhenTooOld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.health(n, 1)
	w.pass(24 * time.Hour).settle()
	w.is(n, Ready)
	w.pass(1).settle()
	w.is(n, Validating)
	w.health(n, 2)
	w.is(n, Ready)
}

func TestSettle_ValidatingAgainNeedsTheRegistry(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Failed) // never announced
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now))
	w.record(Facts{Staged: w.stagings(n), Readings: w.readings(n, 2)})
	w.is(n, Validating)
	w.record(Facts{Announced: []int{n}})
	w.is(n, Ready)
}

func TestSettle_ValidationComparesCapacity(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Validation.MinHealthyPercent = 50 })
	w.live()
	n := w.register(false)
	w.staged(n)
	w.health(n, 1)
	w.is(n, Validating)
	w.health(1, 1)
	w.is(n, Ready)
}

func TestSettle_WithoutNodesNothingIsStagedOrApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(false)
	w.e.Nodes = []Node{}
	w.record(Facts{Announced: []int{n}, Readings: w.readings(n, 2)})
	w.is(n, Registered)
}

func TestSettle_AppliedNeedsThePresentIncarnationAndHash(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Receipt){
		"lower revision":    func(r *Receipt) { r.Revision-- },
		"higher revision":   func(r *Receipt) { r.Revision++ },
		"other hash":        func(r *Receipt) { r.Hash = "x" },
		"other incarnation": func(r *Receipt) { r.Incarnation = "b0" },
		"other node":        func(r *Receipt) { r.Node = "c" },
	} {
		w := twoLive(t)
		wrong := w.receiptOf(w.e.Nodes[1])
		change(&wrong)
		w.record(Facts{Receipts: []Receipt{w.receiptOf(w.e.Nodes[0]), wrong}})
		if w.e.Switch.Status != Committed {
			t.Errorf("%s: %s", name, w.e.Switch.Status)
		}
		w.applied()
		if wrong.Revision > w.e.Revision {
			continue // a fenced node does not come back from there
		}
		if w.e.Switch.Status != Applied || w.e.Switch.AppliedAt == nil {
			t.Errorf("%s: %s in the end", name, w.e.Switch.Status)
		}
	}
}

func TestSettle_ASilentNodeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.record(Facts{Receipts: []Receipt{w.receiptOf(w.e.Nodes[0])}})
	w.pass(timing.Silence)
	w.e.Nodes[1].SeenAt = w.now.Add(-timing.Silence)
	w.settle()
	if w.e.Switch.Status != Committed {
		t.Fatal("not waited for a node that is not silent yet")
	}
	w.now = w.now.Add(1)
	w.e.Nodes[0].SeenAt = w.now
	tr := w.settle()
	if s := w.e.Switch; s.Status != Applied || !s.Degraded {
		t.Fatalf("switch %+v", s)
	}
	if data := emits(t, tr, EventSwitchApplied).Data; data["degraded"] != true {
		t.Errorf("event %v", data)
	}
}

func TestSettle_DrainedWhenNothingIsOpenOrTimeIsUp(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	busy := w.receiptOf(w.e.Nodes[1])
	busy.InFlight = map[int]int{1: 3}
	w.record(Facts{Receipts: []Receipt{w.receiptOf(w.e.Nodes[0]), busy}})
	if s := w.e.Switch; s.Status != Applied || s.DrainedAt != nil {
		t.Fatalf("switch %+v", s)
	}
	busy.InFlight = map[int]int{1: 0}
	tr := w.record(Facts{Receipts: []Receipt{busy}})
	emits(t, tr, EventSwitchDrained)
	if w.e.Switch.DrainedAt == nil {
		t.Fatal("not drained")
	}

	w = twoLive(t)
	busy.InFlight = map[int]int{1: 3}
	w.record(Facts{Receipts: []Receipt{w.receiptOf(w.e.Nodes[0]), busy}})
	w.pass(w.e.Spec.Retention.Drain.Std() - 1)
	w.e.Nodes[1].Incarnation = "b2" // what it has open now is not known
	w.settle()
	w.e.Nodes = []Node{}
	w.settle()
	if w.e.Switch.DrainedAt != nil {
		t.Fatal("drained without a word of the node")
	}
	w.now = w.now.Add(1)
	w.settle()
	if w.e.Switch.DrainedAt == nil {
		t.Fatal("the cut-off has passed")
	}
}

func TestRecord_TakesTheLastWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.register(false)
	s := w.stagings(n)[0]
	w.record(Facts{Staged: []Staging{s, s}, Unstaged: []Staging{s}})
	w.record(Facts{Staged: []Staging{s}})
	if len(w.e.Stagings) != 1 {
		t.Errorf("stagings %+v", w.e.Stagings)
	}
	r := Reading{Generation: n, Service: "web", Healthy: 1, Total: 2}
	w.record(Facts{Readings: []Reading{r}})
	r.Healthy = 2
	w.record(Facts{Readings: []Reading{r}})
	if len(w.e.Readings) != 1 || w.e.Readings[0].Healthy != 2 || !w.e.Readings[0].At.Equal(w.now) {
		t.Errorf("readings %+v", w.e.Readings)
	}
	w.applied()
	w.applied()
	if len(w.e.Receipts) != 2 || !w.e.Receipts[0].At.Equal(w.now) {
		t.Errorf("receipts %+v", w.e.Receipts)
	}
	tr := w.record(Facts{Withdrawn: []int{n, 99}})
	if len(tr.Changed) != 0 {
		t.Errorf("changed %v although it was not announced", tr.Changed)
	}
}

func TestRecord_ChangesNeitherTheEnvironmentNorTheFactsItIsGiven(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	environment := picture(w.e)
	facts := Facts{
		Receipts:  []Receipt{w.receiptOf(w.e.Nodes[0])},
		Readings:  []Reading{{Generation: 2, Service: "web", Healthy: 1, Total: 2}},
		Staged:    w.stagings(2)[:1],
		Unstaged:  w.stagings(1)[:1],
		Withdrawn: []int{1},
	}
	given := picture(facts)
	w.e.Record(facts, w.now.Add(time.Hour))
	w.e.Record(Facts{Forgotten: w.e.Nodes}, w.now.Add(time.Hour))
	if diff := cmp.Diff(environment, w.e); diff != "" {
		t.Errorf("the environment changed:\n%s", diff)
	}
	if diff := cmp.Diff(given, facts); diff != "" {
		t.Errorf("the facts changed:\n%s", diff)
	}
}

func TestValidate_CountsOnlyReadingsTakenSince(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.changes(w.rollback(RollbackCommand{}))
	w.is(2, Rejected)
	w.now = w.now.Add(time.Second) // the readings of generation 2 are still fresh by age
	if _, fresh := w.e.Reading(2, w.e.Spec.Services[0].Name, w.now); !fresh {
		t.Fatal("the reading is not fresh")
	}
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: 2}, w.now))
	if settled := w.e.Settle(w.now); len(settled.Moves) != 0 {
		t.Fatalf("moved on readings from before the validation: %+v", settled.Moves)
	}
	w.health(2, 2)
	w.is(2, Ready)
}
