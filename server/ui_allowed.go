package server

import (
	"errors"
	"fmt"
	"time"

	"viridian/rollout"
	"viridian/web"
)

// environmentActions tells what the caller could do in the environment now, and what keeps them from it: their role, or
// what the command itself would be refused with. It depends on nothing but the role, the environment and the time.
func (s *server) environmentActions(caller Caller, e rollout.Environment, now time.Time) web.Actions {
	o := offers{caller: caller, e: e, now: now, base: "/environments/" + e.Name}
	out := web.Actions{
		Rollback: o.rollback(),
		Weights:  o.offer("weights.set", "Set weights", "/weights", o.weightsWhy()),
		Edit:     o.offer("environment.put", "Edit", "/edit", o.deleting()),
		Delete:   o.offer("environment.delete", "Delete environment", "/delete", o.refused(e.Delete(rollout.DeleteCommand{Actor: rollout.System, Force: true}, now))),
		Promote:  map[int]web.Action{}, RollbackTo: map[int]web.Action{}, Validate: map[int]web.Action{},
		Retire: map[int]web.Action{}, Keep: map[int]web.Action{},
	}
	out.Edit.Page, out.Delete.Danger = true, true
	if e.Lock == nil {
		out.Lock = o.offer("lock.set", "Lock", "/lock", o.deleting())
	} else {
		out.Unlock = o.offer("lock.clear", "Unlock", "/unlock", "")
	}
	if e.Hold != nil {
		out.ReleaseAutomation = o.offer("automation.release", "Release automation", "/release-automation", "")
	}
	for _, g := range e.Generations {
		o.generation(g, &out)
	}
	return out
}

// offers makes the actions of one caller in one environment at one time.
type offers struct {
	caller Caller
	e      rollout.Environment
	now    time.Time
	base   string // path of the environment
}

// offer makes an action; why is what the state forbids, empty when it does not.
func (o offers) offer(action Action, label, path, why string) web.Action {
	if !Can(o.caller, action, o.e.Name) {
		why = roleWhy(o.caller, action)
	}
	return web.Action{Label: label, Href: o.base + path, Enabled: why == "", Why: why}
}

// roleWhy says which role an action needs.
func roleWhy(caller Caller, action Action) string {
	if caller.Role.covers(policy[action]) {
		return "your token is not for this"
	}
	return fmt.Sprintf("needs the role %s; yours is %s", policy[action], caller.Role)
}

// refused is the sentence that a command would be refused with.
func (o offers) refused(_ rollout.Transition, err error) string {
	var refusal *rollout.Refusal
	switch {
	case err == nil:
		return ""
	case errors.As(err, &refusal):
		return refusal.Detail
	}
	return err.Error()
}

func (o offers) deleting() string {
	if o.e.DeletingAt != nil {
		return "the environment is being deleted"
	}
	return ""
}

func (o offers) generation(g rollout.Generation, out *web.Actions) {
	n, path := g.Number, fmt.Sprintf("/generations/%d", g.Number)
	switch g.State {
	case rollout.Retiring, rollout.Retired:
		return
	case rollout.Standby:
		out.RollbackTo[n] = o.offer("environment.rollback", fmt.Sprintf("Roll back to generation %d", n), fmt.Sprintf("/rollback?to=%d", n), o.rollbackWhy(n))
	case rollout.Live:
		if o.e.Weights[n] == 100 && (o.e.Promotion == nil || o.e.Promotion.State != rollout.PromotionPaused) {
			return
		}
		out.Promote[n] = o.offer("generation.promote", "Take all traffic back", path+"/promote", o.promoteWhy(n))
		return
	default:
		out.Promote[n] = o.offer("generation.promote", fmt.Sprintf("Promote generation %d", n), path+"/promote", o.promoteWhy(n))
	}
	if g.State == rollout.Ready || g.State == rollout.Failed || g.State == rollout.Rejected {
		out.Validate[n] = o.offer("generation.validate", "Validate again", path+"/validate",
			o.refused(o.e.Validate(rollout.ValidateCommand{Actor: rollout.System, Generation: n}, o.now)))
	}
	if _, ends := o.e.KeptUntil(g); ends {
		out.Keep[n] = o.offer("retention.set", "Keep longer", path+"/keep", o.deleting())
	}
	retire := o.offer("generation.retire", "Retire", path+"/retire",
		o.refused(o.e.Retire(rollout.RetireCommand{Actor: rollout.System, Generation: n}, o.now)))
	retire.Danger = true
	out.Retire[n] = retire
}

// promoteWhy is what keeps a generation from being promoted that nothing in its dialog could lift.
func (o offers) promoteWhy(number int) string {
	plan, err := o.e.Plan(rollout.PromoteCommand{Actor: rollout.System, Generation: number, Supersede: true,
		Force: Can(o.caller, actionForce, o.e.Name)}, o.now)
	if err != nil {
		return o.refused(rollout.Transition{}, err)
	}
	if len(plan.Blocked) == 0 {
		return ""
	}
	first := plan.Blocked[0]
	g, _ := o.e.Generation(number)
	if first.Code == rollout.GenerationNotReady && (g.State == rollout.Registered || g.State == rollout.Validating) {
		return fmt.Sprintf("generation %d is %s", number, g.State) // what it waits for stands beside the button
	}
	return first.Detail
}

// rollback is offered always; with a standby to choose from it can be opened even where it goes nowhere by itself.
func (o offers) rollback() web.Action {
	label, why := "Roll back", o.rollbackWhy(0)
	if ready := o.e.Readiness(o.now); ready.Generation != 0 {
		label = fmt.Sprintf("Roll back to generation %d", ready.Generation)
	}
	return o.offer("environment.rollback", label, "/rollback", why)
}

// rollbackWhy is what keeps a rollback to the generation, 0 for where it goes by itself, from being done at all.
func (o offers) rollbackWhy(to int) string {
	from := leaves(o.e)
	if from == 0 {
		return "nothing serves yet"
	}
	cmd := rollout.RollbackCommand{Actor: rollout.Actor{Kind: rollout.ActorToken}, From: from, To: to, Force: Can(o.caller, actionForce, o.e.Name)}
	t, err := o.e.Rollback(cmd, o.now)
	if err == nil && !t.Answer.Changed {
		return fmt.Sprintf("all traffic is at generation %d already", o.e.Live)
	}
	if isRefusal(err, rollout.RollbackUnavailable) && to == 0 && len(standbys(o.e)) > 0 {
		return "" // the dialog lets one be named
	}
	return o.refused(t, err)
}

// weightsWhy is what keeps weights from being set by hand.
func (o offers) weightsWhy() string {
	switch {
	case o.deleting() != "":
		return o.deleting()
	case o.e.Live == 0:
		return "nothing is live yet"
	case o.e.Lock != nil:
		return fmt.Sprintf("%s locked the environment: %s", o.e.Lock.By, o.e.Lock.Reason)
	case len(partners(o.e)) == 0 && len(o.e.Weights.Numbers()) < 2:
		return "there is no other generation to share the traffic with"
	}
	return ""
}

// leaves is the generation that a rollback leaves: one that is on its way in, or has a share by hand, else the live one.
func leaves(e rollout.Environment) int {
	if p := e.Promotion; p != nil && p.Generation != e.Live {
		return p.Generation
	}
	for _, n := range e.Weights.Numbers() {
		if n != e.Live {
			return n
		}
	}
	return e.Live
}

// standbys lists the generations that a rollback may name, the newest first.
func standbys(e rollout.Environment) []rollout.Generation {
	var out []rollout.Generation
	for i := len(e.Generations) - 1; i >= 0; i-- {
		if e.Generations[i].State == rollout.Standby {
			out = append(out, e.Generations[i])
		}
	}
	return out
}

// partners lists the generations that may share the traffic with the live one, the newest first.
func partners(e rollout.Environment) []rollout.Generation {
	var out []rollout.Generation
	for i := len(e.Generations) - 1; i >= 0; i-- {
		switch e.Generations[i].State {
		case rollout.Ready, rollout.Shifting, rollout.Standby:
			out = append(out, e.Generations[i])
		}
	}
	return out
}
