package rollout

import (
	"cmp"
	"fmt"
	"time"
)

// Settle makes every move that the recorded facts already allow: a switch seen everywhere is applied, a generation
// staged everywhere is validated, deadlines pass. An empty transition means that there is nothing to do before
// something is observed or time goes on. It makes at most one switch.
func (e Environment) Settle(now time.Time) Transition {
	c := e.change(System, now)
	c.settle()
	return c.done(Answer{})
}

func (c *change) settle() {
	if c.e.DeletedAt != nil || c.e.Foreign() != "" {
		return
	}
	c.settleSwitch()
	c.settleDrained()
	c.settleQuiet()
	c.settleAhead()
	c.settlePromotion()
	for _, g := range c.e.Generations {
		c.settleValidation(g)
	}
	c.settleIntake()
	c.settleDrift()
	for _, g := range c.e.Generations {
		c.settleRetention(g)
	}
	c.finishDeletion()
}

// settleSwitch marks the switch applied when as many nodes as are required were seen at it.
func (c *change) settleSwitch() {
	s := c.e.Switch
	if s == nil || s.Status != Committed || c.e.unseen(c.now) != "" {
		return
	}
	applied := *s
	applied.Status, applied.AppliedAt = Applied, &c.now
	for _, n := range c.e.Nodes {
		if state := c.e.ReceiptState(n, c.now); state != InSync {
			applied.Degraded = true
		}
	}
	c.updateSwitch(applied)
	c.event(EventSwitchApplied, applied.To, applied.Revision, map[string]any{"degraded": applied.Degraded})
}

func (c *change) updateSwitch(s Switch) {
	c.e.Switch = &s
	for i := range c.t.UpdatedSwitches {
		if c.t.UpdatedSwitches[i].Revision == s.Revision {
			c.t.UpdatedSwitches[i] = s
			return
		}
	}
	c.t.UpdatedSwitches = append(c.t.UpdatedSwitches, s)
}

// settleDrained notes when nothing is open any more on what lost its weight, or the drain's cut-off has passed.
func (c *change) settleDrained() {
	s := c.e.Switch
	if s == nil || s.Status != Applied || s.DrainedAt != nil {
		return
	}
	if c.now.Before(s.AppliedAt.Add(c.e.Spec.Retention.Drain.Std())) {
		required := c.e.RequiredNodes(c.now)
		for _, n := range required {
			if r, ok := c.e.Receipt(n); !ok || r.Revision < s.Revision || r.open() > 0 {
				return
			}
		}
		if len(required) == 0 {
			return
		}
	}
	drained := *s
	drained.DrainedAt = &c.now
	c.updateSwitch(drained)
	c.event(EventSwitchDrained, drained.From, drained.Revision, nil)
}

// settleQuiet notes since when every node, silent ones too, confirms that a weight is gone. It begins anew when a
// node restarts or comes back, for that one may have served what it was last told.
func (c *change) settleQuiet() {
	for _, g := range c.e.Generations {
		switch quiet := c.e.confirmed(g); {
		case quiet && g.QuietAt == nil:
			c.edit(g.Number, func(g *Generation) { g.QuietAt = &c.now })
		case !quiet && g.QuietAt != nil:
			c.edit(g.Number, func(g *Generation) { g.QuietAt = nil })
		}
	}
}

// confirmed says whether every node was seen without the generation's weight, at or above the revision that took it
// away. Where there is no node to ask, nothing is confirmed.
func (e Environment) confirmed(g Generation) bool {
	for _, n := range e.Nodes {
		if r, ok := e.Receipt(n); !ok || r.Revision < g.UnweightedRevision || r.Weights.Carries(g.Number) {
			return false
		}
	}
	return g.UnweightedRevision > 0 && len(e.Nodes) > 0
}

// settlePromotion ends a promotion at 100 % whose last switch is applied. (No bake is waited for: none can be asked for.)
func (c *change) settlePromotion() {
	p, s := c.e.Promotion, c.e.Switch
	if p == nil || p.State != PromotionBaking || s == nil || s.Status != Applied || s.Revision < p.Revision {
		return
	}
	c.endPromotion(PromotionSucceeded, "")
	c.edit(p.Generation, func(g *Generation) { g.Succeeded = true })
}

// settleValidation moves one generation through staging and validation.
func (c *change) settleValidation(g Generation) {
	switch g.State {
	case Ready:
		if g.Checked.Expired(c.e.Spec.Validation.ValidFor.Std(), c.now) {
			c.startValidation(g.Number, fmt.Sprintf("its validation was older than %s", c.e.Spec.Validation.ValidFor))
		}
	case Registered:
		why := c.e.stagingBlock(g, c.now)
		if why == "" {
			c.startValidation(g.Number, "")
		} else if !c.now.Before(c.e.stagingDeadline(g)) {
			c.move(g.Number, Failed, c.e.late(g)+": "+why)
		}
	}
	if g, _ = c.e.Generation(g.Number); g.State == Validating {
		c.settleVerdict(g)
	}
}

// late says which deadline a registered generation has missed.
func (e Environment) late(g Generation) string {
	if g.Awaiting() {
		return fmt.Sprintf("its instances were not there within %s", Duration(g.adoptionDeadline().Sub(g.CreatedAt)))
	}
	return fmt.Sprintf("not staged within %s", e.Spec.Validation.Timeout)
}

func (c *change) settleVerdict(g Generation) {
	why := c.e.validationBlock(g, c.now)
	passed := why == ""
	if !passed && (g.Checked.Deadline == nil || c.now.Before(*g.Checked.Deadline)) {
		return
	}
	to, reason := Ready, ""
	if !passed {
		to, reason = Failed, "not valid in time: "+why
	}
	c.move(g.Number, to, reason)
	c.edit(g.Number, func(g *Generation) {
		g.Checked.FinishedAt, g.Checked.Passed, g.Checked.Detail = &c.now, passed, why
	})
}

// WaitsFor says what keeps a registered or validating generation from going on, for people; empty for any other.
func (e Environment) WaitsFor(g Generation, now time.Time) string {
	switch g.State {
	case Registered:
		return e.stagingBlock(g, now)
	case Validating:
		return e.validationBlock(g, now)
	}
	return ""
}

// validationBlock says what keeps a validating generation from being ready; empty when nothing does.
func (e Environment) validationBlock(g Generation, now time.Time) string {
	if why := e.stagingBlock(g, now); why != "" {
		return why
	}
	for _, r := range []*Refusal{e.missingGroup(g), e.mismatchBlock(g), e.healthBlock(g, now), e.capacityBlock(g, now)} {
		if r != nil {
			return r.Detail
		}
	}
	for _, svc := range e.services(g) {
		if r, _ := e.Reading(g.Number, svc, now); g.Checked.Since != nil && r.At.Before(*g.Checked.Since) {
			return fmt.Sprintf("the instances of service %s were not asked since the validation began", svc)
		}
	}
	return ""
}

// stagingBlock says what keeps a generation from being staged everywhere by the present version of the spec; empty
// when nothing does.
func (e Environment) stagingBlock(g Generation, now time.Time) string {
	if g.Awaiting() {
		return cmp.Or(g.Reason, "the instances that it adopts were not looked for yet")
	}
	if !g.Announced {
		return "the registry does not know it" + withDetail(e.TroubleText())
	}
	return e.stagedBySpec(g.Number, now)
}
