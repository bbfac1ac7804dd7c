package rollout

import (
	"strconv"
	"time"
)

// Transition is what a command or observation changes: the environment as it will be, and what to write for it. The
// store writes all of it, with the events, in one transaction, or nothing.
type Transition struct {
	// After is the aggregate after the change. The store writes its own columns from it.
	After Environment
	// Moves are the state changes, in order; the store refuses one whose From is not the state it finds.
	Moves []Move
	// Changed lists the generations with any changed field, Moves included.
	Changed []int
	// Registered is the new generation of a Register, else nil.
	Registered *Generation
	// Adopted are the groups that a generation has adopted, else nil.
	Adopted *Adopted
	// Members are the groups that got other members.
	Members []Members
	// NewSwitch is the switch to insert, else nil; UpdatedSwitches are those whose progress changed.
	NewSwitch       *Switch
	UpdatedSwitches []Switch
	// Promotions are those that began or changed; insert or update by id.
	Promotions []Promotion
	// SpecChanged is true when the spec has a new version to keep.
	SpecChanged bool
	// Touched is true when what the environment remembers of its registry has changed.
	Touched bool
	// Facts are the observations that led here, to be written as they are.
	Facts  Facts
	Events []Event
	Answer Answer
}

// Empty says whether there is nothing to write.
func (t Transition) Empty() bool {
	return len(t.Events) == 0 && len(t.Changed) == 0 && !t.SpecChanged && !t.Touched && t.Facts.Empty()
}

// Move is one change of a generation's state.
type Move struct {
	Generation int
	From, To   GenerationState
}

// Answer is what a command tells its caller.
type Answer struct {
	Revision   int64 // of the switch that answers the command; 0 for none
	Changed    bool
	Generation int // the generation that answers the command; 0 for none
	Warnings   []string
}

// change builds a Transition step by step on a copy of the environment.
type change struct {
	e     Environment
	t     Transition
	now   time.Time
	actor Actor
}

func (e Environment) change(actor Actor, now time.Time) *change {
	e.Generations = append([]Generation(nil), e.Generations...)
	return &change{e: e, now: now, actor: actor}
}

// done finishes the transition.
func (c *change) done(answer Answer) Transition {
	c.t.After = c.e
	c.t.Answer = answer
	return c.t
}

func (c *change) event(kind string, generation int, revision int64, data map[string]any) {
	c.t.Events = append(c.t.Events, Event{Environment: c.e.Name, Kind: kind, Actor: c.actor.String(), At: c.now,
		Revision: revision, Generation: generation, Data: data})
}

// edit gives the generation to fn for changing and notes that it must be written.
func (c *change) edit(number int, fn func(g *Generation)) {
	for i := range c.e.Generations {
		if c.e.Generations[i].Number != number {
			continue
		}
		fn(&c.e.Generations[i])
		for _, n := range c.t.Changed {
			if n == number {
				return
			}
		}
		c.t.Changed = append(c.t.Changed, number)
		return
	}
}

// move changes a generation's state; a move that the table does not have is a fault of this package and panics.
func (c *change) move(number int, to GenerationState, reason string) {
	c.edit(number, func(g *Generation) {
		if !g.State.CanMove(to) {
			panic("rollout: no move from " + string(g.State) + " to " + string(to))
		}
		c.t.Moves = append(c.t.Moves, Move{Generation: number, From: g.State, To: to})
		data := map[string]any{"from": string(g.State)}
		if reason != "" {
			data["reason"] = reason
		}
		g.State, g.StateChangedAt, g.Reason, g.KeepUntil, g.Waiting = to, c.now, reason, nil, ""
		if to != Validating && to != Ready {
			g.Promote = false
		}
		g.Announced = g.Announced || to == Retiring
		c.event("generation."+string(to), number, 0, data)
	})
}

// promotion notes the promotion for writing and keeps it as the open one while it is open. A move that the table does
// not have, or a second open one, is a fault of this package and panics.
func (c *change) promotion(p Promotion) {
	if old := c.e.Promotion; old != nil && (old.ID != p.ID || (old.State != p.State && !old.State.CanMove(p.State))) {
		panic("rollout: no promotion move from " + string(old.State) + " to " + string(p.State))
	}
	if p.State.Open() {
		c.e.Promotion = &p
	} else {
		c.e.Promotion = nil
	}
	for i := range c.t.Promotions {
		if c.t.Promotions[i].ID == p.ID {
			c.t.Promotions[i] = p
			return
		}
	}
	c.t.Promotions = append(c.t.Promotions, p)
}

// endPromotion closes the open promotion, if there is one.
func (c *change) endPromotion(state PromotionState, reason string) {
	if c.e.Promotion == nil {
		return
	}
	p := *c.e.Promotion
	p.State, p.Reason, p.EndedAt = state, reasonOr(reason, p.Reason), &c.now
	c.promotion(p)
	c.event(EventPromotionEnded, p.Generation, 0, map[string]any{"outcome": string(state), "reason": reason})
}

// switchTo commits a new route: revision + 1 (of a recover, the caller has lifted it to the highest known). States, Live and Previous of c.e are set by the caller before it.
func (c *change) switchTo(s Switch, weights Weights) {
	if c.e.Switch != nil && c.e.Switch.Status == Committed {
		old := *c.e.Switch
		old.Status = SwitchSuperseded
		c.t.UpdatedSwitches = append(c.t.UpdatedSwitches, old)
		c.event(EventSwitchSuperseded, 0, old.Revision, nil)
	}
	before := c.e.Weights
	c.e.Revision++
	c.e.Weights = weights
	for _, g := range c.e.Generations {
		had, has := before.Carries(g.Number), weights.Carries(g.Number)
		switch {
		case had && !has:
			c.edit(g.Number, func(g *Generation) { g.UnweightedRevision, g.QuietAt = c.e.Revision, nil })
		case !had && has:
			c.edit(g.Number, func(g *Generation) { g.UnweightedRevision, g.QuietAt = 0, nil })
		}
	}
	s.Environment, s.Revision, s.Status, s.Weights = c.e.Name, c.e.Revision, Committed, weights
	s.Actor, s.CommittedAt = c.actor.String(), c.now
	c.e.Switch = &s
	c.t.NewSwitch = &s
	c.event(EventSwitchCommitted, s.To, s.Revision,
		map[string]any{"kind": string(s.Kind), "from": s.From, "to": s.To, "weights": shares(weights), "reason": s.Reason})
}

// shares are weights as events show them.
func shares(weights Weights) map[string]any {
	out := map[string]any{}
	for n, share := range weights {
		out[strconv.Itoa(n)] = share
	}
	return out
}
