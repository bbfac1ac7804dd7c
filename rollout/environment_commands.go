package rollout

import (
	"reflect"
	"time"
)

// PutCommand asks to create an environment or to replace its spec. IfMatch, when set, is the spec version that the
// caller has seen.
type PutCommand struct {
	Actor   Actor
	Name    string
	Spec    Spec
	IfMatch *int64
}

// Create makes a new environment of the name, or takes up a deleted one: its revisions and numbers go on.
func (e Environment) Create(cmd PutCommand, now time.Time) (Transition, error) {
	if e.Name != "" && e.DeletedAt == nil {
		if e.DeletingAt != nil {
			return Transition{}, e.deletedRefusal()
		}
		return Transition{}, e.refuse(Conflict, "PUT replaces its spec", "environment %s exists", e.Name)
	}
	if cmd.IfMatch != nil {
		return Transition{}, e.refuse(PreconditionFailed, "leave If-Match out to create it", "environment %s does not exist", cmd.Name)
	}
	if err := e.checkCatalogNames(cmd.Name, cmd.Spec); err != nil {
		return Transition{}, err
	}
	c := Environment{Name: cmd.Name, Spec: cmd.Spec, SpecVersion: e.SpecVersion + 1, CreatedAt: now, UpdatedAt: now,
		LastNumber: e.LastNumber, LastPromotion: e.LastPromotion, Revision: e.Revision, Weights: Weights{}, Timing: e.Timing, Required: e.Required, Undivided: e.Undivided, Finders: e.Finders,
	}.change(cmd.Actor, now)
	c.t.SpecChanged = true
	c.event(EventEnvironmentCreated, 0, 0, map[string]any{"spec_version": c.e.SpecVersion})
	return c.done(Answer{Changed: true}), nil
}

// Replace gives the environment a new version of its spec. While a promotion runs, services, routers and registry
// stay as they are, no host may go to a service that the live generation cannot answer for, and no router is left out
// while its nodes know a generation. What is ready is validated again when what it was checked by has changed.
func (e Environment) Replace(cmd PutCommand, now time.Time) (Transition, error) {
	if err := e.deletedRefusal(); err != nil {
		return Transition{}, err
	}
	if cmd.IfMatch != nil && *cmd.IfMatch != e.SpecVersion {
		return Transition{}, e.refuse(PreconditionFailed, "GET it again, and put your change on top of that",
			"the spec is at version %d, not %d", e.SpecVersion, *cmd.IfMatch)
	}
	if reflect.DeepEqual(e.Spec, cmd.Spec) {
		return Transition{After: e}, nil
	}
	wiring := !reflect.DeepEqual(e.Spec.Services, cmd.Spec.Services) || !reflect.DeepEqual(e.Spec.Routers, cmd.Spec.Routers) ||
		e.Spec.Registry != cmd.Spec.Registry
	if p := e.Promotion; p != nil && wiring {
		return Transition{}, e.refuse(PromotionInProgress, "wait until it is over, or roll it back",
			"services, hosts, routers and registry stay while the promotion of generation %d is %s", p.Generation, p.State)
	}
	if err := e.checkFound(cmd.Spec); err != nil {
		return Transition{}, err
	}
	if n, generation := e.droppedNode(cmd.Spec); generation != 0 {
		return Transition{}, e.refuse(Conflict, "keep the router, or retire what it knows first; nodes that are gone for good are taken out with DELETE /v1/routers/"+n.Router+"/nodes/{node}",
			"router %s would not be told of switches any more, and its node %s still knows generation %d", n.Router, n.Name, generation)
	}
	if host, svc := e.strandedHost(cmd.Spec); host != "" {
		return Transition{}, e.refuse(Conflict, "promote a generation that has instances of that service first, or give the service another host",
			"host %s would go to service %s, of which live generation %d has no instances", host, svc, e.Live)
	}
	c := e.change(cmd.Actor, now)
	before := c.e.Spec
	c.e.Neighbours = nil
	c.e.Spec, c.e.SpecVersion, c.e.UpdatedAt, c.t.SpecChanged = cmd.Spec, e.SpecVersion+1, now, true
	c.event(EventEnvironmentUpdated, 0, 0, map[string]any{"spec_version": c.e.SpecVersion})
	if before.Registry != cmd.Spec.Registry { // what it was announced in is swept
		for _, g := range e.Generations {
			if g.State.Holds() && g.Announced {
				c.edit(g.Number, func(g *Generation) { g.Announced = false })
			}
		}
	}
	if wiring || !reflect.DeepEqual(before.Validation, cmd.Spec.Validation) {
		for _, g := range e.Generations {
			if g.State == Ready {
				c.startValidation(g.Number, "the validation plan changed")
			}
		}
	}
	return c.done(Answer{Changed: true}), nil
}

// strandedHost finds a host that the live generation answers now and could not answer by the other spec, with the
// service that would get it. A host that the spec gives up altogether is meant to go.
func (e Environment) strandedHost(spec Spec) (host, service string) {
	live, _ := e.Generation(e.Live)
	served := map[string]bool{}
	for _, svc := range e.services(live) {
		known, _ := e.Spec.Service(svc)
		for _, h := range e.Spec.EffectiveHosts(e.Name, known) {
			served[h] = true
		}
	}
	for _, svc := range spec.Services {
		for _, h := range spec.EffectiveHosts(e.Name, svc) {
			if served[h] && live.Sizes[svc.Name] == 0 {
				return h, svc.Name
			}
		}
	}
	return "", ""
}

// DeleteCommand asks to delete an environment. Force also takes the traffic away from what still serves. IfMatch, when
// set, is the spec version that the caller has seen.
type DeleteCommand struct {
	Actor   Actor
	Force   bool
	Reason  string
	IfMatch *int64
}

// Delete retires everything and forgets the environment when that is done. Its name, numbers and revisions are kept.
// A lock refuses it, with force too; what still serves or is standby refuses it without force.
func (e Environment) Delete(cmd DeleteCommand, now time.Time) (Transition, error) {
	if e.DeletingAt != nil {
		return Transition{After: e}, nil
	}
	if cmd.IfMatch != nil && *cmd.IfMatch != e.SpecVersion {
		return Transition{}, e.refuse(PreconditionFailed, "GET it again, and decide again",
			"the spec is at version %d, not %d", e.SpecVersion, *cmd.IfMatch)
	}
	if e.Lock != nil {
		return Transition{}, e.locked()
	}
	for _, g := range e.Generations {
		if serving := g.State == Live || g.State == Shifting || g.State == Standby; serving && !cmd.Force {
			return Transition{}, e.refuse(Conflict, "retire what is standby; an admin may delete with force=true, which takes the traffic away",
				"generation %d is %s", g.Number, g.State)
		}
	}
	c := e.change(cmd.Actor, now)
	c.e.DeletingAt, c.e.UpdatedAt = &now, now
	c.event(EventEnvironmentDeleted, 0, 0, map[string]any{"force": cmd.Force, "reason": cmd.Reason})
	c.stopPromotion("the environment is deleted")
	c.e.Live, c.e.Previous = 0, 0
	answer := Answer{Changed: true}
	if e.Live != 0 {
		answer.Revision = e.Revision + 1
		c.move(e.Live, Rejected, "the environment is deleted")
		c.switchTo(Switch{Kind: SwitchManual, From: e.Live, Reason: reasonOr(cmd.Reason, "the environment is deleted")}, Weights{})
	}
	for _, g := range c.e.Generations {
		if g.State != Retiring && g.State != Retired {
			c.move(g.Number, Retiring, "the environment is deleted")
		}
	}
	c.finishDeletion()
	return c.done(answer), nil
}
