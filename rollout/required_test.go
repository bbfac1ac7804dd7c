package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// fleet is a world of router "edge" with that policy and that many nodes, named e1, e2 …
func fleet(t tb, policy Required, size int) *world {
	t.Helper()
	w := newWorld(t, func(s *Spec) { s.Routers = []string{"edge"} })
	w.e.Required = map[string]Required{"edge": policy}
	w.e.Nodes = nil
	for i := range size {
		n := w.node(fmt.Sprintf("e%d", i+1))
		n.Router = "edge"
		w.e.Nodes = append(w.e.Nodes, n)
	}
	return w
}

// silence lets the last nodes fall silent for so long that they are unreachable; the others are heard of.
func (w *world) silence(count int) {
	w.pass(timing.Silence + time.Second)
	for i := len(w.e.Nodes) - count; i < len(w.e.Nodes); i++ {
		w.e.Nodes[i].SeenAt = w.now.Add(-timing.Silence - 1)
	}
}

// seen lets the first nodes confirm the present route.
func (w *world) seen(count int) Transition {
	w.Helper()
	var f Facts
	for _, n := range w.e.Nodes[:count] {
		f.Receipts = append(f.Receipts, w.receiptOf(n))
	}
	return w.record(f)
}

// How many of a router's nodes must do, by its policy, for staging and for a switch.
func TestRequired(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy              Required
		nodes, silent, good int
		enough              bool
		why                 string
	}{
		{RequiredReachable, 3, 0, 3, true, ""},
		{RequiredReachable, 3, 0, 2, false, "node e3 of router edge "},
		{RequiredReachable, 3, 1, 2, true, ""},
		{RequiredReachable, 3, 3, 0, false, "no node of router edge has been heard of lately"},
		{RequiredReachable, 0, 0, 0, false, "no node of router edge has been heard of lately"},
		{RequiredAll, 3, 0, 3, true, ""},
		{RequiredAll, 3, 0, 2, false, "node e3 of router edge "},
		{RequiredAll, 3, 1, 2, false, ", and cannot be reached"},
		{RequiredAll, 1, 1, 0, false, ", and cannot be reached"},
		{RequiredAll, 0, 0, 0, false, "router edge has no node"},
		{RequiredQuorum, 3, 0, 3, true, ""},
		{RequiredQuorum, 3, 0, 2, true, ""},
		{RequiredQuorum, 3, 1, 2, true, ""},
		{RequiredQuorum, 3, 0, 1, false, "1 of 3 nodes of router edge is too few: node e2 "},
		{RequiredQuorum, 3, 2, 1, false, ", and cannot be reached"},
		{RequiredQuorum, 2, 0, 1, false, "1 of 2 nodes"},
		{RequiredQuorum, 2, 0, 2, true, ""},
		{RequiredQuorum, 4, 0, 2, false, "2 of 4 nodes"},
		{RequiredQuorum, 4, 1, 3, true, ""},
		{RequiredQuorum, 1, 0, 1, true, ""},
		{RequiredQuorum, 1, 1, 0, false, "0 of 1 nodes"},
		{RequiredQuorum, 0, 0, 0, false, "router edge has no node"},
	} {
		name := fmt.Sprintf("%s: %d of %d, %d silent", c.policy, c.good, c.nodes, c.silent)
		w := fleet(t, c.policy, c.nodes)
		n := w.register(false)
		w.silence(c.silent)
		w.record(Facts{Announced: []int{n}, Staged: w.stagings(n)[:c.good]})
		if staged, why := w.e.StagedEverywhere(n, w.now); staged != c.enough || !strings.Contains(why, c.why) {
			t.Errorf("%s: staged %v: %q, want %q", name, staged, why, c.why)
		}
		if state := w.gen(n).State; (state == Validating) != c.enough {
			t.Errorf("%s: the generation is %s", name, state)
		}

		w = fleet(t, c.policy, c.nodes)
		n = w.register(false)
		w.record(Facts{Announced: []int{n}, Staged: w.stagings(n)})
		w.health(n, 2)
		if c.nodes == 0 {
			continue // it cannot be promoted
		}
		w.promote(n)
		w.silence(c.silent)
		w.seen(c.good)
		w.settle()
		if why := w.e.unseen(w.now); (w.e.Switch.Status == Applied) != c.enough || !strings.Contains(why, c.why) {
			t.Errorf("%s: the switch is %s: %q, want %q", name, w.e.Switch.Status, why, c.why)
		}
		if c.enough && w.e.Switch.Degraded != (c.good < c.nodes) {
			t.Errorf("%s: degraded %v", name, w.e.Switch.Degraded)
		}
	}
}

func TestRequiredOf(t *testing.T) {
	t.Parallel()
	e := Environment{Required: map[string]Required{"edge": RequiredQuorum}}
	for router, want := range map[string]Required{Builtin: RequiredReachable, "edge": RequiredQuorum, "other": RequiredAll} {
		if got := e.RequiredOf(router); got != want {
			t.Errorf("router %s requires %s, want %s", router, got, want)
		}
	}
}

// Each router of an environment counts by itself: one that has no node at all has done nothing.
func TestRequired_EveryRouter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.ready()
	w.promote(n)
	w.e.Spec.Routers = []string{Builtin, "edge"}
	w.applied()
	if w.e.Switch.Status != Committed {
		t.Error("applied, although router edge was never told")
	}
	if ok, why := w.e.StagedEverywhere(n, w.now); ok || why != "router edge has no node" {
		t.Errorf("staged %v: %s", ok, why)
	}
	edge := Node{Router: "edge", Name: "e1", Incarnation: "1", SeenAt: w.now}
	w.e.Nodes = append(w.e.Nodes, edge)
	w.record(Facts{Receipts: []Receipt{w.receiptOf(edge)}})
	if w.e.Switch.Status != Applied || w.e.Switch.Degraded {
		t.Errorf("the switch is %s, degraded %v", w.e.Switch.Status, w.e.Switch.Degraded)
	}
}

// A node that is away blocks no rollback, and is told of in every answer; the promotion after it says what it waits for.
func TestRequired_NodeAway(t *testing.T) {
	t.Parallel()
	for _, policy := range []Required{RequiredAll, RequiredQuorum} {
		w := fleet(t, policy, 3)
		one := w.live()
		w.live()
		three, four := w.ready(), w.ready()
		w.silence(1)
		w.health(one, 2)
		w.health(three, 2)
		w.health(four, 2)
		plan, err := w.e.Plan(PromoteCommand{Actor: alice, Generation: three}, w.now)
		if err != nil || !plan.Promotable || len(plan.Warnings) != 2 || !strings.Contains(plan.Warnings[1], "node e3 of router edge cannot be reached") {
			t.Errorf("%s: plan %+v, %v", policy, plan, err)
		}
		if r := w.e.Readiness(w.now); !r.Ready || len(r.Reasons) != 1 {
			t.Errorf("%s: readiness %+v", policy, r)
		}
		w.promote(three)
		w.seen(2)
		if policy == RequiredAll {
			r := w.refused(PromotionInProgress)(w.e.Promote(PromoteCommand{Actor: alice, Generation: four}, w.now))
			if !strings.Contains(r.Detail, "node e3 of router edge was not seen at it, and cannot be reached") {
				t.Errorf("the refusal does not say what is waited for: %s", r.Detail)
			}
		}
		tr := w.changes(w.rollback(RollbackCommand{From: three}))
		if len(tr.Answer.Warnings) != 1 || strings.Contains(tr.Answer.Warnings[0], "until then") != (policy == RequiredAll) {
			t.Errorf("%s: warnings %q", policy, tr.Answer.Warnings)
		}
		w.seen(2)
		if applied := w.e.Switch.Status == Applied; applied != (policy == RequiredQuorum) {
			t.Errorf("%s: the rollback is %s with two of three nodes", policy, w.e.Switch.Status)
		}
		w.pass(0)
		back := w.e.Nodes[2]
		acts := slices.DeleteFunc(Decide(w.e, w.now), func(a Action) bool { return a.Node != back.Name })
		if len(acts) != 1 || acts[0].Kind != ActApply {
			t.Errorf("%s: the node that is back is to %+v", policy, acts)
		}
		w.applied()
		if s := w.e.Switch; s.Status != Applied || s.Degraded != (policy == RequiredQuorum) {
			t.Errorf("%s: switch %+v", policy, s)
		}
	}
}

// A node that was never reached, or is silent, keeps what it may still serve from being removed.
func TestRequired_SilentNodeBlocksRemoval(t *testing.T) {
	t.Parallel()
	w := fleet(t, RequiredQuorum, 3)
	one := w.live()
	w.live()
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: one}, w.now))
	w.e.Receipts = slices.DeleteFunc(w.e.Receipts, func(r Receipt) bool { return r.Node == "e3" })
	w.silence(1)
	w.pass(time.Hour).settle()
	w.silence(1)
	if acts := Decide(w.e, w.now); slices.ContainsFunc(acts, func(a Action) bool { return a.Kind == ActRemove }) {
		t.Errorf("node e3 may serve generation %d, and yet %+v", one, acts)
	}
	w.e.Nodes = w.e.Nodes[:2] // taken out
	w.settle()
	w.pass(time.Hour).settle()
	if acts := Decide(w.e, w.now); !slices.ContainsFunc(acts, func(a Action) bool { return a.Kind == ActRemove }) {
		t.Errorf("nobody serves generation %d, and yet %+v", one, acts)
	}
}

func TestReplace_DropsNoRouterThatKnowsAGeneration(t *testing.T) {
	t.Parallel()
	w := fleet(t, RequiredAll, 1)
	spec := w.e.Spec
	spec.Routers = []string{Builtin}
	n := w.register(false)
	w.staged(n)
	w.refused(Conflict)(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	w.health(n, 2)
	w.promote(n)
	w.applied()
	w.e.Stagings = nil
	r := w.refused(Conflict)(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
	if !strings.Contains(r.Detail, "node e1 still knows generation 1") {
		t.Errorf("refused with %s", r.Detail)
	}
	w.e.Nodes = nil // taken out
	w.changes(w.e.Replace(PutCommand{Actor: alice, Spec: spec}, w.now))
}

func TestSpec_CheckRouters(t *testing.T) {
	t.Parallel()
	spec := defaultSpec()
	if err := spec.CheckRouters([]string{"edge", Builtin}); err != nil {
		t.Error(err)
	}
	spec.Routers = []string{"edgee", Builtin, "other"}
	r := refusal(spec.CheckRouters([]string{"edge", Builtin}))
	if r == nil || r.Code != InvalidRequest || len(r.Fixes) == 0 || len(r.Errors) != 2 ||
		r.Errors[0].Pointer != "/routers/0" || !strings.Contains(r.Errors[0].Detail, `did you mean "edge"?`) ||
		r.Errors[1].Pointer != "/routers/2" || !strings.Contains(r.Errors[1].Detail, "there are: builtin, edge") {
		t.Errorf("refused with %+v", r)
	}
}

// TestRequired_NobodyHeard: the time in which the database was away is held against no node, except one that was never
// heard of.
func TestRequired_NobodyHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.promote(w.ready())
	w.e.Nodes = append(w.e.Nodes, Node{Router: Builtin, Name: "mate", Incarnation: "1"}, Node{Router: Builtin, Name: "never"})
	last := len(w.e.Nodes) - 1
	long := w.now
	back := func() { // all but the last two are heard of
		w.e.Nodes[last-1].SeenAt, w.e.Nodes[last].SeenAt = long, time.Unix(0, 0)
		w.seen(last - 1)
	}
	w.pass(time.Minute)
	w.e.HeardSince = w.now
	back()
	if w.e.Switch.Status != Committed {
		t.Errorf("the switch is %s without a node that could not be heard", w.e.Switch.Status)
	}
	if got := w.e.awayWarnings(w.now); len(got) != 1 {
		t.Errorf("away: %v", got)
	}
	wake := w.now.Add(timing.Silence + 1)
	if !slices.ContainsFunc(Decide(w.e, w.now), func(a Action) bool { return a.Kind == ActWake && !a.At.After(wake) }) {
		t.Errorf("nobody looks again when it counts as silent: %+v", Decide(w.e, w.now))
	}
	w.pass(timing.Silence + 1)
	back()
	if w.e.Switch.Status != Applied || !w.e.Switch.Degraded {
		t.Errorf("the switch is %s, degraded %v", w.e.Switch.Status, w.e.Switch.Degraded)
	}
}
