package rollout

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Beyond these, what a node reports is not of a time that was lost, but of a file that somebody wrote: to go above it
// would use up the numbers there are.
const (
	noRevision = 1 << 52   // and no version of a spec; half of what routers can tell apart, so that there are numbers above
	mostLost   = 1_000_000 // generations
)

// credible is the receipt without what can be of no time that was lost.
func (e Environment) credible(r Receipt) Receipt {
	if max(r.Revision, r.Fence) >= max(noRevision, e.Revision+1) {
		r.Revision, r.Fence = 0, 0
	}
	if r.SpecVersion >= max(noRevision, e.SpecVersion+1) {
		r.SpecVersion = 0
	}
	if r.Newest > e.LastNumber+mostLost {
		r.Newest = 0
	}
	return r
}

// lost is what nodes hold that this database does not know; ahead says whether a node was above our revision, and no
// recover switch was made since.
func (e Environment) lost() (lost Lost, ahead bool) {
	m := e.mending()
	if m.Lost == nil {
		return Lost{}, false
	}
	return *m.Lost, m.Lost.Revision > m.Lost.Since
}

// Lacks says whether the receipt tells something of a time that this database does not know, and that is not noted yet.
func (e Environment) Lacks(r Receipt) bool {
	r = e.credible(r)
	lost, _ := e.lost()
	return max(r.Revision, r.Fence) > max(e.Revision, lost.Revision) || r.SpecVersion > max(e.SpecVersion, lost.SpecVersion) ||
		r.Newest > e.LastNumber
}

// Confirmed says whether every node was seen at the last route that a recover has put above it, or above that; the revision
// tells one recover from another, 0 for none. Until then a node may serve what this database does not know.
func (e Environment) Confirmed() (recovered int64, ok bool) {
	recovered = e.mending().Recovered
	_, ahead := e.lost()
	for _, n := range e.Nodes {
		if r, known := e.Receipt(n); recovered > 0 && (!known || r.Revision < recovered) {
			ahead = true
		}
	}
	return recovered, !ahead
}

// sighted tells of a node that is ahead of the database, once for each finding; old is the receipt before, if any.
func (c *change) sighted(r, old Receipt) {
	r = c.e.credible(r)
	same := old.Revision == r.Revision && old.SpecVersion == r.SpecVersion && old.Hash == r.Hash
	if c.e.Lacks(r) || (!same && (r.Revision > c.e.Revision || r.SpecVersion > c.e.SpecVersion)) {
		c.sightAhead(r)
	}
}

// sightAhead notes and tells what the receipt shows of the time that was lost. Numbers of generations that a node knows
// are never given out again: what it has under them is something else.
func (c *change) sightAhead(r Receipt) {
	c.event(EventRouteAhead, 0, c.e.Revision, map[string]any{"router": r.Router, "node": r.Node,
		"found": max(r.Revision, r.Fence), "spec_version": c.e.SpecVersion, "found_spec_version": r.SpecVersion,
		"last_generation": c.e.LastNumber, "found_generation": r.Newest,
		"weights": shares(c.e.Weights), "found_weights": shares(r.Weights)})
	m := c.e.mending()
	lost, ahead := c.e.lost()
	if !ahead {
		lost = Lost{Since: c.e.Revision, At: c.now, SpecVersion: lost.SpecVersion}
	}
	lost.Revision, lost.SpecVersion = max(lost.Revision, r.Revision, r.Fence), max(lost.SpecVersion, r.SpecVersion)
	m.Lost = &lost
	c.e.Mending = &m
	c.e.LastNumber = max(c.e.LastNumber, r.Newest)
}

// settleAhead puts the route above nodes that are ahead, at once or when its target was looked at.
func (c *change) settleAhead() {
	for _, r := range c.e.Receipts {
		if c.e.Lacks(r) {
			c.sightAhead(c.e.credible(r))
		}
	}
	if lost, ahead := c.e.lost(); ahead {
		c.recover(lost)
	} else if lost.SpecVersion > c.e.SpecVersion {
		c.raiseSpecVersion(lost.SpecVersion)
	}
}

// recover puts the route above everything that nodes hold, with the weights that the database says. Where that moves
// traffic, the health of what it goes to is looked at first, and what is known to be dead holds it, until it is well
// again or a command says where the traffic is to go. Automation is held: it would act on what is long past.
func (c *change) recover(lost Lost) {
	held, wait, warnings := c.e.recoverBlock(lost, c.now)
	if held != "" {
		c.holdRecovery(lost, held)
	}
	if held != "" || wait {
		return
	}
	revision := max(lost.Revision, c.e.Revision) + 1
	s := Switch{Kind: SwitchRecover, From: c.e.Live, To: c.e.Live, Warnings: warnings, Reason: fmt.Sprintf(
		"nodes were at revision %d, the database at %d: it was restored from an older copy", lost.Revision, lost.Since)}
	c.carryPromotion(&s, revision)
	c.holdAutomation("the database was restored from an older copy")
	if lost.SpecVersion > c.e.SpecVersion {
		c.raiseSpecVersion(lost.SpecVersion)
	}
	m := c.e.mending()
	m.Lost, m.Recovered, m.RecoveredFrom = nil, revision, c.e.Revision
	c.e.Mending = &m
	c.e.Revision = revision - 1
	c.switchTo(s, maps.Clone(c.e.Weights))
	for _, g := range c.e.Generations {
		if g.State != Retired {
			c.confirmAnew(g)
		}
	}
}

// confirmAnew forgets what was confirmed of a generation before the database was restored: a node may have given it
// weight since, and a registry may have lost it.
func (c *change) confirmAnew(g Generation) {
	c.edit(g.Number, func(g *Generation) {
		if !c.e.Weights.Carries(g.Number) {
			g.UnweightedRevision, g.QuietAt = c.e.Revision, nil
		}
		if g.State.Holds() {
			g.Announced = false
			c.stageMembersAnew(g) // a node may have members of the time that was lost
		}
	})
}

// raiseSpecVersion makes the spec that the database knows newer than what a node took in before it was restored.
func (c *change) raiseSpecVersion(above int64) {
	c.e.SpecVersion, c.e.UpdatedAt, c.t.SpecChanged = above+1, c.now, true
	c.event(EventEnvironmentUpdated, 0, 0, map[string]any{"spec_version": c.e.SpecVersion,
		"reason": fmt.Sprintf("a node has version %d, of before the database was restored", above)})
}

// holdRecovery tells, once for each time that nodes are found ahead, why nothing is done about it.
func (c *change) holdRecovery(lost Lost, why string) {
	if lost.Held != "" {
		return
	}
	lost.Held = why
	m := c.e.mending()
	m.Lost = &lost
	c.e.Mending = &m
	c.event(EventRecoveryHeld, c.e.Live, c.e.Revision, map[string]any{"reason": why, "found": lost.Revision})
}

// recoverBlock says what keeps the traffic from being moved to where the database says: held is for people, wait means
// that the health of its target was not read yet. A command that was given since nodes were found ahead has decided,
// and so has a deletion.
func (e Environment) recoverBlock(lost Lost, now time.Time) (held string, wait bool, warnings []string) {
	from := e.servedAhead()
	if len(from) == 0 || e.Revision > lost.Since || e.DeletingAt != nil {
		return "", false, nil
	}
	if e.Live == 0 {
		return fmt.Sprintf("nodes serve generation %d, and the database knows of none that is live: promote one", from[0]), false, nil
	}
	e.Readings = slices.DeleteFunc(slices.Clone(e.Readings), func(r Reading) bool { return r.At.Before(lost.At) })
	for _, n := range e.Weights.Numbers() {
		g, _ := e.Generation(n)
		told, dead := e.rollbackHealth(g, now)
		if dead != "" {
			return fmt.Sprintf("nodes serve generation %d, and the database says %d: %s", from[0], n, dead), false, nil
		}
		warnings = append(warnings, told...)
		wait = wait || e.unheard(g, now)
	}
	return "", wait && now.Before(e.lookedAt(lost)), warnings
}

// lookedAt is when the health of the target counts as not to be had.
func (e Environment) lookedAt(lost Lost) time.Time { return lost.At.Add(e.Timing.Freshness) }

// unheard says whether a service of the generation may be dead for all that is known.
func (e Environment) unheard(g Generation, now time.Time) bool {
	for _, svc := range e.services(g) {
		if r, fresh := e.Reading(g.Number, svc, now); !fresh || r.Healthy == 0 {
			return true
		}
	}
	return false
}

// servedAhead lists the generations that a node ahead of us serves, where that is not what the database says.
func (e Environment) servedAhead() []int {
	for _, r := range e.Receipts {
		if r.Revision > e.Revision && !sameWeights(r.Weights, e.Weights) && r.Weights.Sum() > 0 {
			return r.Weights.Numbers()
		}
	}
	return nil
}
