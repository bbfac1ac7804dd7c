package rollout

import "time"

// ValidateCommand asks to check a generation again, with fresh counters.
type ValidateCommand struct {
	Actor      Actor
	Generation int
}

// Validate starts a new validation of a ready, failed or rejected generation. One that is registered or validating
// is on its way: nothing changes.
func (e Environment) Validate(cmd ValidateCommand, now time.Time) (Transition, error) {
	g, err := e.target(cmd.Generation)
	if err != nil {
		return Transition{}, err
	}
	switch g.State {
	case Registered, Validating:
		return Transition{After: e, Answer: Answer{Generation: g.Number}}, nil
	case Ready, Failed, Rejected:
		if g.Awaiting() {
			return Transition{}, e.refuse(Conflict, "register a new generation that adopts them",
				"generation %d never found the instances that it was to adopt", g.Number)
		}
		c := e.change(cmd.Actor, now)
		c.startValidation(g.Number, "asked to validate")
		return c.done(Answer{Generation: g.Number, Changed: true}), nil
	}
	return Transition{}, e.refuse(Conflict, "a generation is validated before it serves, or after it failed or was rejected",
		"generation %d is %s", g.Number, g.State)
}

func (c *change) startValidation(number int, reason string) {
	deadline := c.now.Add(c.e.Spec.Validation.Timeout.Std())
	g, _ := c.e.Generation(number)
	since, again := c.now, !g.State.Holds()
	if g.State == Registered { // watched since it was registered, for the first time
		since = g.CreatedAt
	}
	c.move(number, Validating, reason)
	c.edit(number, func(g *Generation) {
		g.Checked = ValidationRecord{StartedAt: &c.now, Since: &since, Deadline: &deadline}
		if again { // while it could not serve, its members were nobody's care
			c.stageMembersAnew(g)
		}
	})
}
