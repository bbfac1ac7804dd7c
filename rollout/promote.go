package rollout

import (
	"fmt"
	"time"
)

// PromoteCommand asks to make a generation live. ExpectedRevision, when set, must be the present one,
// or one whose route was only healed since. Supersede ends
// a running promotion of another generation. Force skips capacity and the age of the validation, nothing else.
type PromoteCommand struct {
	Actor            Actor
	Generation       int
	Reason           string
	ExpectedRevision *int64
	Supersede        bool
	Force            bool
}

// Promote makes the generation live in one switch. The former live one becomes standby and what a rollback goes to,
// or is rejected if its own promotion had not succeeded yet and is superseded by this one. A promote of the live
// generation ends what weights by hand began: all traffic comes back, and its paused promotion goes on.
func (e Environment) Promote(cmd PromoteCommand, now time.Time) (Transition, error) {
	if err := e.expect(cmd.ExpectedRevision); err != nil {
		return Transition{}, err
	}
	g, err := e.target(cmd.Generation)
	if err != nil {
		return Transition{}, err
	}
	if e.promoted(g) {
		return Transition{After: e, Answer: Answer{Revision: e.Revision, Generation: g.Number}}, nil
	}
	if blocked := e.promoteBlocks(g, cmd, now); len(blocked) > 0 {
		return Transition{}, blocked[0]
	}
	return e.promote(g, cmd, now), nil
}

// promoted says whether a promote of the generation would change nothing.
func (e Environment) promoted(g Generation) bool {
	p := e.Promotion
	paused := p != nil && p.Generation == g.Number && p.State == PromotionPaused
	return g.Number == e.Live && e.Weights[g.Number] == 100 && !paused
}

func (e Environment) promote(g Generation, cmd PromoteCommand, now time.Time) Transition {
	c := e.change(cmd.Actor, now)
	s := Switch{Kind: SwitchPromote, From: e.Live, To: g.Number, Reason: cmd.Reason}
	c.supersede(g.Number)
	if g.Number != e.Live {
		s.Warnings = c.makeLive(g.Number, cmd.Reason, e.Promotion != nil && e.Promotion.Generation == e.Live)
	}
	if p := c.e.Promotion; p != nil { // its own, which weights by hand have paused
		goes := *p
		goes.State, goes.Revision, s.Promotion = PromotionBaking, e.Revision+1, p.ID
		c.promotion(goes)
		c.event(EventPromotionResumed, g.Number, 0, map[string]any{"reason": cmd.Reason})
	} else if g.Number != e.Live {
		s.Promotion = c.begin(Promotion{Generation: g.Number, From: e.Live, State: PromotionBaking, Reason: cmd.Reason})
	}
	s.Warnings = append(s.Warnings, e.awayWarnings(now)...)
	c.switchTo(s, weightsTo(g.Number, e.Weights))
	return c.done(Answer{Revision: c.e.Revision, Changed: true, Generation: g.Number, Warnings: s.Warnings})
}

// supersede ends the open promotion of another generation; a candidate that is not live is rejected.
func (c *change) supersede(by int) {
	p := c.e.Promotion
	if p == nil || p.Generation == by {
		return
	}
	reason := fmt.Sprintf("superseded by generation %d", by)
	if p.Generation != c.e.Live {
		c.move(p.Generation, Rejected, reason)
	}
	c.endPromotion(PromotionSuperseded, reason)
}

// makeLive puts the generation in the place of the live one, which is kept for rollback unless it never succeeded.
// The old one moves first: at no time are two live.
func (c *change) makeLive(number int, reason string, unproven bool) (warnings []string) {
	if old := c.e.Live; old != 0 && unproven {
		c.move(old, Rejected, fmt.Sprintf("superseded by generation %d before its promotion succeeded", number))
	} else if old != 0 {
		if c.e.Previous != 0 {
			warnings = []string{fmt.Sprintf("generation %d stops being what a rollback goes to; that will be generation %d", c.e.Previous, old)}
		}
		c.move(old, Standby, fmt.Sprintf("generation %d was promoted", number))
		c.e.Previous = old
	}
	c.move(number, Live, reason)
	c.e.Live = number
	return warnings
}

// begin opens a promotion that goes with the next switch, and returns its id.
func (c *change) begin(p Promotion) int64 {
	c.e.LastPromotion++
	p.ID, p.Environment, p.Revision = c.e.LastPromotion, c.e.Name, c.e.Revision+1
	p.Actor, p.StartedAt = c.actor.String(), c.now
	c.promotion(p)
	c.event(EventPromotionStarted, p.Generation, 0,
		map[string]any{"from": p.From, "reason": p.Reason, "paused": p.State == PromotionPaused})
	return p.ID
}

// weightsTo gives everything to one generation and names those that lose their share with 0.
func weightsTo(number int, before Weights) Weights {
	weights := Weights{}
	for _, n := range before.Numbers() {
		weights[n] = 0
	}
	weights[number] = 100
	return weights
}

// expect checks a caller's idea of the present revision; it is looked at before anything else. A heal in between does
// not count: it keeps the route that the caller has seen.
func (e Environment) expect(revision *int64) *Refusal {
	if revision != nil && !e.Keeps(*revision) {
		return e.refuse(RevisionMismatch, "look at what changed, then ask again with the present revision",
			"the environment is at revision %d, not %d", e.Revision, *revision)
	}
	return nil
}
