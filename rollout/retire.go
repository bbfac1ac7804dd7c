package rollout

import "time"

// RetireCommand asks to take a generation out for good.
type RetireCommand struct {
	Actor      Actor
	Generation int
	Reason     string
}

// Retire starts the retirement of a generation without traffic. The loop ends it when every node is drained.
func (e Environment) Retire(cmd RetireCommand, now time.Time) (Transition, error) {
	g, ok := e.Generation(cmd.Generation)
	if !ok {
		_, err := e.target(cmd.Generation)
		return Transition{}, err
	}
	switch {
	case g.State == Retiring || g.State == Retired:
		return Transition{After: e, Answer: Answer{Generation: g.Number}}, nil
	case g.State == Live:
		return Transition{}, e.refuse(Conflict, "promote another generation or roll back first", "generation %d is live", g.Number)
	case g.State == Shifting || e.Weights.Carries(g.Number):
		return Transition{}, e.refuse(Conflict, "roll back first", "generation %d carries traffic", g.Number)
	}
	c := e.change(cmd.Actor, now)
	c.retire(g.Number, reasonOr(cmd.Reason, "asked to retire"))
	return c.done(Answer{Generation: g.Number, Changed: true}), nil
}

func (c *change) retire(number int, reason string) {
	if c.e.Previous == number {
		c.e.Previous = 0
	}
	c.move(number, Retiring, reason)
}
