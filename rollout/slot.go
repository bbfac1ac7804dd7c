package rollout

import "time"

// NoSlot is what a generation waits for while a node has no place for another one: until one is removed there.
const NoSlot = "no_slot"

// noSlot notes that a node has no place for the generation. That is no fault of the generation's, so the time that it
// has to be staged, or to be valid, begins anew.
func (c *change) noSlot(number int) {
	g, ok := c.e.Generation(number)
	if !ok || (g.State != Registered && g.State != Validating) {
		return
	}
	timeout := c.e.Spec.Validation.Timeout.Std()
	deadline := c.now.Add(timeout)
	if old := g.Checked.Deadline; g.Waiting == NoSlot && old != nil && deadline.Sub(*old) < timeout/10 {
		return // near enough
	}
	if g.Waiting != NoSlot {
		c.event(EventGenerationWaiting, number, 0, map[string]any{"code": NoSlot})
	}
	c.edit(number, func(g *Generation) {
		g.Checked.Deadline, g.Waiting = &deadline, NoSlot
		g.Reason = "waits for a place on a load balancer: retire a generation, or print a configuration with more of them"
	})
}

// placed notes that a node took the generation. Where another one still has no place, that is told again.
func (c *change) placed(number int) {
	if g, ok := c.e.Generation(number); ok && g.Waiting == NoSlot {
		c.edit(number, func(g *Generation) { g.Waiting, g.Reason = "", "" })
		c.event(EventGenerationPlaced, number, 0, nil)
	}
}

// stagingDeadline is when a registered generation fails that is not staged by then.
func (e Environment) stagingDeadline(g Generation) time.Time {
	if g.Awaiting() {
		return g.adoptionDeadline()
	}
	if g.Checked.Deadline != nil { // there was no place for it, or its instances had to be found
		return *g.Checked.Deadline
	}
	return g.CreatedAt.Add(e.Spec.Validation.Timeout.Std())
}
