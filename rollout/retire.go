package rollout

import (
	"fmt"
	"time"
)

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
