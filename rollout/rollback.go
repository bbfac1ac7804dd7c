package rollout

import (
	"fmt"
	"time"
)

// RollbackCommand asks to leave a generation for one that served before. From is the generation to leave, To the one
// to go to; 0 leaves them to the present state. Force goes to a target that is known to be unhealthy.
type RollbackCommand struct {
	Actor            Actor
	From             int
	To               int
	Reason           string
	ExpectedRevision *int64
	Force            bool
}

// Rollback moves all traffic away from a generation in one switch. No lock, freeze, validation age, staging or
// capacity is asked, and nothing of the side that is left: only that there is a target and that it is not known to
// be dead. While a candidate is shifting, it takes the candidate's share back.
func (e Environment) Rollback(cmd RollbackCommand, now time.Time) (Transition, error) {
	if err := e.expect(cmd.ExpectedRevision); err != nil {
		return Transition{}, err
	}
	if err := e.deletedRefusal(); err != nil {
		return Transition{}, err
	}
	if cmd.From != 0 && cmd.From == cmd.To {
		return Transition{}, &Refusal{Code: InvalidRequest, Detail: "from and to are the same generation", Revision: e.Revision,
			Fixes:  []string{"leave out to, or name the generation to go to"},
			Errors: []FieldError{{Pointer: "/to", Detail: "another generation than from"}}}
	}
	if cmd.From != 0 && cmd.From != e.candidate() && !e.Weights.Carries(cmd.From) {
		return e.alreadyLeft(cmd.From)
	}
	number := e.destination(cmd)
	if number != 0 && number == e.Live && e.candidate() == 0 && e.Weights[number] == 100 {
		return Transition{After: e, Answer: Answer{Revision: e.Revision, Generation: number}}, nil
	}
	to, warnings, err := e.rollbackTarget(number, cmd, now)
	if err != nil {
		return Transition{}, err
	}
	return e.rollback(to, warnings, cmd, now), nil
}

// candidate is the generation whose promotion runs and which is not live yet; 0 for none.
func (e Environment) candidate() int {
	if p := e.Promotion; p != nil && p.Generation != e.Live {
		return p.Generation
	}
	return 0
}

// destination is where a rollback goes: back to live when what is left is a share beside it, else to previous.
func (e Environment) destination(cmd RollbackCommand) int {
	switch {
	case cmd.To != 0:
		return cmd.To
	case cmd.From == 0 && e.candidate() != 0, cmd.From != 0 && cmd.From != e.Live:
		return e.Live
	}
	return e.Previous
}

// alreadyLeft answers a rollback from a generation without weight with the switch that took it away.
func (e Environment) alreadyLeft(from int) (Transition, error) {
	g, err := e.target(from)
	if err != nil {
		return Transition{}, err
	}
	if g.UnweightedRevision == 0 {
		return Transition{}, e.refuse(Conflict, "leave out from, or name the generation that serves",
			"generation %d carries no traffic and never did", from)
	}
	return Transition{After: e, Answer: Answer{Revision: g.UnweightedRevision, Generation: e.Live}}, nil
}

// rollbackTarget looks at where a rollback would go, and refuses only a target that cannot serve.
func (e Environment) rollbackTarget(number int, cmd RollbackCommand, now time.Time) (Generation, []string, error) {
	if number == 0 {
		return Generation{}, nil, e.noPrevious()
	}
	g, err := e.target(number)
	if err != nil {
		return Generation{}, nil, err
	}
	if g.State != Standby && g.State != Live {
		r := e.unavailable(fmt.Sprintf("generation %d is %s, and a rollback goes to a standby", g.Number, g.State))
		if g.State == Failed || g.State == Rejected {
			r.Fixes = []string{fmt.Sprintf("validate generation %d, then promote it", g.Number)}
		}
		return Generation{}, nil, r
	}
	warnings, dead := e.rollbackHealth(g, now)
	if dead != "" && (!cmd.Force || cmd.Actor.Kind == ActorSystem) {
		return Generation{}, nil, e.refuse(RollbackTargetUnhealthy, "roll back to another standby, or with force: true",
			"generation %d cannot serve: %s", g.Number, dead)
	}
	if dead != "" {
		warnings = append(warnings, dead)
	}
	return g, warnings, nil
}

// rollbackHealth tells what is not known of the target, and which service is known to have no healthy instance.
func (e Environment) rollbackHealth(g Generation, now time.Time) (warnings []string, dead string) {
	if r := e.missingGroup(g); r != nil {
		warnings = append(warnings, r.Detail+": its hosts will answer 503")
	}
	for _, svc := range e.services(g) {
		r, fresh := e.Reading(g.Number, svc, now)
		switch {
		case !fresh, r.At.Before(g.MembersAt): // it is of members that have left
			warnings = append(warnings, fmt.Sprintf("the health of service %s in generation %d is not known", svc, g.Number))
		case r.Healthy == 0 && r.Unhealthy >= g.Sizes[svc]:
			dead = fmt.Sprintf("service %s has 0 of %d instances healthy%s", svc, g.Sizes[svc], withDetail(r.Detail))
		case r.Healthy < g.Sizes[svc]:
			warnings = append(warnings, fmt.Sprintf("service %s in generation %d has %d of %d instances healthy", svc, g.Number, r.Healthy, g.Sizes[svc]))
		}
	}
	return warnings, dead
}

func (e Environment) rollback(to Generation, warnings []string, cmd RollbackCommand, now time.Time) Transition {
	c := e.change(cmd.Actor, now)
	warnings = append(warnings, e.awayWarnings(now)...)
	s := Switch{Kind: SwitchRollback, From: e.Live, To: to.Number, Reason: cmd.Reason, Warnings: warnings}
	if p := e.Promotion; p != nil {
		s.Promotion = p.ID
	}
	switch candidate := e.candidate(); {
	case to.Number != e.Live:
		c.stopPromotion(cmd.Reason)
		c.move(e.Live, Rejected, reasonOr(cmd.Reason, fmt.Sprintf("rolled back to generation %d", to.Number)))
		c.move(to.Number, Live, reasonOr(cmd.Reason, "rollback"))
		c.e.Live, c.e.Previous = to.Number, 0
	case candidate != 0:
		s.Kind, s.From = SwitchAbort, candidate
		c.stopPromotion(cmd.Reason)
	default: // a standby gives back the share it got by hand; a paused promotion of the live one stays paused
		s.From = e.beside()
		if p := e.Promotion; p != nil {
			paused := *p
			paused.Revision = e.Revision + 1
			c.promotion(paused)
		}
	}
	c.hold(cmd)
	c.switchTo(s, weightsTo(to.Number, e.Weights))
	return c.done(Answer{Revision: c.e.Revision, Changed: true, Generation: to.Number, Warnings: warnings})
}

// stopPromotion ends the open promotion without success; a candidate that is not live is rejected.
func (c *change) stopPromotion(reason string) {
	if c.e.Promotion == nil {
		return
	}
	outcome := PromotionRolledBack
	if candidate := c.e.candidate(); candidate != 0 {
		outcome = PromotionAborted
		c.move(candidate, Rejected, reasonOr(reason, "rolled back while shifting"))
	}
	c.endPromotion(outcome, reason)
}

// beside is the generation that has a share beside the live one; 0 for none.
func (e Environment) beside() int {
	for _, n := range e.Weights.Numbers() {
		if n != e.Live {
			return n
		}
	}
	return 0
}

// noPrevious refuses a rollback that names no target when there is none by itself: nothing was live before, or the
// last rollback used it up. A standby that is still there can be named.
func (e Environment) noPrevious() *Refusal {
	r := e.unavailable("there is no previous generation")
	if g, ok := e.newestStandby(); ok {
		r.Fixes = []string{fmt.Sprintf("roll back to standby generation %d: POST /v1/environments/%s/rollback with {\"to\": %[1]d}", g.Number, e.Name)}
	}
	return r
}

// newestStandby is the standby that served last.
func (e Environment) newestStandby() (newest Generation, ok bool) {
	for _, g := range e.Generations {
		if g.State == Standby && (!ok || g.StateChangedAt.After(newest.StateChangedAt)) {
			newest, ok = g, true
		}
	}
	return newest, ok
}

func (e Environment) unavailable(detail string) *Refusal {
	return e.refuse(RollbackUnavailable, "promote another generation", "%s", detail)
}

func reasonOr(reason, otherwise string) string {
	if reason != "" {
		return reason
	}
	return otherwise
}
