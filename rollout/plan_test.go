package rollout

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlan_TellsWhatAPromoteWouldDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.live()
	two := w.ready()
	w.e.Nodes[1].Incarnation = "b2"
	plan, err := w.e.Plan(PromoteCommand{Actor: alice, Generation: two}, w.now)
	if err != nil {
		t.Fatal(err)
	}
	if plan.Promotable || len(plan.Blocked) != 1 || plan.Blocked[0].Code != NodeNotStaged {
		t.Errorf("blocked %v", plan.Blocked)
	}
	if plan.CurrentRevision != 1 || plan.Revision != 2 || plan.From != one || plan.RollbackTarget != one {
		t.Errorf("plan %+v", plan)
	}
	if diff := cmp.Diff(Weights{one: 0, two: 100}, plan.Weights); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
	want := []PlanNode{{Node: w.e.Nodes[0], State: InSync, Staged: true}, {Node: w.e.Nodes[1], State: Behind}}
	if diff := cmp.Diff(want, plan.Nodes); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
}

// TestPlan_OfARejectedOne shows what else is in the way, so that nobody mends one thing only to meet the next.
func TestPlan_OfARejectedOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	w.live()
	w.changes(w.rollback(RollbackCommand{}))
	w.changes(w.e.SetLock(LockCommand{Actor: alice, Reason: "stocktaking"}, w.now))
	plan, err := w.e.Plan(PromoteCommand{Actor: alice, Generation: 2}, w.now)
	if err != nil || len(plan.Blocked) != 2 || plan.Blocked[0].Code != GenerationNotReady || plan.Blocked[1].Code != EnvironmentLocked {
		t.Errorf("blocked %v, %v", plan.Blocked, err)
	}
}

func TestPlan_OfTheLiveOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.live()
	plan, err := w.e.Plan(PromoteCommand{Generation: n}, w.now)
	if err != nil || !plan.Promotable || plan.Revision != plan.CurrentRevision {
		t.Errorf("plan %+v, %v", plan, err)
	}
	if _, err := w.e.Plan(PromoteCommand{Generation: 99}, w.now); refusal(err) == nil || refusal(err).Code != NotFound {
		t.Errorf("unknown: %v", err)
	}
}

// TestPlan_AgreesWithPromote in every state, for every kind of promote.
func TestPlan_AgreesWithPromote(t *testing.T) {
	t.Parallel()
	for state := range GenerationMoves {
		for _, locked := range []bool{false, true} {
			w, n := brought(t, state)
			if locked {
				w.changes(w.e.SetLock(LockCommand{Actor: alice}, w.now))
			}
			for _, cmd := range []PromoteCommand{{}, {Force: true}, {Supersede: true}} {
				cmd.Actor, cmd.Generation = alice, n
				checkPlan(w, w.naming(n), cmd)
			}
		}
	}
}

// checkPlan wants a plan that says what a promote then does.
func checkPlan(w *world, e Environment, cmd PromoteCommand) {
	w.Helper()
	plan, planErr := e.Plan(cmd, w.now)
	tr, err := e.Promote(cmd, w.now)
	switch {
	case planErr != nil:
		if err == nil {
			w.Fatalf("plan %v, and the promote is accepted", planErr)
		}
	case plan.Promotable != (err == nil) || plan.Promotable != (len(plan.Blocked) == 0):
		w.Fatalf("promotable %v, blocked %v, and the promote: %v", plan.Promotable, plan.Blocked, err)
	case err != nil:
		if r := refusal(err); r.Code != plan.Blocked[0].Code || r.Detail != plan.Blocked[0].Detail {
			w.Fatalf("blocked %v, and the promote: %v", plan.Blocked[0], err)
		}
	case plan.Revision != tr.After.Revision || plan.Revision != tr.Answer.Revision || tr.Answer.Changed != (plan.Revision != plan.CurrentRevision) ||
		!cmp.Equal(plan.Weights, tr.After.Weights) || plan.RollbackTarget != tr.After.Previous || !cmp.Equal(plan.Warnings, tr.Answer.Warnings):
		w.Fatalf("plan %+v, and the promote %+v, weights %v, previous %d", plan, tr.Answer, tr.After.Weights, tr.After.Previous)
	}
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.live()
	if r := w.e.Readiness(w.now); r.Ready || r.Generation != 0 || len(r.Reasons) != 1 || r.KeepUntil != nil {
		t.Errorf("nothing to go back to: %+v", r)
	}
	w.live()
	until := w.gen(1).StateChangedAt.Add(w.e.Spec.Retention.KeepFor.Std())
	want := Readiness{Ready: true, Generation: 1, Healthy: map[string][2]int{"web": {2, 2}}, KeepUntil: &until}
	if diff := cmp.Diff(want, w.e.Readiness(w.now)); diff != "" {
		t.Errorf("readiness (-want +got):\n%s", diff)
	}
	w.health(1, 1)
	if r := w.e.Readiness(w.now); !r.Ready || len(r.Reasons) != 1 || r.Healthy["web"] != [2]int{1, 2} {
		t.Errorf("half of it is healthy: %+v", r)
	}
	w.health(1, 0)
	if r := w.e.Readiness(w.now); r.Ready || len(r.Reasons) != 1 {
		t.Errorf("known to be dead: %+v", r)
	}
	w.now = w.now.Add(timing.Freshness + 1)
	if r := w.e.Readiness(w.now); !r.Ready || len(r.Reasons) != 3 || !strings.Contains(r.Reasons[2], "node b of router builtin cannot be reached") {
		t.Errorf("not known, and the nodes are away: %+v", r)
	}
	w.changes(w.rollback(RollbackCommand{}))
	if r := w.e.Readiness(w.now); r.Ready || r.Generation != 0 {
		t.Errorf("after a rollback: %+v", r)
	}
}

func TestReadiness_WhileShiftingIsThatOfLive(t *testing.T) {
	t.Parallel()
	w, _ := brought(t, Shifting)
	if r := w.e.Readiness(w.now); !r.Ready || r.Generation != 1 || r.KeepUntil != nil {
		t.Errorf("readiness %+v", r)
	}
}
