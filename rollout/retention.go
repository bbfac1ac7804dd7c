package rollout

import (
	"fmt"
	"time"
)

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

// Cleanable says whether a retiring generation may be taken out of routers and registry: it never had weight, or
// every node confirms that the weight is gone and has done so for the drain; and the grace has passed. Then no request
// is open on it, and no late worker can still point at it.
func (e Environment) Cleanable(g Generation, now time.Time) bool {
	at, ok := e.cleanableAt(g)
	return ok && !now.Before(at) && (g.UnweightedRevision == 0 || e.confirmed(g))
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
