package rollout

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPromote_FirstHasNothingToGoBackTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.route(0, 0, nil)
	n := w.ready()
	tr := w.promote(n)
	w.route(n, 0, Weights{n: 100})
	if tr.Answer.Revision != 1 || tr.NewSwitch.Kind != SwitchPromote || tr.NewSwitch.From != 0 || len(tr.Answer.Warnings) != 0 {
		t.Errorf("answer %+v, switch %+v", tr.Answer, tr.NewSwitch)
	}
	w.promotion(n, PromotionBaking)
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{From: n}))
}

func TestPromote_FormerLiveBecomesStandbyAndPrevious(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.live()
	two := w.ready()
	tr := w.promote(two)
	w.route(two, one, Weights{two: 100})
	w.is(one, Standby)
	if diff := cmp.Diff([]Move{{one, Live, Standby}, {two, Ready, Live}}, tr.Moves); diff != "" {
		t.Errorf("the old one moves first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Weights{one: 0, two: 100}, tr.NewSwitch.Weights); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
	if w.gen(one).UnweightedRevision != 2 || w.gen(two).UnweightedRevision != 0 {
		t.Errorf("unweighted since %d and %d", w.gen(one).UnweightedRevision, w.gen(two).UnweightedRevision)
	}
	three := w.ready()
	w.applied()
	tr = w.promote(three)
	w.route(three, two, Weights{three: 100})
	if len(tr.Answer.Warnings) != 1 || len(tr.NewSwitch.Warnings) != 1 {
		t.Errorf("no warning that generation %d is no way back any more: %v", one, tr.Answer.Warnings)
	}
}

func TestPromote_SucceedsWhenApplied(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.promote(n)
	w.record(Facts{Receipts: []Receipt{w.receiptOf(w.e.Nodes[0])}})
	w.promotion(n, PromotionBaking)
	if w.gen(n).Succeeded {
		t.Fatal("succeeded before every node was seen")
	}
	tr := w.applied()
	emits(t, tr, EventSwitchApplied)
	emits(t, tr, EventPromotionEnded)
	w.promotion(n, PromotionSucceeded)
	if !w.gen(n).Succeeded || w.e.Switch.Status != Applied || w.e.Switch.Degraded {
		t.Errorf("switch %+v", w.e.Switch)
	}
}

func TestPromote_OfTheLiveOneChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.live()
	w.changes(w.e.SetLock(LockCommand{Actor: alice}, w.now))
	tr := w.unchanged(w.e.Promote(PromoteCommand{Actor: alice, Generation: n}, w.now))
	if tr.Answer.Revision != 1 || tr.Answer.Generation != n {
		t.Errorf("answer %+v", tr.Answer)
	}
}

func TestPromote_OfAStandbyTellsToRollBack(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Standby)
	r := w.refused(Conflict)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n}, w.now))
	if want := `roll back to it: POST /v1/environments/shop/rollback with {"to": 1}`; r.Fixes[0] != want {
		t.Errorf("fix %q, want %q", r.Fixes[0], want)
	}
}

func TestPromote_DuringAPromotionNeedsSupersede(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	two, three := w.ready(), w.ready()
	w.promote(two)
	w.refused(PromotionInProgress)(w.e.Promote(PromoteCommand{Actor: alice, Generation: three}, w.now))
	w.refused(PromotionInProgress)(w.e.Promote(PromoteCommand{Actor: alice, Generation: three, Force: true}, w.now))
}

func TestPromote_SupersedeKeepsPreviousThatSucceeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.live()
	two, three, four := w.ready(), w.ready(), w.ready()
	w.promote(two)
	tr := w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: three, Supersede: true}, w.now))
	w.route(three, one, Weights{three: 100})
	w.is(two, Rejected)
	w.promotion(two, PromotionSuperseded)
	w.promotion(three, PromotionBaking)
	if len(tr.Answer.Warnings) != 0 {
		t.Errorf("previous stays, and yet: %v", tr.Answer.Warnings)
	}
	if s := w.switches[2]; s.Status != SwitchSuperseded {
		t.Errorf("the switch before is %s", s.Status)
	}
	w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: four, Supersede: true}, w.now))
	w.route(four, one, Weights{four: 100})
	w.applied()
	w.changes(w.rollback(RollbackCommand{From: four}))
	w.route(one, 0, Weights{one: 100})
}

func TestPromote_SupersedeOfTheFirstLeavesNoPrevious(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.ready(), w.ready()
	w.promote(one)
	w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: two, Supersede: true}, w.now))
	w.route(two, 0, Weights{two: 100})
	w.is(one, Rejected)
}

func TestPromote_SupersedeRejectsAShiftingCandidate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.live()
	two, three := w.ready(), w.ready()
	w.changes(w.weights(Weights{one: 80, two: 20}))
	w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: three, Supersede: true}, w.now))
	w.route(three, one, Weights{three: 100})
	w.is(two, Rejected)
	w.promotion(two, PromotionSuperseded)
	if w.switches[3].Weights[two] != 0 || w.gen(two).UnweightedRevision != 3 {
		t.Errorf("the candidate's share is not taken back in the same switch: %v", w.switches[3].Weights)
	}
}

func TestPromote_RefusesLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.changes(w.e.SetLock(LockCommand{Actor: alice, Reason: "sale"}, w.now))
	w.refused(EnvironmentLocked)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n}, w.now))
	w.changes(w.e.ClearLock(alice, w.now))
	w.unchanged(w.e.ClearLock(alice, w.now))
	w.promote(n)
}

func TestPromote_RefusesOldValidation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.pass(24 * time.Hour)
	checkPromotable(w, n, "")
	w.pass(time.Nanosecond)
	checkPromotable(w, n, ValidationExpired)
}

// checkPromotable wants a promote refused with the code, or accepted if it is empty; it does not promote.
func checkPromotable(w *world, n int, code Code) {
	w.Helper()
	tr, err := w.e.Promote(PromoteCommand{Actor: alice, Generation: n}, w.now)
	if code != "" {
		w.refused(code)(tr, err)
	} else if err != nil {
		w.Fatalf("refused: %v", err)
	}
}

func TestPromote_WantsEveryRequiredNodeStaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.e.Nodes = append(w.e.Nodes, w.node("c"))
	checkPromotable(w, n, NodeNotStaged)
	w.e.Nodes[2].SeenAt = w.now.Add(-timing.Silence - 1) // silent: not required
	checkPromotable(w, n, "")
	w.e.Nodes[0].Incarnation = "a2" // restarted: what the run before had staged does not count
	checkPromotable(w, n, NodeNotStaged)
	w.pass(0).e.Nodes = nil
	checkPromotable(w, n, NodeNotStaged)
}

func TestPromote_WantsFreshHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Validation.MinHealthyPercent = 50 })
	n := w.ready()
	checkPromotable(w, n, "")
	w.health(n, 1)
	checkPromotable(w, n, "")
	w.health(n, 0)
	checkPromotable(w, n, GenerationNotReady)
	w.record(Facts{Readings: []Reading{{Generation: n, Service: "web"}}}) // nobody there to ask: not the same as healthy
	checkPromotable(w, n, GenerationNotReady)
	w.record(Facts{Readings: []Reading{{Generation: n, Service: "web", Healthy: 1, Total: 1}}}) // half of the group
	checkPromotable(w, n, "")
	w.now = w.now.Add(timing.Freshness)
	checkPromotable(w, n, "")
	w.now = w.now.Add(1)
	checkPromotable(w.heard(), n, GenerationNotReady)
}

func TestPromote_ComparesCapacityWithLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Validation.MinHealthyPercent, s.Validation.MinCapacityPercent = 50, 80 })
	one := w.live()
	two := w.ready()
	checkPromotable(w, two, "")
	w.health(two, 1)
	checkPromotable(w, two, CapacityTooLow)
	w.health(one, 1)
	checkPromotable(w, two, "")
	w.pass(timing.Freshness + 1)
	w.e.Readings[0].At = w.now.Add(-timing.Freshness - 1) // live's health is unknown: all of it counts
	if w.e.Readings[0].Generation != one {
		t.Fatal("not the reading of the live one")
	}
	checkPromotable(w, two, CapacityTooLow)
}

func TestPromote_FirstIsNotComparedWithLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Validation.MinHealthyPercent, s.Validation.MinCapacityPercent = 50, 1000 })
	n := w.ready()
	w.health(n, 1)
	w.promote(n)
}

func TestPromote_ForceSkipsCapacityAndValidationAge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Validation.MinHealthyPercent = 50 })
	w.live()
	two := w.ready()
	w.pass(25 * time.Hour)
	w.health(two, 1) // settles: validation begins anew, and cannot end for want of capacity
	w.is(two, Validating)
	w.refused(GenerationNotReady)(w.e.Promote(PromoteCommand{Actor: alice, Generation: two, Force: true}, w.now))
	w.health(two, 2)
	w.is(two, Ready)
	w.health(two, 1)
	w.pass(25 * time.Hour)
	checkPromotable(w, two, ValidationExpired)
	w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: two, Force: true}, w.now))
}

func TestPromote_ForceNeverSkipsLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.changes(w.e.SetLock(LockCommand{Actor: alice}, w.now))
	w.refused(EnvironmentLocked)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n, Force: true}, w.now))
}

func TestPromote_ForceNeverSkipsStaging(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.record(Facts{Unstaged: w.stagings(n)[:1]})
	w.refused(NodeNotStaged)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n, Force: true}, w.now))
}

func TestPromote_ForceNeverSkipsHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.health(n, 1)
	w.refused(GenerationNotReady)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n, Force: true}, w.now))
}

// TestPromote_LooksInThisOrder takes one obstacle after the other away.
func TestPromote_LooksInThisOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Validation.MinHealthyPercent = 50 })
	w.live()
	two, three := w.ready(), w.ready()
	w.promote(two)
	w.changes(w.e.SetLock(LockCommand{Actor: alice}, w.now))
	w.pass(25 * time.Hour)
	w.e.Stagings = nil
	w.health(three, 0)
	g := w.gen(three)
	g.State, g.Checked.Passed = Ready, true // as if nobody had settled meanwhile
	w.e.Generations[2] = g
	wrong := int64(77)
	cmd := PromoteCommand{Actor: alice, Generation: three, ExpectedRevision: &wrong}
	for _, step := range []struct {
		code Code
		next func()
	}{
		{RevisionMismatch, func() { cmd.ExpectedRevision = &w.e.Revision }},
		{EnvironmentLocked, func() { w.e.Lock = nil }},
		{PromotionInProgress, func() { cmd.Supersede = true }},
		{ValidationExpired, func() { w.e.Generations[2].Checked.FinishedAt = &w.now }},
		{NodeNotStaged, func() { w.e.Stagings = w.stagings(three) }},
		{GenerationNotReady, func() { w.e.Readings = w.stamped(w.readings(three, 1)) }},
		{CapacityTooLow, func() { cmd.Force = true }},
	} {
		r := w.refused(step.code)(w.e.Promote(cmd, w.now))
		plan, err := w.e.Plan(cmd, w.now)
		if err != nil || plan.Blocked[0].Code != r.Code {
			t.Errorf("the plan says %v, %v", plan.Blocked, err)
		}
		step.next()
	}
	w.changes(w.e.Promote(cmd, w.now))
}

func TestPromote_ExpectedRevisionIsLookedAtFirst(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Rejected)
	wrong := w.e.Revision - 1
	r := w.refused(RevisionMismatch)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n, ExpectedRevision: &wrong}, w.now))
	if r.Revision != w.e.Revision {
		t.Errorf("the refusal carries revision %d", r.Revision)
	}
	w.refused(RevisionMismatch)(w.e.Promote(PromoteCommand{Actor: alice, Generation: w.e.Live, ExpectedRevision: &wrong}, w.now))
	w.refused(RevisionMismatch)(w.rollback(RollbackCommand{ExpectedRevision: &wrong}))
	w.refused(RevisionMismatch)(w.e.SetWeights(WeightsCommand{Actor: alice, Weights: Weights{99: 1}, ExpectedRevision: &wrong}, w.now))
	w.changes(w.e.Delete(DeleteCommand{Actor: alice, Force: true}, w.now))
	w.refused(RevisionMismatch)(w.rollback(RollbackCommand{ExpectedRevision: &wrong}))
}

func TestPromote_RejectedOneIsValidatedFirst(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Rejected)
	r := w.refused(GenerationNotReady)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n, Force: true}, w.now))
	if want := "validate it again: POST /v1/environments/shop/generations/2/validate"; r.Fixes[0] != want {
		t.Errorf("fix %q, want %q", r.Fixes[0], want)
	}
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now))
	w.settle()
	w.is(n, Ready)
	w.promote(n)
	w.route(n, 1, Weights{n: 100})
}

func TestPromote_RefusesAGenerationWithoutAGroupForANewService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	spec := w.e.Spec
	api := defaultService()
	api.Name = "api"
	spec.Services = append([]Service{api}, spec.Services...)
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	w.staged(n)
	w.is(n, Validating)
	w.pass(spec.Validation.Timeout.Std()).settle()
	w.is(n, Failed)
}
