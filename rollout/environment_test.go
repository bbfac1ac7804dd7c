package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestCreate_BeforeTheFirstPromote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.route(0, 0, nil)
	if w.e.Revision != 0 || w.e.SpecVersion != 1 || w.e.Switch != nil {
		t.Errorf("environment %+v", w.e)
	}
	w.refused(Conflict)(w.e.Create(PutCommand{Actor: alice, Name: "shop", Spec: w.e.Spec}, w.now))
	one := int64(1)
	_, err := Environment{}.Create(PutCommand{Actor: alice, Name: "shop", IfMatch: &one}, w.now)
	if r := refusal(err); r == nil || r.Code != PreconditionFailed {
		t.Errorf("created with If-Match: %v", err)
	}
}

func TestReplace_IfMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	spec := w.e.Spec
	w.unchanged(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	spec.Description = "the shop"
	wrong, right := int64(2), int64(1)
	w.refused(PreconditionFailed)(w.e.Replace(PutCommand{Actor: alice, Spec: spec, IfMatch: &wrong}, w.now))
	tr := w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec, IfMatch: &right}, w.now))
	if w.e.SpecVersion != 2 || !tr.SpecChanged || w.e.Spec.Description != "the shop" {
		t.Errorf("spec version %d", w.e.SpecVersion)
	}
	emits(t, tr, EventEnvironmentUpdated)
}

func TestReplace_WiringStaysDuringAPromotion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Spec)
		wiring bool
	}{
		"hosts":      {func(s *Spec) { s.Services[0].Hosts = []string{"shop.example"} }, true},
		"services":   {func(s *Spec) { s.Services = append(s.Services, s.Services[0]); s.Services[1].Name = "api" }, true},
		"routers":    {func(s *Spec) { s.Routers = []string{"builtin", "edge"} }, true},
		"registry":   {func(s *Spec) { s.Registry = "consul" }, true},
		"retention":  {func(s *Spec) { s.Retention.KeepGenerations = 3 }, false},
		"validation": {func(s *Spec) { s.Validation.MinHealthyPercent = 50 }, false},
	} {
		w := twoLive(t)
		spec := w.e.Spec
		spec.Services = slices.Clone(spec.Services)
		c.change(&spec)
		tr, err := w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now)
		if c.wiring {
			w.refused(PromotionInProgress)(tr, err)
			w.applied()
			tr, err = w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now)
		}
		if w.changes(tr, err); w.e.SpecVersion != 2 {
			t.Errorf("%s: version %d", name, w.e.SpecVersion)
		}
	}
}

func TestReplace_ValidatesReadyOnesAgainWhenThePlanChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	spec := w.e.Spec
	spec.Retention.KeepGenerations = 3
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	w.is(n, Ready)
	spec.Validation.MinHealthyPercent = 50
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	w.is(n, Validating)
	w.settle()
	w.is(n, Validating) // the nodes know it by the spec before
	w.staged(n)
	w.is(n, Ready)
}

func TestDelete_RefusedWhileAnythingServes(t *testing.T) {
	t.Parallel()
	for _, state := range []GenerationState{Live, Standby, Shifting} {
		w, _ := brought(t, state)
		w.refused(Conflict)(w.e.Delete(DeleteCommand{Actor: alice}, w.now))
	}
}

func TestDelete_OfWhatNeverServedNeedsNoForce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	tr := w.changes(w.e.Delete(DeleteCommand{Actor: alice}, w.now))
	if tr.NewSwitch != nil || tr.Answer.Revision != 0 {
		t.Errorf("a switch although nothing served: %+v", tr.Answer)
	}
	w.is(n, Retiring)
	w.pass(timing.Grace)
	w.cleaned(n)
	if w.e.DeletedAt == nil {
		t.Error("not deleted")
	}
	w = newWorld(t)
	w.changes(w.e.Delete(DeleteCommand{Actor: alice}, w.now))
	if w.e.DeletedAt == nil {
		t.Error("not deleted at once although nothing is left")
	}
}

func TestDelete_ForceTakesTheTrafficAwayInOneSwitch(t *testing.T) {
	t.Parallel()
	for _, state := range []GenerationState{Live, Standby, Shifting, Rejected} {
		w, _ := brought(t, state)
		if state == Live { // with a promotion that runs
			w.promote(w.ready())
		}
		revision := w.e.Revision
		tr := w.changes(w.e.Delete(DeleteCommand{Actor: alice, Force: true}, w.now))
		w.route(0, 0, nil)
		if s := tr.NewSwitch; s == nil || s.Kind != SwitchManual || s.To != 0 || len(s.Weights) != 0 || tr.Answer.Revision != revision+1 {
			t.Errorf("%s: switch %+v, answer %+v", state, s, tr.Answer)
		}
		for _, g := range w.e.Generations {
			w.is(g.Number, Retiring)
		}
		if w.e.Promotion != nil || w.e.DeletingAt == nil || w.e.DeletedAt != nil {
			t.Errorf("%s: promotion %v, deleting %v, deleted %v", state, w.e.Promotion, w.e.DeletingAt, w.e.DeletedAt)
		}
	}
}

func TestDelete_RecreatedContinuesAboveEveryFence(t *testing.T) {
	t.Parallel()
	w := twoLive(t)
	w.changes(w.rollback(RollbackCommand{}))
	w.changes(w.e.Delete(DeleteCommand{Actor: alice, Force: true}, w.now))
	w.applied()
	w.pass(time.Minute)
	for _, n := range []int{1, 2} {
		w.cleaned(n)
		w.is(n, Retired)
	}
	if w.e.DeletedAt == nil || w.e.Revision != 4 {
		t.Fatalf("deleted %v at revision %d", w.e.DeletedAt, w.e.Revision)
	}
	if got := Decide(w.e, w.now); len(got) != 2 || got[0].Kind != ActForget || got[1].Node != "b" {
		t.Errorf("actions %+v", got)
	}
	w.record(Facts{Forgotten: w.e.Nodes})
	if got := Decide(w.e, w.now); len(got) != 0 {
		t.Errorf("actions %+v", got)
	}
	w.changes(w.e.Create(PutCommand{Actor: alice, Name: "shop", Spec: w.e.Spec}, w.now))
	w.route(0, 0, nil)
	if w.e.Revision != 4 || w.e.SpecVersion != 2 || w.e.Lock != nil || w.e.Hold != nil || w.e.DeletedAt != nil || w.e.Switch != nil {
		t.Errorf("recreated %+v", w.e)
	}
	n := w.ready()
	if n != 3 {
		t.Errorf("number %d", n)
	}
	if tr := w.promote(n); tr.Answer.Revision != 5 {
		t.Errorf("revision %d", tr.Answer.Revision)
	}
	if p := w.promotion(n, PromotionBaking); p.ID != 3 {
		t.Errorf("promotion %d", p.ID)
	}
}

func TestLock_AgainReplacesTheReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.changes(w.e.SetLock(LockCommand{Actor: alice, Reason: "sale"}, w.now))
	tr := w.changes(w.e.SetLock(LockCommand{Actor: alice, Reason: "still sale"}, w.now))
	emits(t, tr, EventLockSet)
	if l := w.e.Lock; l.Reason != "still sale" || l.By != "token:alice" || !l.At.Equal(w.now) {
		t.Errorf("lock %+v", l)
	}
	tr = w.changes(w.e.ClearLock(alice, w.now))
	emits(t, tr, EventLockCleared)
}

func TestRoute_HashIsOverWeightsAndLive(t *testing.T) {
	t.Parallel()
	base := Route{Weights: Weights{1: 90, 2: 10}, Live: 1}
	for name, c := range map[string]struct {
		route Route
		same  bool
	}{
		"zero named":     {Route{Weights: Weights{1: 90, 2: 10, 3: 0}, Live: 1}, true},
		"other previous": {Route{Weights: Weights{1: 90, 2: 10}, Live: 1, Previous: 7, Revision: 9}, true},
		"other live":     {Route{Weights: Weights{1: 90, 2: 10}, Live: 2}, false},
		"other shares":   {Route{Weights: Weights{1: 91, 2: 9}, Live: 1}, false},
		"digits moved":   {Route{Weights: Weights{1: 9, 21: 0, 2: 10}, Live: 1}, false},
	} {
		if same := c.route.Hash() == base.Hash(); same != c.same {
			t.Errorf("%s: same %v", name, same)
		}
	}
}

func TestConfirmedAt(t *testing.T) {
	t.Parallel()
	seen, told := time.Unix(100, 0), time.Unix(50, 0)
	n := Node{Router: "builtin", Name: "a", Incarnation: "1", SeenAt: seen}
	e := Environment{Receipts: []Receipt{{Router: "builtin", Node: "a", Incarnation: "1", At: told}}}
	if at, ok := e.ConfirmedAt(n); !ok || !at.Equal(seen) {
		t.Errorf("confirmed at %s, %v, want the heartbeat", at, ok)
	}
	n.SeenAt = time.Unix(10, 0)
	if at, ok := e.ConfirmedAt(n); !ok || !at.Equal(told) {
		t.Errorf("confirmed at %s, %v, want the receipt", at, ok)
	}
	n.Incarnation = "2"
	if _, ok := e.ConfirmedAt(n); ok {
		t.Error("an earlier incarnation's receipt was taken for this one's")
	}
}

func TestDelete_WaitsForTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.changes(w.e.SetLock(LockCommand{Actor: alice, Reason: "sale"}, w.now))
	w.refused(EnvironmentLocked)(w.e.Delete(DeleteCommand{Actor: alice, Force: true}, w.now))
	w.changes(w.e.ClearLock(alice, w.now))
	w.changes(w.e.Delete(DeleteCommand{Actor: alice}, w.now))
}

func TestReplace_StrandsNoHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	renamed := w.e.Spec
	renamed.Services = slices.Clone(renamed.Services)
	served := w.e.Spec.EffectiveHosts(w.e.Name, renamed.Services[0])
	renamed.Services[0].Name, renamed.Services[0].Hosts = "front", served
	w.refused(Conflict)(w.e.Replace(PutCommand{Actor: alice, Name: w.e.Name, Spec: renamed}, w.now))

	wider := w.e.Spec
	wider.Services = slices.Clone(wider.Services)
	wider.Services[0].Hosts = served
	added := wider.Services[0]
	added.Name, added.Hosts = "extra", []string{"extra.example"}
	wider.Services = append(wider.Services, added)
	w.changes(w.e.Replace(PutCommand{Actor: alice, Name: w.e.Name, Spec: wider}, w.now))
	if warnings, _ := w.e.rollbackHealth(w.gen(w.e.Live), w.now); !slices.ContainsFunc(warnings, func(s string) bool {
		return strings.Contains(s, "no group for service extra")
	}) {
		t.Errorf("nothing warns of a service without instances: %q", warnings)
	}
}
