package rollout

import "fmt"

// AutomationHeld is what a generation waits for while a rollback's hold keeps automation from promoting.
const AutomationHeld = "automation_held"

// settleIntake promotes the newest ready generation that asked for it, and retires older ones that wait behind it.
// What blocks it is recorded once for each cause. While a node is ahead of the database, nobody knows what is newest.
func (c *change) settleIntake() {
	if _, ahead := c.e.lost(); ahead || c.e.DeletingAt != nil {
		return
	}
	newest := 0
	for _, g := range c.e.Generations {
		if g.State == Ready && g.Promote {
			newest = max(newest, g.Number)
		}
	}
	for _, g := range c.e.Generations {
		if g.State == Ready && g.Promote && g.Number < newest {
			c.retire(g.Number, fmt.Sprintf("superseded by generation %d", newest))
		}
	}
	g, ok := c.e.Generation(newest)
	if !ok {
		return
	}
	cmd := PromoteCommand{Actor: System, Generation: newest, Reason: "registered with promote: true"}
	switch blocked := c.e.promoteBlocks(g, cmd, c.now); {
	case newest < c.e.Live:
		c.wait(g, string(Conflict), fmt.Sprintf("generation %d is newer and live; promote it by hand if that is meant", c.e.Live))
	case c.e.Hold != nil:
		c.wait(g, AutomationHeld, "automation is held: "+c.e.Hold.Reason)
	case len(blocked) > 0:
		c.wait(g, string(blocked[0].Code), blocked[0].Detail)
	case len(c.e.Weights.Numbers()) > 1:
		c.wait(g, string(Conflict), "the weights were set by hand")
	default:
		c.merge(c.e.promote(g, cmd, c.now))
	}
}

func (c *change) wait(g Generation, code, reason string) {
	if g.Waiting == code {
		return
	}
	c.edit(g.Number, func(g *Generation) { g.Waiting, g.Reason = code, "waits to be promoted: "+reason })
	c.event(EventPromotionWaiting, g.Number, 0, map[string]any{"code": code, "reason": reason})
}

// merge takes a transition made from c.e into c.
func (c *change) merge(t Transition) {
	c.e = t.After
	c.t.Moves = append(c.t.Moves, t.Moves...)
	for _, n := range t.Changed {
		c.edit(n, func(*Generation) {})
	}
	c.t.NewSwitch = t.NewSwitch
	c.t.UpdatedSwitches = append(c.t.UpdatedSwitches, t.UpdatedSwitches...)
	c.t.Promotions = append(c.t.Promotions, t.Promotions...)
	c.t.Events = append(c.t.Events, t.Events...)
}
