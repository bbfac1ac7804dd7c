package server

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/web"
)

func (s *server) promoteDeed() deed {
	return deed{path: "/environments/{environment}/generations/{number}/promote", action: "generation.promote", nav: "environments",
		ask: s.askPromote, do: s.doPromote}
}

func (s *server) askPromote(r *http.Request, typed url.Values) (web.Ask, error) {
	e, now, number, err := s.generationAt(r)
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, fmt.Sprintf("Promote generation %d of %s", number, e.Name), "/environments/"+e.Name)
	a.Submit = fmt.Sprintf("Promote generation %d", number)
	cmd := rollout.PromoteCommand{Actor: actor(r.Context()), Generation: number, Supersede: typed.Get("supersede") == "true", Force: typed.Get("force") == "true"}
	plan, err := e.Plan(cmd, now)
	if err != nil {
		return web.Ask{}, err
	}
	a.Lead = promoteLead(e, number)
	a.Hidden = []web.Hidden{{Name: "expected_revision", Value: strconv.FormatInt(e.Revision, 10)}}
	a.Winner = winnerView(e, typed)
	a.Fields = []web.Field{reasonField(typed, false)}
	if plan.Promotable && plan.Revision == plan.CurrentRevision {
		a.Lead = fmt.Sprintf("Generation %d is live and has all the traffic: there is nothing to do.", number)
		a.Refused = "nothing would change"
		a.Fields = nil
		return a, nil
	}
	a.Plan = promotePlan(e, plan, cmd, now)
	s.liftable(&a, e, cmd, now, callOf(r.Context()).caller)
	return a, nil
}

// liftable lists what blocks the promote, with ticks for what the caller may lift, and refuses the rest.
func (s *server) liftable(a *web.Ask, e rollout.Environment, cmd rollout.PromoteCommand, now time.Time, caller Caller) {
	blocked := func(supersede, force bool) []*rollout.Refusal {
		tried := cmd
		tried.Supersede, tried.Force = supersede, force
		plan, err := e.Plan(tried, now)
		if err != nil {
			return nil
		}
		return plan.Blocked
	}
	plain := blocked(false, false)
	a.Blocked = blockedView(plain)
	mayForce := Can(caller, actionForce, e.Name)
	if has(plain, rollout.PromotionInProgress) {
		a.Ticks = append(a.Ticks, web.Tickable{Name: "supersede", On: cmd.Supersede, Label: "Supersede the promotion that is running",
			Hint: supersedeHint(e)})
	}
	if mayForce && len(blocked(true, true)) < len(blocked(true, false)) {
		a.Ticks = append(a.Ticks, web.Tickable{Name: "force", On: cmd.Force, Label: "Force: skip capacity and the age of the validation",
			Hint: "The lock, staging and health are never skipped."})
	}
	if rest := blocked(true, mayForce); len(rest) > 0 {
		a.Refused = rest[0].Detail
	}
}

func supersedeHint(e rollout.Environment) string {
	if e.Promotion == nil {
		return ""
	}
	return fmt.Sprintf("Generation %d is rejected then; a rollback goes on going to the last one that succeeded.", e.Promotion.Generation)
}

func has(refusals []*rollout.Refusal, code rollout.Code) bool {
	return slices.ContainsFunc(refusals, func(r *rollout.Refusal) bool { return r.Code == code })
}

func promoteLead(e rollout.Environment, number int) string {
	if e.Live == 0 {
		return fmt.Sprintf("All traffic of %s goes to generation %d, in one step at every load balancer. Nothing served before, so there is nothing to roll back to yet.", e.Name, number)
	}
	if e.Live == number {
		return fmt.Sprintf("All traffic of %s comes back to generation %d.", e.Name, number)
	}
	return fmt.Sprintf("All traffic of %s goes from generation %d to generation %d, in one step at every load balancer. Generation %d is kept warm for a rollback.", e.Name, e.Live, number, e.Live)
}

// promotePlan draws the plan; what a blocked promote would come to is drawn as far as it is known.
func promotePlan(e rollout.Environment, plan rollout.Plan, cmd rollout.PromoteCommand, now time.Time) *web.Plan {
	after := e
	if t, err := e.Promote(cmd, now); err == nil {
		after = t.After
	} else {
		after.Weights, after.Previous = rollout.Weights{cmd.Generation: 100}, plan.RollbackTarget
	}
	out := planView(e, after, now, cmd.Generation)
	if g, ok := e.Generation(cmd.Generation); ok {
		out.Health = viewed{e: e, now: now}.health(g)
	}
	for _, warning := range plan.Warnings {
		out.Warnings = append(out.Warnings, web.Sentence(warning))
	}
	return out
}

func (s *server) doPromote(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment := pathValue(r, "environment")
	number, err := pathNumber(r)
	if err != nil {
		return done{}, err
	}
	revision, err := formRevision(r)
	if err != nil {
		return done{}, err
	}
	cmd := rollout.PromoteCommand{Actor: actor(r.Context()), Generation: number, Reason: formText(r, "reason"), ExpectedRevision: revision,
		Supersede: r.PostForm.Get("supersede") == "true", Force: r.PostForm.Get("force") == "true"}
	if err := refuseForce(r.Context(), cmd.Force, environment); err != nil {
		return done{}, err
	}
	if err := s.checkAsAPI("PromoteGeneration", map[string]any{"reason": cmd.Reason}); err != nil {
		return done{}, err
	}
	out, err := s.Service.PromoteGeneration(r.Context(), environment, cmd, key)
	return done{environment: environment, revision: out.Revision, changed: out.Changed}, err
}

// generationAt loads what the path names.
func (s *server) generationAt(r *http.Request) (rollout.Environment, time.Time, int, error) {
	number, err := pathNumber(r)
	if err != nil {
		return rollout.Environment{}, time.Time{}, 0, err
	}
	e, now, err := s.environment(r.Context(), pathValue(r, "environment"))
	if err != nil {
		return e, now, number, err
	}
	if _, ok := e.Generation(number); !ok {
		g, err := s.Store.Generation(r.Context(), e.Name, number)
		if err != nil {
			return e, now, number, err
		}
		e.Generations = append(slices.Clone(e.Generations), g) // a retired one, which commands look at too
	}
	return e, now, number, nil
}

func reasonField(typed url.Values, required bool) web.Field {
	hint := "Stands in the history and in the audit log."
	return web.Field{Name: "reason", Label: "Reason", Value: typed.Get("reason"), Hint: hint, Required: required, Autofocus: true}
}

// winnerView is the switch that somebody made after the person had looked; nil when nobody did.
func winnerView(e rollout.Environment, typed url.Values) *web.Switch {
	seen := typed.Get("expected_revision")
	if seen == "" || seen == strconv.FormatInt(e.Revision, 10) || e.Switch == nil {
		return nil
	}
	out := switchView(*e.Switch, viewed{e: e}.shares)
	return &out
}
