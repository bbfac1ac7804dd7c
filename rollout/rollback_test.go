package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// twoLive is a world where generation 2 was promoted over 1 and is baking.
func twoLive(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.live()
	w.promote(w.ready())
	return w.pass(time.Second)
}

func TestRollback_GoesToPreviousAndRejectsWhatItLeaves(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	tr := w.changes(w.rollback(RollbackCommand{Reason: "errors"}))
	w.route(1, 0, Weights{1: 100})
	w.is(1, Live)
	w.is(2, Rejected)
	w.promotion(2, PromotionRolledBack)
	want := Answer{Revision: 3, Changed: true, Generation: 1}
	if diff := cmp.Diff(want, tr.Answer); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if s := tr.NewSwitch; s.Kind != SwitchRollback || s.From != 2 || s.To != 1 || s.Reason != "errors" || s.Promotion == 0 {
		t.Errorf("switch %+v", s)
	}
	if diff := cmp.Diff([]Move{{2, Live, Rejected}, {1, Standby, Live}}, tr.Moves); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
}

func TestRollback_AfterThePromotionSucceeded(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	w.changes(w.rollback(RollbackCommand{From: 2}))
	w.route(1, 0, Weights{1: 100})
	w.promotion(2, PromotionSucceeded)
}

func TestRollback_WithNothingToGoBackTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{}))
	w.live()
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{}))
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{From: 1, Force: true}))
	w.route(1, 0, Weights{1: 100})
}

// TestRollback_NamesTheStandbyThatIsLeft: after a rollback there is no previous generation, but there may be a standby.
func TestRollback_NamesTheStandbyThatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.e.Spec.Retention.KeepGenerations = 3
	for range 3 {
		w.live()
		w.pass(time.Second)
	}
	w.changes(w.rollback(RollbackCommand{}))
	w.is(1, Standby)
	r := w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{}))
	if len(r.Fixes) != 1 || r.Fixes[0] != `roll back to standby generation 1: POST /v1/environments/shop/rollback with {"to": 1}` {
		t.Errorf("fixes %q", r.Fixes)
	}
	if r := w.e.Readiness(w.now); r.Ready || len(r.Reasons) != 2 || r.Reasons[1] != "generation 1 is standby, and a rollback may name it" {
		t.Errorf("readiness %+v", r)
	}
	w.changes(w.rollback(RollbackCommand{To: 1}))
	w.is(1, Live)
}

func TestRollback_TwoAtOnceMakeOneSwitch(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	first := w.changes(w.rollback(RollbackCommand{From: 2}))
	second := w.unchanged(w.rollback(RollbackCommand{From: 2}))
	if second.Answer.Revision != first.Answer.Revision || second.Answer.Generation != 1 {
		t.Errorf("second answer %+v, want the switch %d", second.Answer, first.Answer.Revision)
	}
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{}))
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{From: 1}))
	w.promote(w.ready())
	later := w.unchanged(w.rollback(RollbackCommand{From: 2}))
	if later.Answer.Revision != first.Answer.Revision {
		t.Errorf("later answer %+v, want the switch %d", later.Answer, first.Answer.Revision)
	}
}

func TestRollback_TwoAtOnceWhileShifting(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Shifting)
	first := w.changes(w.rollback(RollbackCommand{From: n}))
	second := w.unchanged(w.rollback(RollbackCommand{From: n}))
	if second.Answer.Revision != first.Answer.Revision {
		t.Errorf("second answer %+v, want the switch %d", second.Answer, first.Answer.Revision)
	}
}

func TestRollback_FromARetiredGenerationAnswersItsSwitch(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.changes(w.rollback(RollbackCommand{From: 2}))
	w.applied()
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: 2}, w.now))
	w.pass(time.Hour)
	w.cleaned(2)
	w.is(2, Retired)
	if tr := w.unchanged(w.rollback(RollbackCommand{From: 2})); tr.Answer.Revision != 3 {
		t.Errorf("answer %+v", tr.Answer)
	}
}

func TestRollback_FromSomethingThatNeverServed(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	n := w.ready()
	w.refused(Conflict)(w.rollback(RollbackCommand{From: n}))
	w.refused(NotFound)(w.rollback(RollbackCommand{From: 99}))
	w.refused(InvalidRequest)(w.rollback(RollbackCommand{From: 2, To: 2}))
}

func TestRollback_AnotherNeedsAnExplicitTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Retention.KeepGenerations = 5 })
	w.live()
	w.live()
	w.live()
	w.route(3, 2, Weights{3: 100})
	w.changes(w.rollback(RollbackCommand{}))
	w.route(2, 0, Weights{2: 100})
	w.is(1, Standby)
	w.refused(RollbackUnavailable)(w.rollback(RollbackCommand{From: 2}))
	w.changes(w.rollback(RollbackCommand{From: 2, To: 1}))
	w.route(1, 0, Weights{1: 100})
	w.is(2, Rejected)
	w.is(3, Rejected)
}

func TestRollback_ToAnOlderStandbyClearsPrevious(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Retention.KeepGenerations = 5 })
	w.live()
	w.live()
	w.live()
	w.changes(w.rollback(RollbackCommand{To: 1}))
	w.route(1, 0, Weights{1: 100})
	w.is(3, Rejected)
	w.is(2, Standby) // stays where it is, and is a target when it is named
	w.promote(w.ready())
	w.route(4, 1, Weights{4: 100})
}

func TestRollback_HoldsAutomation(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	tr := w.changes(w.rollback(RollbackCommand{Reason: "errors"}))
	emits(t, tr, EventAutomationHeld)
	if w.e.Hold == nil || w.e.Hold.Reason != "errors" || !w.e.Hold.Since.Equal(w.now) {
		t.Errorf("hold %+v", w.e.Hold)
	}
	w.promote(w.ready()) // by hand: allowed
	w.changes(w.e.ReleaseAutomation(alice, w.now))
	w.unchanged(w.e.ReleaseAutomation(alice, w.now))
}

func TestRollback_WhileShiftingMeansAbort(t *testing.T) {
	t.Parallel()
	for _, from := range []int{0, 2} {
		w, n := brought(t, Shifting)
		tr := w.changes(w.rollback(RollbackCommand{From: from}))
		w.route(1, 0, Weights{1: 100})
		w.is(n, Rejected)
		w.promotion(n, PromotionAborted)
		if s := tr.NewSwitch; s.Kind != SwitchAbort || s.From != n || s.To != 1 || w.e.Hold == nil {
			t.Errorf("switch %+v, hold %v", s, w.e.Hold)
		}
	}
}

func TestRollback_WhileShiftingLeavesLiveWhenItIsNamed(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	n := w.ready()
	w.changes(w.weights(Weights{2: 90, n: 10}))
	w.changes(w.rollback(RollbackCommand{From: 2}))
	w.route(1, 0, Weights{1: 100})
	w.is(2, Rejected)
	w.is(n, Rejected)
	w.promotion(n, PromotionAborted)
}

func TestRollback_OfACandidateWhoseShareIsGone(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Shifting)
	w.changes(w.weights(Weights{1: 100}))
	w.is(n, Shifting)
	w.changes(w.rollback(RollbackCommand{From: n}))
	w.is(n, Rejected)
	w.promotion(n, PromotionAborted)
}

func TestRollback_IgnoresLock(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.changes(w.e.SetLock(LockCommand{Actor: alice}, w.now))
	w.changes(w.rollback(RollbackCommand{}))
	w, _ = brought(t, Shifting)
	w.changes(w.e.SetLock(LockCommand{Actor: alice}, w.now))
	w.changes(w.rollback(RollbackCommand{}))
	w.route(1, 0, Weights{1: 100})
}

func TestRollback_AsksNothingOfTheSideItLeaves(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.health(2, 0)
	w.e.Nodes[0].SeenAt = w.now.Add(-time.Hour)
	w.e.Nodes[1].Incarnation = "b2"
	w.e.Stagings = nil
	w.changes(w.rollback(RollbackCommand{}))
	w.route(1, 0, Weights{1: 100})
}

func TestRollback_ProceedsWithoutAnyNode(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.e.Nodes, w.e.Receipts, w.e.Stagings = []Node{}, nil, nil
	w.changes(w.rollback(RollbackCommand{}))
	w.settle()
	if w.e.Switch.Status != Committed {
		t.Errorf("applied by nobody")
	}
}

func TestRollback_RefusesATargetKnownToBeDead(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.health(1, 0)
	w.refused(RollbackTargetUnhealthy)(w.rollback(RollbackCommand{}))
	w.refused(RollbackTargetUnhealthy)(w.rollback(RollbackCommand{Actor: System, Force: true}))
	tr := w.changes(w.rollback(RollbackCommand{Force: true}))
	if len(tr.Answer.Warnings) != 1 {
		t.Errorf("warnings %v", tr.Answer.Warnings)
	}
	w.route(1, 0, Weights{1: 100})
}

func TestRollback_OneDeadServiceOfSeveralIsEnoughToRefuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) {
		api := defaultService()
		api.Name = "api"
		s.Services = append(s.Services, api)
	})
	w.live()
	w.live()
	w.record(Facts{Readings: []Reading{{Generation: 1, Service: "api", Unhealthy: 2, Total: 2}}})
	w.refused(RollbackTargetUnhealthy)(w.rollback(RollbackCommand{}))
}

func TestRollback_WarnsOfWhatIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, reading := range map[string]*Reading{
		"never read":      nil,
		"one answers":     {Healthy: 1, Unhealthy: 1, Total: 2},
		"not asked often": {Unhealthy: 1, Total: 2},
		"nobody to ask":   {},
	} {
		w := twoLive(t)
		w.e.Readings = nil
		if reading != nil {
			r := *reading
			r.Generation, r.Service = 1, "web"
			w.record(Facts{Readings: []Reading{r}})
		}
		tr := w.changes(w.rollback(RollbackCommand{Actor: System}))
		if len(tr.Answer.Warnings) != 1 || !slices.Equal(tr.Answer.Warnings, tr.NewSwitch.Warnings) {
			t.Errorf("%s: warnings %v", name, tr.Answer.Warnings)
		}
	}
	w := twoLive(t)
	w.health(1, 0)
	w.now = w.now.Add(timing.Freshness + 1) // what was known of the target is too old to refuse for
	w.changes(w.rollback(RollbackCommand{}))
}

func TestRollback_SupersedesAPromoteThatIsNotApplied(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.changes(w.rollback(RollbackCommand{}))
	if s := w.switches[2]; s.Status != SwitchSuperseded || s.AppliedAt != nil {
		t.Errorf("the promote's switch is %+v", s)
	}
	w.applied()
	if s := w.switches[3]; s.Status != Applied {
		t.Errorf("the rollback's switch is %s", s.Status)
	}
	w.promotion(2, PromotionRolledBack)
}

func TestRollback_ToAStandbyWithAShareByHand(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Standby)
	w.changes(w.weights(Weights{2: 70, n: 30}))
	w.changes(w.rollback(RollbackCommand{From: 2}))
	w.route(n, 0, Weights{n: 100})
	if g := w.gen(n); g.UnweightedRevision != 0 {
		t.Errorf("weightless since %d, and it never lost its share", g.UnweightedRevision)
	}
	w.is(2, Rejected)
}

func TestRollback_FromAStandbyWithAShareGivesItBack(t *testing.T) {
	t.Parallel()
	for _, cmd := range []RollbackCommand{{From: 1}, {To: 2}, {From: 1, To: 2}} {
		w := twoLive(t) // 2 is baking
		w.changes(w.weights(Weights{2: 70, 1: 30}))
		w.promotion(2, PromotionPaused)
		tr := w.changes(w.rollback(cmd))
		w.route(2, 1, Weights{2: 100})
		w.is(1, Standby)
		if s := tr.NewSwitch; s.Kind != SwitchRollback || s.From != 1 || s.To != 2 {
			t.Errorf("switch %+v", s)
		}
		w.promotion(2, PromotionPaused)
		w.applied()
		w.promotion(2, PromotionPaused)
		w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: 2}, w.now))
		w.applied()
		w.promotion(2, PromotionSucceeded)
		w.route(2, 1, Weights{2: 100})
	}
}

func TestRollback_WithAShareByHandGoesToPrevious(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Retention.KeepGenerations = 5 })
	w.live()
	w.live()
	w.promote(w.ready())
	w.changes(w.weights(Weights{3: 60, 1: 40}))
	w.changes(w.rollback(RollbackCommand{}))
	w.route(2, 0, Weights{2: 100})
	w.is(1, Standby)
	w.is(3, Rejected)
	w.promotion(3, PromotionRolledBack)
}
