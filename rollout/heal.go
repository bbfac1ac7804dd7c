package rollout

import (
	"fmt"
	"maps"
	"time"
)

const (
	// healPause is the least time between two heals of an environment. It doubles with each heal, up to healPauseMax,
	// so that a node which diverges again and again does not fill the history.
	healPause    = time.Second
	healPauseMax = time.Minute
	// healMemory is the time without a heal after which the pause is short again.
	healMemory = 10 * time.Minute
)

// sightDrift tells of a node that does something else at the present revision than the route says: once for each
// finding, also when it is seen again after a restart. old is the receipt before, if there was one. What else somebody
// changed on the node is told in words, as often as it is reported.
func (c *change) sightDrift(r, old Receipt) {
	data := map[string]any{"router": r.Router, "node": r.Node}
	if r.Revision == c.e.Revision && r.Hash != c.e.Route().Hash() && (old.Revision != r.Revision || old.Hash != r.Hash) {
		data["expected"], data["found"] = shares(c.e.Weights), shares(r.Weights)
	}
	if len(r.Edits) > 0 {
		data["edits"] = r.Edits
	}
	if len(data) > 2 {
		c.event(EventRouteDrifted, c.e.Live, c.e.Revision, data)
	}
}

// settleDrift has the route applied anew where a node does something else, unless another switch does that.
func (c *change) settleDrift() {
	_, ahead := c.e.lost()
	n, found := c.e.drifted(c.now)
	if found && !ahead && c.t.NewSwitch == nil && !c.now.Before(c.e.healableAt()) {
		c.heal(n)
	}
}

// drifted is the first node that is heard of and does something else at the present revision than the route says.
func (e Environment) drifted(now time.Time) (Node, bool) {
	for _, n := range e.RequiredNodes(now) {
		if e.ReceiptState(n, now) == Drifted {
			return n, true
		}
	}
	return Node{}, false
}

// healableAt is when the next heal may be made.
func (e Environment) healableAt() time.Time {
	m := e.mending()
	if m.Heals == 0 {
		return time.Time{}
	}
	return m.HealedAt.Add(min(healPause<<min(m.Heals-1, 16), healPauseMax))
}

// heal makes a switch to the same weights: at its revision, no node may do anything else. Whoever decided on the
// revision before it, decided on the same route, see [Environment.Keeps].
func (c *change) heal(n Node) {
	m := c.e.mending()
	if m.Healed != c.e.Revision {
		m.Kept = c.e.Revision
	}
	if c.now.Sub(m.HealedAt) > healMemory {
		m.Heals = 0
	}
	m.Healed, m.HealedAt = c.e.Revision+1, c.now
	m.Heals++
	c.e.Mending = &m
	s := Switch{Kind: SwitchHeal, From: c.e.Live, To: c.e.Live,
		Reason: fmt.Sprintf("node %s of router %s did something else at revision %d", n.Name, n.Router, c.e.Revision)}
	c.carryPromotion(&s, c.e.Revision+1)
	c.switchTo(s, maps.Clone(c.e.Weights))
}
