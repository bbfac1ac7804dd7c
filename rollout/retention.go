package rollout

import (
	"fmt"
	"slices"
	"time"
)

// RetentionCommand moves the end of the time that a generation without traffic is kept.
type RetentionCommand struct {
	Actor      Actor
	Generation int
	KeepUntil  time.Time
}

// Retain extends or shortens how long a standby, failed or rejected generation is kept.
func (e Environment) Retain(cmd RetentionCommand, now time.Time) (Transition, error) {
	g, err := e.target(cmd.Generation)
	if err != nil {
		return Transition{}, err
	}
	if g.State != Standby && g.State != Failed && g.State != Rejected {
		return Transition{}, e.refuse(Conflict, "only standby, failed and rejected generations are kept for a time",
			"generation %d is %s", g.Number, g.State)
	}
	if !cmd.KeepUntil.After(now) {
		return Transition{}, &Refusal{Code: InvalidRequest, Detail: "keep_until lies in the past", Revision: e.Revision,
			Fixes:  []string{fmt.Sprintf("to end it now, retire generation %d", g.Number)},
			Errors: []FieldError{{Pointer: "/keep_until", Detail: "a time to come"}}}
	}
	c := e.change(cmd.Actor, now)
	until := cmd.KeepUntil.UTC()
	c.edit(g.Number, func(g *Generation) { g.KeepUntil = &until })
	c.event(EventRetentionChanged, g.Number, 0, map[string]any{"keep_until": until.Format(time.RFC3339Nano)})
	return c.done(Answer{Generation: g.Number, Changed: true}), nil
}

// KeptUntil is when retention would retire a generation that carries no traffic; ok is false while it has no end.
func (e Environment) KeptUntil(g Generation) (until time.Time, ok bool) {
	switch {
	case g.State != Standby && g.State != Failed && g.State != Rejected, e.Weights.Carries(g.Number):
		return time.Time{}, false
	case g.KeepUntil != nil:
		return *g.KeepUntil, true
	}
	return g.StateChangedAt.Add(e.Spec.Retention.KeepFor.Std()), true
}

// settleRetention retires what was kept long enough, and ends the retirement of what is gone everywhere.
func (c *change) settleRetention(g Generation) {
	g, _ = c.e.Generation(g.Number)
	switch g.State {
	case Standby, Failed, Rejected:
		if why := c.e.expired(g, c.now); why != "" {
			c.retire(g.Number, why)
			g, _ = c.e.Generation(g.Number)
		}
	}
	if g.State == Retiring && !g.Announced && !c.e.stagedAnywhere(g.Number) && c.e.Cleanable(g, c.now) {
		c.move(g.Number, Retired, g.Reason)
	}
}

// expired says why retention ends a generation now; empty when it does not.
func (e Environment) expired(g Generation, now time.Time) string {
	until, ends := e.KeptUntil(g)
	if !ends || (g.Number == e.Previous && e.Promotion != nil) {
		return ""
	}
	if !now.Before(until) {
		return "kept until " + until.UTC().Format(time.RFC3339)
	}
	if g.State == Standby && g.KeepUntil == nil && e.newerStandbys(g) >= e.Spec.Retention.KeepGenerations {
		return fmt.Sprintf("%d newer standby generations are kept", e.Spec.Retention.KeepGenerations)
	}
	return ""
}

func (e Environment) newerStandbys(g Generation) int {
	n := 0
	for _, o := range e.Generations {
		if o.State == Standby && o.StateChangedAt.After(g.StateChangedAt) {
			n++
		}
	}
	return n
}

func (e Environment) stagedAnywhere(generation int) bool {
	for _, s := range e.Stagings {
		if s.Generation == generation && e.knows(s.Router, s.Node) {
			return true
		}
	}
	return false
}

func (e Environment) knows(router, node string) bool {
	for _, n := range e.Nodes {
		if n.Router == router && n.Name == node {
			return true
		}
	}
	return false
}

// Cleanable says whether a retiring generation may be taken out of routers and registry: no node was last seen to
// serve it, and it never had weight, or every node confirms that the weight is gone and has done so for the drain; and the grace has passed. Then no request
// is open on it, and no late worker can still point at it. While a node is ahead of the database, nothing is taken out.
func (e Environment) Cleanable(g Generation, now time.Time) bool {
	at, ok := e.cleanableAt(g)
	_, ahead := e.lost()
	return ok && !ahead && !now.Before(at) && !e.served(g.Number) && (g.UnweightedRevision == 0 || e.confirmed(g))
}

// served says whether a node was last seen to give the generation weight, whatever the route says.
func (e Environment) served(generation int) bool {
	return slices.ContainsFunc(e.Receipts, func(r Receipt) bool { return r.Weights.Carries(generation) && e.knows(r.Router, r.Node) })
}

func (e Environment) cleanableAt(g Generation) (time.Time, bool) {
	if g.State != Retiring || e.Weights.Carries(g.Number) || (g.UnweightedRevision > 0 && g.QuietAt == nil) {
		return time.Time{}, false
	}
	at := g.StateChangedAt
	if g.UnweightedRevision > 0 {
		if drained := g.QuietAt.Add(e.Spec.Retention.Drain.Std()); drained.After(at) {
			at = drained
		}
	}
	return at.Add(e.Timing.Grace), true
}

// finishDeletion ends the deletion of an environment when nothing of it is left.
func (c *change) finishDeletion() {
	if c.e.DeletingAt == nil || c.e.DeletedAt != nil {
		return
	}
	for _, g := range c.e.Generations {
		if g.State != Retired {
			return
		}
	}
	c.e.DeletedAt, c.e.Lock, c.e.Hold = &c.now, nil, nil
	c.event(EventEnvironmentDeleted, 0, 0, map[string]any{"finished": true})
}
