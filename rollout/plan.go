package rollout

import (
	"fmt"
	"time"
)

// Plan is what a promote would do now.
type Plan struct {
	Generation      int
	Promotable      bool
	CurrentRevision int64
	Revision        int64 // of the switch that it would make; the present one when nothing would change
	From            int
	Weights         Weights
	Nodes           []PlanNode
	Blocked         []*Refusal // the gravest first
	RollbackTarget  int        // what a rollback would go to afterwards; 0 for none
	Warnings        []string
}

// PlanNode is a node that the promote would have to reach.
type PlanNode struct {
	Node
	State  ReceiptState
	Staged bool
}

// Plan answers what the command would do, by the same rules, and changes nothing. Only an unknown generation or an
// environment that is being deleted is an error.
func (e Environment) Plan(cmd PromoteCommand, now time.Time) (Plan, error) {
	g, err := e.target(cmd.Generation)
	if err != nil {
		return Plan{}, err
	}
	p := Plan{Generation: g.Number, CurrentRevision: e.Revision, Revision: e.Revision, From: e.Live,
		Weights: e.Weights, RollbackTarget: e.Previous}
	if r := e.expect(cmd.ExpectedRevision); r != nil {
		p.Blocked = append(p.Blocked, r)
	}
	if !e.promoted(g) {
		p.Blocked = append(p.Blocked, e.promoteBlocks(g, cmd, now)...)
		if e.stateBlock(g, now) == nil {
			after := e.promote(g, cmd, now).After
			p.Revision, p.Weights, p.RollbackTarget = after.Revision, after.Weights, after.Previous
			p.Warnings = after.Switch.Warnings
		}
	}
	for _, n := range e.Nodes {
		p.Nodes = append(p.Nodes, PlanNode{Node: n, State: e.ReceiptState(n, now), Staged: e.Staged(n, g.Number)})
	}
	p.Promotable = len(p.Blocked) == 0
	return p, nil
}

// Readiness is whether a rollback without a target would work now, and how well.
type Readiness struct {
	Ready      bool
	Generation int               // 0 when there is nothing to go back to
	Healthy    map[string][2]int // by service: healthy, of all
	KeepUntil  *time.Time
	Reasons    []string
}

// Readiness tells what a rollback without a target would find.
func (e Environment) Readiness(now time.Time) Readiness {
	out := Readiness{Healthy: map[string][2]int{}}
	g, ok := e.Generation(e.destination(RollbackCommand{}))
	if !ok {
		out.Reasons = []string{"there is no previous generation"}
		if g, ok := e.newestStandby(); ok {
			out.Reasons = append(out.Reasons, fmt.Sprintf("generation %d is standby, and a rollback may name it", g.Number))
		}
		return out
	}
	out.Generation = g.Number
	if until, ends := e.KeptUntil(g); ends {
		out.KeepUntil = &until
	}
	for _, svc := range e.services(g) {
		r, _ := e.Reading(g.Number, svc, now)
		out.Healthy[svc] = [2]int{r.Healthy, g.Sizes[svc]}
	}
	warnings, dead := e.rollbackHealth(g, now)
	out.Reasons = append(warnings, e.awayWarnings(now)...)
	if dead != "" {
		out.Reasons = append(out.Reasons, dead)
	}
	out.Ready = dead == ""
	return out
}
