package rollout

import "time"

// Hold keeps automation from promoting; it is set by every rollback, and when the database was
// restored from an older copy; a person releases it.
type Hold struct {
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// hold keeps automation from promoting again until a person releases it.
func (c *change) hold(cmd RollbackCommand) {
	c.holdAutomation(reasonOr(cmd.Reason, "rolled back by "+c.actor.String()))
}

func (c *change) holdAutomation(reason string) {
	if c.e.Hold == nil {
		c.event(EventAutomationHeld, 0, 0, map[string]any{"reason": reason})
	}
	c.e.Hold = &Hold{Reason: reason, Since: c.now}
}

// ReleaseAutomation ends the hold that a rollback put on automation; without one nothing changes.
func (e Environment) ReleaseAutomation(actor Actor, now time.Time) (Transition, error) {
	if e.Hold == nil {
		return Transition{After: e}, nil
	}
	c := e.change(actor, now)
	c.e.Hold = nil
	c.event(EventAutomationReleased, 0, 0, nil)
	return c.done(Answer{Changed: true}), nil
}
