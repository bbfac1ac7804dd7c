package rollout

import (
	"fmt"
	"time"
)

// promoteBlocks lists everything that keeps the generation from being promoted now, the gravest first. Promote
// refuses with the first; a plan shows all. Of a generation whose state allows no promote, what is known of its
// instances is left out: it will be another when the state does.
func (e Environment) promoteBlocks(g Generation, cmd PromoteCommand, now time.Time) []*Refusal {
	var out []*Refusal
	state := e.stateBlock(g, now)
	if state != nil {
		out = append(out, state)
	}
	if e.Lock != nil {
		out = append(out, e.locked())
	}
	if p := e.Promotion; p != nil && p.Generation != g.Number && !cmd.Supersede {
		out = append(out, e.refuse(PromotionInProgress, "wait until it is applied, roll it back, or promote with supersede: true",
			"the promotion of generation %d is %s%s", p.Generation, p.State, withDetail(e.notApplied(now))))
	}
	if state != nil {
		return out
	}
	if g.Number != e.Live && g.Checked.Expired(e.Spec.Validation.ValidFor.Std(), now) && !cmd.Force {
		out = append(out, e.refuse(ValidationExpired, fmt.Sprintf("validate generation %d again", g.Number),
			"the last validation of generation %d is older than %s", g.Number, e.Spec.Validation.ValidFor))
	}
	if ok, why := e.StagedEverywhere(g.Number, now); !ok {
		out = append(out, e.refuse(NodeNotStaged, "wait for the node, or take it out with DELETE /v1/routers/{router}/nodes/{node}",
			"generation %d is not staged everywhere: %s", g.Number, why))
	}
	if r := e.mismatchBlock(g); r != nil && !cmd.Force {
		out = append(out, r)
	}
	if r := e.healthBlock(g, now); r != nil {
		out = append(out, r)
	}
	if r := e.capacityBlock(g, now); r != nil && !cmd.Force {
		out = append(out, r)
	}
	return out
}

// stateBlock refuses generations that no promote can make live from where they are.
func (e Environment) stateBlock(g Generation, now time.Time) *Refusal {
	n := g.Number
	switch g.State {
	case Ready, Live, Shifting:
		return e.missingGroup(g)
	case Standby:
		return e.refuse(Conflict, fmt.Sprintf("roll back to it: POST /v1/environments/%s/rollback with {\"to\": %d}", e.Name, n),
			"generation %d is standby: it served before", n)
	case Failed, Rejected:
		return e.refuse(GenerationNotReady, fmt.Sprintf("validate it again: POST /v1/environments/%s/generations/%d/validate", e.Name, n),
			"generation %d is %s: %s", n, g.State, g.Reason)
	case Retiring, Retired:
		return e.refuse(GenerationNotReady, "register a new generation; what ran is never used again",
			"generation %d is %s", n, g.State)
	}
	return e.refuse(GenerationNotReady, fmt.Sprintf("wait until GET /v1/environments/%s/generations/%d shows it ready", e.Name, n),
		"generation %d is %s%s", n, g.State, withDetail(e.WaitsFor(g, now)))
}

// missingGroup refuses a generation that has no group for a service, which the spec may have got since.
func (e Environment) missingGroup(g Generation) *Refusal {
	for _, svc := range e.Spec.Services {
		if g.Sizes[svc.Name] == 0 {
			return e.refuse(GenerationNotReady, "register a new generation with a group for each service",
				"generation %d has no group for service %s", g.Number, svc.Name)
		}
	}
	return nil
}

// healthBlock asks for fresh health and min_healthy_percent of every service.
func (e Environment) healthBlock(g Generation, now time.Time) *Refusal {
	for _, svc := range e.services(g) {
		r, fresh := e.Reading(g.Number, svc, now)
		if !fresh {
			return e.refuse(GenerationNotReady, "wait for the next reading; is the registry reachable, and is a Viridian at work?",
				"the health of service %s in generation %d is not known for the last %s%s", svc, g.Number, e.Timing.Freshness, withDetail(e.TroubleText()))
		}
		if size := g.Sizes[svc]; r.Healthy == 0 || r.Healthy*100 < e.Spec.Validation.MinHealthyPercent*size {
			return e.refuse(GenerationNotReady, "mend or wait for the instances; GET the generation for details",
				"service %s has %d of %d instances healthy, and needs %d %%%s", svc, r.Healthy, size,
				e.Spec.Validation.MinHealthyPercent, withDetail(r.Detail))
		}
	}
	return nil
}

// capacityBlock compares healthy instances with those of the live generation. Without one there is no measure.
func (e Environment) capacityBlock(g Generation, now time.Time) *Refusal {
	live, ok := e.Generation(e.Live)
	if !ok || live.Number == g.Number {
		return nil
	}
	for _, svc := range e.services(live) {
		have, _ := e.Reading(g.Number, svc, now)
		base, known := e.Reading(live.Number, svc, now)
		if !known {
			base.Healthy = live.Sizes[svc] // live's health is unknown: measure against all of it
		}
		if need := base.Healthy * e.Spec.Validation.MinCapacityPercent; have.Healthy*100 < need {
			return e.refuse(CapacityTooLow, "start more instances and register a new generation, or promote with force",
				"service %s has %d healthy instances, and live generation %d has %d: at least %d %% of that are needed",
				svc, have.Healthy, live.Number, base.Healthy, e.Spec.Validation.MinCapacityPercent)
		}
	}
	return nil
}

func withDetail(detail string) string {
	if detail == "" {
		return ""
	}
	return " (" + detail + ")"
}
