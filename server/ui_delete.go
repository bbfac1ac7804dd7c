package server

import (
	"fmt"
	"net/http"
	"net/url"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/web"
)

func (s *server) deleteDeed() deed {
	return deed{path: "/environments/{environment}/delete", action: "environment.delete", nav: "environments", ask: s.askDelete, do: s.doDelete}
}

func (s *server) askDelete(r *http.Request, typed url.Values) (web.Ask, error) {
	e, now, err := s.environment(r.Context(), pathValue(r, "environment"))
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, "Delete "+e.Name, "/environments/"+e.Name)
	a.Look, a.Submit = web.Danger, "Delete "+e.Name
	a.Lead = "Every generation is retired, and the environment is forgotten when the last one is gone. Its name, numbers and history are kept: made anew, it goes on from there."
	if e.DeletingAt != nil {
		a.Refused = "it is being deleted already"
		return a, nil
	}
	a.Hidden = []web.Hidden{{Name: "spec_version", Value: fmt.Sprint(e.SpecVersion)}}
	cmd := rollout.DeleteCommand{Actor: actor(r.Context()), Force: true}
	if t, err := e.Delete(cmd, now); err != nil {
		a.Refused, a.Blocked = offers{}.refused(t, err), blockedView(refusals(err))
		return a, nil
	} else if e.Live != 0 {
		a.Plan = planView(e, t.After, now, 0)
		a.Plan.After = "Its hosts answer 503 afterwards."
	}
	cmd.Force = false
	if _, err := e.Delete(cmd, now); err != nil {
		a.Blocked = blockedView(refusals(err))
		a.Ticks = []web.Tickable{{Name: "force", On: typed.Get("force") == "true", Label: "Force: take the traffic away from what serves",
			Hint: "One switch to nothing; what is standby is retired with it."}}
	}
	a.Fields = []web.Field{
		{Name: "confirm", Label: "Type the name of the environment: " + e.Name, Value: typed.Get("confirm"), Required: true, Mono: true, Autofocus: true},
		reasonField(typed, false),
	}
	a.Fields[1].Autofocus = false
	return a, nil
}

func (s *server) doDelete(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment := pathValue(r, "environment")
	if formText(r, "confirm") != environment {
		return done{}, invalid("/confirm", "is not the name of the environment")
	}
	reason := formText(r, "reason")
	if err := s.checkAsAPI("PromoteGeneration", map[string]any{"reason": reason}); err != nil { // a reason is one everywhere
		return done{}, err
	}
	version, err := formNumber(r, "spec_version")
	if err != nil {
		return done{}, err
	}
	match := int64(version)
	_, err = s.Service.DeleteEnvironment(r.Context(), environment,
		rollout.DeleteCommand{Actor: actor(r.Context()), Force: r.PostForm.Get("force") == "true", Reason: reason, IfMatch: &match}, key)
	return done{title: environment + " is being deleted", text: "It disappears when its last generation is retired.", back: "/", said: "deleting"}, err
}
