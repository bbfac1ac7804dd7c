package rollout

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWeights_OnlyLiveAndOneOther(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.applied()
	three, four := w.ready(), w.ready()
	for name, c := range map[string]struct {
		code    Code
		weights Weights
	}{
		"three with a share":  {InvalidRequest, Weights{2: 80, three: 10, four: 10}},
		"two, none live":      {InvalidRequest, Weights{three: 50, four: 50}},
		"sum 99":              {InvalidRequest, Weights{2: 89, three: 10}},
		"sum 101":             {InvalidRequest, Weights{2: 91, three: 10}},
		"nothing":             {InvalidRequest, Weights{}},
		"negative":            {InvalidRequest, Weights{2: 110, three: -10}},
		"more than all":       {InvalidRequest, Weights{2: 101}},
		"all to a standby":    {Conflict, Weights{1: 100}},
		"all to a ready one":  {Conflict, Weights{2: 0, three: 100}},
		"all to nobody known": {Conflict, Weights{99: 100}},
		"unknown":             {NotFound, Weights{2: 90, 99: 10}},
	} {
		tr, err := w.weights(c.weights)
		if r := refusal(err); r == nil || r.Code != c.code {
			t.Errorf("%s: %v %+v, want %s", name, err, tr.Answer, c.code)
		}
	}
	w = newWorld(t)
	n := w.ready()
	w.refused(Conflict)(w.weights(Weights{n: 100}))
}

func TestWeights_ReadyOneEntersShiftingPaused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	n := w.ready()
	tr := w.changes(w.weights(Weights{1: 95, n: 5, 99: 0, -3: 0}))
	w.route(1, 0, Weights{1: 95, n: 5})
	w.is(n, Shifting)
	p := w.promotion(n, PromotionPaused)
	if s := tr.NewSwitch; s.Kind != SwitchManual || s.From != 1 || s.To != n || s.Promotion != p.ID || p.Revision != s.Revision || p.From != 1 {
		t.Errorf("switch %+v, promotion %+v", s, p)
	}
	if diff := cmp.Diff(Weights{1: 95, n: 5}, tr.NewSwitch.Weights); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
	w.applied()
	w.promotion(n, PromotionPaused) // applied, and waits for a person
	w.unchanged(w.weights(Weights{1: 95, n: 5}))
	w.changes(w.weights(Weights{1: 50, n: 50}))
	w.promote(n)
	w.route(n, 1, Weights{n: 100})
	w.promotion(n, PromotionBaking)
	w.applied()
	w.promotion(n, PromotionSucceeded)
}

func TestWeights_PauseARunningPromotion(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	tr := w.changes(w.weights(Weights{2: 90, 1: 10}))
	emits(t, tr, EventPromotionPaused)
	w.applied()
	w.promotion(2, PromotionPaused)
	w.refused(PromotionInProgress)(w.e.Promote(PromoteCommand{Actor: alice, Generation: w.ready()}, w.now))
	tr = w.promote(2)
	emits(t, tr, EventPromotionResumed)
	w.route(2, 1, Weights{2: 100})
	w.applied()
	w.promotion(2, PromotionSucceeded)
}

func TestWeights_BackToLiveKeepThePromotionPausedUntilPromoted(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.changes(w.weights(Weights{2: 90, 1: 10}))
	w.changes(w.weights(Weights{2: 100}))
	w.applied()
	w.promotion(2, PromotionPaused)
	w.promote(2)
	w.applied()
	w.promotion(2, PromotionSucceeded)
}

func TestWeights_NoSecondCandidateWhileAPromotionRuns(t *testing.T) {
	t.Parallel()
	w := twoLive(t) // 2 is baking
	three := w.ready()
	w.refused(PromotionInProgress)(w.weights(Weights{2: 90, three: 10}))
	w.applied()
	w.changes(w.weights(Weights{2: 90, three: 10}))
	w.refused(PromotionInProgress)(w.weights(Weights{2: 90, w.ready(): 10}))
	w.refused(PromotionInProgress)(w.weights(Weights{2: 90, 1: 10}))
}

func TestWeights_AllBackToLiveByPromoteWithSupersede(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Shifting)
	w.refused(PromotionInProgress)(w.e.Promote(PromoteCommand{Actor: alice, Generation: 1}, w.now))
	w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: 1, Supersede: true}, w.now))
	w.route(1, 0, Weights{1: 100})
	w.is(n, Rejected)
	w.promotion(n, PromotionSuperseded)
}

func TestWeights_StandbyWithAShareStaysStandby(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Standby)
	w.changes(w.weights(Weights{2: 90, n: 10}))
	w.route(2, n, Weights{2: 90, n: 10})
	w.is(n, Standby)
	if w.e.Promotion != nil {
		t.Errorf("promotion %+v", w.e.Promotion)
	}
	w.pass(100 * w.e.Spec.Retention.KeepFor.Std()).settle()
	w.is(n, Standby) // retention does not take what serves
	w.refused(Conflict)(w.e.Retire(RetireCommand{Actor: alice, Generation: n}, w.now))
	three := w.ready()
	w.promote(three)
	w.route(three, 2, Weights{three: 100})
	w.is(n, Standby)
}

func TestWeights_AskLockStagingAndHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	n := w.ready()
	w.changes(w.e.SetLock(LockCommand{Actor: alice}, w.now))
	w.refused(EnvironmentLocked)(w.weights(Weights{1: 90, n: 10}))
	w.changes(w.e.ClearLock(alice, w.now))
	w.health(n, 1)
	w.refused(GenerationNotReady)(w.weights(Weights{1: 90, n: 10}))
	w.health(n, 2)
	w.record(Facts{Unstaged: w.stagings(n)[1:]})
	w.refused(NodeNotStaged)(w.weights(Weights{1: 90, n: 10}))
	w.staged(n)
	w.changes(w.weights(Weights{1: 90, n: 10}))
}

func TestWeights_LessForAnAilingGenerationIsNeverRefused(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Shifting)
	w.changes(w.weights(Weights{1: 50, n: 50}))
	w.health(n, 0)
	w.refused(GenerationNotReady)(w.weights(Weights{1: 40, n: 60}))
	w.changes(w.weights(Weights{1: 90, n: 10}))
	w.changes(w.weights(Weights{1: 100}))
}

func TestWeights_ShareTakenAwayIsNamedWithZero(t *testing.T) {
	t.Parallel()
	w, n := brought(t, Shifting)
	tr := w.changes(w.weights(Weights{1: 100}))
	if diff := cmp.Diff(Weights{1: 100, n: 0}, tr.NewSwitch.Weights); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
	if g := w.gen(n); g.UnweightedRevision != tr.NewSwitch.Revision {
		t.Errorf("weightless since %d", g.UnweightedRevision)
	}
}

// A router that gives all traffic to one generation cannot follow shares: they are refused before anything is moved.
func TestWeights_UndividedRouter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	n := w.ready()
	w.e.Undivided = []string{"dns", Builtin}
	w.refused(Conflict)(w.weights(Weights{1: 90, n: 10}))
	w.e.Undivided = []string{"dns"} // which the environment does not have
	w.changes(w.weights(Weights{1: 90, n: 10}))
}
