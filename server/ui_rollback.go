package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/web"
)

func (s *server) rollbackDeed() deed {
	return deed{path: "/environments/{environment}/rollback", action: "environment.rollback", nav: "environments", ask: s.askRollback, do: s.doRollback}
}

// askRollback asks where to go back to. The form says which generation it leaves, and no revision: a rollback is not
// stopped by what somebody else does meanwhile, and two of them come to one.
func (s *server) askRollback(r *http.Request, typed url.Values) (web.Ask, error) {
	e, now, err := s.environment(r.Context(), pathValue(r, "environment"))
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, "Roll back "+e.Name, "/environments/"+e.Name)
	a.Look = web.Rollback
	from := leaves(e)
	if from == 0 {
		a.Submit, a.Refused = "Roll back", "nothing serves yet"
		a.Lead = "No generation of " + e.Name + " was promoted yet, so there is nothing to roll back."
		return a, nil
	}
	to := rollbackGoal(e, r, typed)
	cmd := rollout.RollbackCommand{Actor: actor(r.Context()), From: from, To: to, Force: true}
	a.Hidden = []web.Hidden{{Name: "from", Value: strconv.Itoa(from)}}
	a.Fields = []web.Field{reasonField(typed, false)}
	a.Choices = rollbackChoices(e, now, from, to)
	switch {
	case len(a.Choices) > 0:
		a.Preview = true
		a.Hidden = append(a.Hidden, web.Hidden{Name: "shown", Value: strconv.Itoa(to)})
	case to != 0:
		a.Hidden = append(a.Hidden, web.Hidden{Name: "to", Value: strconv.Itoa(to)})
	}
	a.Submit = "Roll back"
	if to != 0 {
		a.Submit = fmt.Sprintf("Roll back to generation %d", to)
	}
	t, err := e.Rollback(cmd, now)
	if err != nil {
		refusal := offers{}.refused(t, err)
		a.Refused = refusal
		a.Blocked = blockedView(refusals(err))
		return a, nil
	}
	a.Lead = rollbackLead(e, from, t.Answer.Generation)
	a.Plan = planView(e, t.After, now, 0)
	if g, ok := e.Generation(t.Answer.Generation); ok {
		a.Plan.Health = viewed{e: e, now: now}.health(g)
	}
	s.rollbackForce(&a, e, cmd, now, typed, callOf(r.Context()).caller)
	return a, nil
}

// rollbackGoal is where the dialog proposes to go: what was chosen, what the link says, where a rollback goes by
// itself, or the newest standby.
func rollbackGoal(e rollout.Environment, r *http.Request, typed url.Values) int {
	for _, text := range []string{typed.Get("to"), r.URL.Query().Get("to")} {
		if n, err := strconv.Atoi(text); err == nil && n > 0 {
			return n
		}
	}
	if from := leaves(e); from != e.Live {
		return e.Live
	}
	if e.Previous != 0 {
		return e.Previous
	}
	if list := standbys(e); len(list) > 0 {
		return list[0].Number
	}
	return 0
}

// rollbackChoices lists every generation that can be gone back to, when there are several.
func rollbackChoices(e rollout.Environment, now time.Time, from, to int) []web.Choices {
	v := viewed{e: e, now: now}
	list := []web.Choice{}
	add := func(g rollout.Generation, hint string) {
		list = append(list, web.Choice{Value: strconv.Itoa(g.Number), Label: fmt.Sprintf("generation %d, %s", g.Number, g.Version),
			Hint: hint + healthWords(v.health(g)), Chosen: g.Number == to})
	}
	if g, ok := e.Generation(e.Live); ok && from != e.Live {
		add(g, fmt.Sprintf("live: takes back the share of generation %d; ", from))
	}
	for _, g := range standbys(e) {
		if g.Number == from {
			continue
		}
		hint := "standby; "
		if g.Number == e.Previous {
			hint = "standby, the last one that succeeded; "
		}
		add(g, hint)
	}
	if len(list) == 0 || (len(list) == 1 && list[0].Chosen) {
		return []web.Choices{}
	}
	return []web.Choices{{Name: "to", Legend: "Go back to", List: list}}
}

func healthWords(list []web.ServiceHealth) string {
	healthy, total, known := 0, 0, true
	for _, h := range list {
		healthy, total, known = healthy+h.Healthy, total+h.Total, known && h.Known
	}
	if !known {
		return "health not known"
	}
	return fmt.Sprintf("%d of %d healthy", healthy, total)
}

func rollbackLead(e rollout.Environment, from, to int) string {
	switch {
	case from != e.Live && to == e.Live:
		return fmt.Sprintf("All traffic of %s comes back to generation %d; generation %d loses its share.", e.Name, to, from)
	default:
		return fmt.Sprintf("All traffic of %s goes from generation %d back to generation %d, in one step at every load balancer. Automation is held afterwards.", e.Name, e.Live, to)
	}
}

// rollbackForce offers force where the target is known to be dead, to who may; others are told.
func (s *server) rollbackForce(a *web.Ask, e rollout.Environment, cmd rollout.RollbackCommand, now time.Time, typed url.Values, caller Caller) {
	cmd.Force = false
	t, err := e.Rollback(cmd, now)
	if err == nil {
		return
	}
	a.Blocked = blockedView(refusals(err))
	if len(a.Choices) == 0 && !Can(caller, actionForce, e.Name) {
		a.Refused = offers{}.refused(t, err)
		return
	}
	if Can(caller, actionForce, e.Name) {
		a.Ticks = []web.Tickable{{Name: "force", On: typed.Get("force") == "true", Label: "Force: go there although it is not healthy",
			Hint: "Its hosts may answer errors."}}
	}
}

func (s *server) doRollback(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment := pathValue(r, "environment")
	from, err := formNumber(r, "from")
	if err != nil {
		return done{}, err
	}
	to, err := formNumber(r, "to")
	if err != nil {
		return done{}, err
	}
	cmd := rollout.RollbackCommand{Actor: actor(r.Context()), From: from, To: to, Reason: formText(r, "reason"), Force: r.PostForm.Get("force") == "true"}
	if err := refuseForce(r.Context(), cmd.Force, environment); err != nil {
		return done{}, err
	}
	if err := s.checkAsAPI("Rollback", map[string]any{"reason": cmd.Reason}); err != nil {
		return done{}, err
	}
	out, err := s.Service.Rollback(r.Context(), environment, cmd, key)
	return done{environment: environment, revision: out.Revision, changed: out.Changed}, err
}
