package server

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/web"
)

// firstShare is what the dialog proposes for a generation without a share, in percent.
const firstShare = 10

func (s *server) weightsDeed() deed {
	return deed{path: "/environments/{environment}/weights", action: "weights.set", nav: "environments", ask: s.askWeights, do: s.doWeights}
}

func (s *server) askWeights(r *http.Request, typed url.Values) (web.Ask, error) {
	e, now, err := s.environment(r.Context(), pathValue(r, "environment"))
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, "Set weights of "+e.Name, "/environments/"+e.Name)
	a.Submit, a.Preview = "Set weights", true
	a.Lead = "Shares the traffic by hand between the live generation and one other. To give a generation everything, promote it or roll back to it."
	a.Hidden = []web.Hidden{{Name: "expected_revision", Value: strconv.FormatInt(e.Revision, 10)}}
	a.Winner = winnerView(e, typed)
	if why := (offers{caller: callOf(r.Context()).caller, e: e, now: now}).weightsWhy(); why != "" {
		a.Refused = why
		if _, err := e.SetWeights(rollout.WeightsCommand{Actor: actor(r.Context()), Weights: e.Weights}, now); isRefusal(err, rollout.EnvironmentLocked) {
			a.Blocked = blockedView(refusals(err))
		}
		return a, nil
	}
	other, share := proposedShare(e, typed)
	v := viewed{e: e, now: now}
	var list []web.Choice
	for _, g := range partners(e) {
		list = append(list, web.Choice{Value: strconv.Itoa(g.Number), Label: fmt.Sprintf("generation %d, %s", g.Number, g.Version),
			Hint: fmt.Sprintf("%s; %s", g.State, healthWords(v.health(g))), Chosen: g.Number == other})
	}
	a.Choices = []web.Choices{{Name: "other", Legend: "Beside generation " + strconv.Itoa(e.Live), List: list}}
	a.Fields = []web.Field{
		{Name: "share", Label: "Its share in percent", Value: share, Type: "number", Required: true, Autofocus: true,
			Hint: fmt.Sprintf("0 to 99; generation %d gets the rest.", e.Live)},
		reasonField(typed, false),
	}
	a.Fields[1].Autofocus = false
	percent, notNumber := strconv.Atoi(share)
	if notNumber != nil { // said beside the field when it is sent
		return a, nil //nolint:nilerr // the form is shown all the same
	}
	t, err := e.SetWeights(rollout.WeightsCommand{Actor: actor(r.Context()), Weights: weightsBeside(e.Live, other, percent)}, now)
	if err != nil {
		a.Blocked = blockedView(refusals(err))
		return a, nil
	}
	a.Plan = planView(e, t.After, now, other)
	return a, nil
}

// proposedShare is what was typed, else the share that a generation beside the live one has, else a small one.
func proposedShare(e rollout.Environment, typed url.Values) (other int, share string) {
	other, _ = strconv.Atoi(typed.Get("other")) // an unreadable one is none
	for _, n := range e.Weights.Numbers() {
		if n != e.Live && other == 0 {
			other = n
		}
	}
	if list := partners(e); other == 0 && len(list) > 0 {
		other = list[0].Number
	}
	switch {
	case typed.Get("share") != "":
		return other, typed.Get("share")
	case e.Weights[other] > 0:
		return other, strconv.Itoa(e.Weights[other])
	}
	return other, strconv.Itoa(firstShare)
}

// weightsBeside are the weights that leave the live generation the rest.
func weightsBeside(live, other, share int) rollout.Weights {
	out := rollout.Weights{live: 100}
	if other != 0 && share != 0 {
		out[live], out[other] = 100-share, share
	}
	return out
}

func (s *server) doWeights(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment := pathValue(r, "environment")
	revision, err := formRevision(r)
	if err != nil {
		return done{}, err
	}
	other, err := formNumber(r, "other")
	if err != nil {
		return done{}, err
	}
	share, err := formNumber(r, "share")
	if err != nil {
		return done{}, err
	}
	if share < 0 || share > 99 || r.PostForm.Get("share") == "" {
		return done{}, invalid("/share", "must be 0 to 99; to give it everything, promote it")
	}
	e, _, err := s.environment(r.Context(), environment)
	if err != nil {
		return done{}, err
	}
	cmd := rollout.WeightsCommand{Actor: actor(r.Context()), Weights: weightsBeside(e.Live, other, share), Reason: formText(r, "reason"), ExpectedRevision: revision}
	if err := s.checkAsAPI("SetWeights", map[string]any{"weights": weightsOf(cmd.Weights), "reason": cmd.Reason}); err != nil {
		return done{}, err
	}
	out, err := s.Service.SetWeights(r.Context(), environment, cmd, key)
	return done{environment: environment, revision: out.Revision, changed: out.Changed}, err
}
