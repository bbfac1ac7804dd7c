package rollout

import (
	"slices"
	"time"
)

// ActionKind is what is to be done in the world.
type ActionKind string

// The kinds of action, in the order in which [Decide] lists them.
const (
	// ActAdopt looks for the instances that the generation takes over.
	ActAdopt ActionKind = "adopt"
	// ActRegister announces the generation at the registry.
	ActRegister ActionKind = "register"
	// ActStage makes the generation known to the node.
	ActStage ActionKind = "stage"
	// ActApply makes the node do what the route says.
	ActApply ActionKind = "apply"
	// ActRemove takes the generation out of the node.
	ActRemove ActionKind = "remove"
	// ActDeregister takes the generation out of the registry.
	ActDeregister ActionKind = "deregister"
	// ActForget makes the node drop the environment.
	ActForget ActionKind = "forget"
	// ActSettle makes the moves that recorded facts allow.
	ActSettle ActionKind = "settle"
	// ActWake looks again at the time At.
	ActWake ActionKind = "wake"
)

// Action is one thing to do. The outcome is recorded as [Facts]; an action that failed is listed again.
type Action struct {
	Kind       ActionKind
	Generation int
	Router     string
	Node       string
	At         time.Time
}

// Decide lists what is to be done for the environment now. It lists the actions of all nodes: each loop carries out
// those that are its own. Doing one twice does no harm.
func Decide(e Environment, now time.Time) []Action {
	var out []Action
	for _, g := range e.Generations {
		switch {
		case g.Awaiting():
			if g.State == Registered {
				out = append(out, Action{Kind: ActAdopt, Generation: g.Number})
			}
		case g.State.Holds() && !g.Announced:
			out = append(out, Action{Kind: ActRegister, Generation: g.Number})
		}
	}
	for _, n := range e.Nodes {
		if slices.Contains(e.Spec.Routers, n.Router) {
			out = append(out, e.nodeActions(n, now)...)
		}
	}
	for _, g := range e.Generations {
		if g.Announced && e.Cleanable(g, now) && !e.stagedAnywhere(g.Number) {
			out = append(out, Action{Kind: ActDeregister, Generation: g.Number})
		}
	}
	if !e.Settle(now).Empty() {
		out = append(out, Action{Kind: ActSettle})
	}
	if at, ok := e.nextDeadline(now); ok {
		out = append(out, Action{Kind: ActWake, At: at})
	}
	return out
}

// nodeActions stages what the route needs, applies it, then stages what does not serve yet, so that no rollback waits
// for the staging of a candidate; removing comes last.
func (e Environment) nodeActions(n Node, now time.Time) []Action {
	var out []Action
	add := func(kind ActionKind, generation int) {
		out = append(out, Action{Kind: kind, Generation: generation, Router: n.Router, Node: n.Name})
	}
	r, known := e.Receipt(n)
	if e.DeletedAt != nil {
		if slices.ContainsFunc(e.Receipts, func(r Receipt) bool { return r.Router == n.Router && r.Node == n.Name }) {
			if !known || r.Revision < e.Revision { // it was away when the traffic was taken off
				add(ActApply, 0)
			}
			add(ActForget, 0)
		}
		return out
	}
	stage := func(serving bool) {
		for _, g := range e.Generations {
			if g.State.Holds() && !g.Awaiting() && e.Weights.Carries(g.Number) == serving && !e.stagedOn(n, g.Number) {
				add(ActStage, g.Number)
			}
		}
	}
	stage(true)
	// A node that does something else at the present revision, or is above it, refuses this route: a switch mends that.
	inSync := r.Revision == e.Revision && r.Hash == e.Route().Hash()
	removable := e.removable(n, now)
	// What is removed may be what the node would roll back to for all it was told: that changes without a revision.
	anew := r.SpecVersion < e.SpecVersion || r.Error != "" || len(removable) > 0
	if !known || r.Revision < e.Revision || (inSync && anew) {
		add(ActApply, 0)
	}
	stage(false)
	for _, number := range removable {
		add(ActRemove, number)
	}
	return out
}

// removable lists what the node knows and may drop now.
func (e Environment) removable(n Node, now time.Time) []int {
	var out []int
	for _, s := range e.Stagings {
		g, ok := e.Generation(s.Generation)
		if ok && s.Router == n.Router && s.Node == n.Name && e.Cleanable(g, now) {
			out = append(out, g.Number)
		}
	}
	return out
}

// stagedOn says whether the node has the generation with its present members, by the present version of the spec.
func (e Environment) stagedOn(n Node, generation int) bool {
	s, _ := e.staging(n, generation)
	return e.unstaged(n, generation) == "" && s.SpecVersion >= e.SpecVersion
}

// nextDeadline is the first time to come at which something changes although nothing is observed.
func (e Environment) nextDeadline(now time.Time) (time.Time, bool) {
	if e.DeletedAt != nil {
		return time.Time{}, false
	}
	var next time.Time
	silence := false // whether a node's silence would move something on
	add := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if s := e.Switch; s != nil && s.DrainedAt == nil {
		silence = true
		if s.Status == Applied {
			add(s.AppliedAt.Add(e.Spec.Retention.Drain.Std()))
		}
	}
	if at, ok := e.mendingWake(now); ok {
		add(at)
	}
	for _, g := range e.Generations {
		silence = silence || g.State == Registered || g.State == Validating || g.Promote
		if at, ok := e.deadline(g); ok {
			add(at)
		}
	}
	if silence {
		for _, n := range e.Nodes {
			add(e.silentAfter(n).Add(1))
		}
	}
	return next, !next.IsZero()
}

// deadline is when the generation's state ends by itself, if it does.
func (e Environment) deadline(g Generation) (time.Time, bool) {
	switch {
	case g.State == Registered:
		return e.stagingDeadline(g), true
	case g.State == Validating && g.Checked.Deadline != nil:
		return *g.Checked.Deadline, true
	case g.State == Ready && g.Checked.FinishedAt != nil:
		return g.Checked.FinishedAt.Add(e.Spec.Validation.ValidFor.Std() + 1), true
	case g.State == Retiring:
		return e.cleanableAt(g)
	}
	return e.KeptUntil(g)
}
