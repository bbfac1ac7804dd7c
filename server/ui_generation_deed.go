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

func itoa(n int) string { return strconv.Itoa(n) }

func generationPage(environment string, number int) string {
	return fmt.Sprintf("/environments/%s/generations/%d", environment, number)
}

func (s *server) validateDeed() deed {
	return deed{path: "/environments/{environment}/generations/{number}/validate", action: "generation.validate", nav: "environments",
		ask: s.askValidate, do: s.doValidate}
}

func (s *server) askValidate(r *http.Request, _ url.Values) (web.Ask, error) {
	e, now, number, err := s.generationAt(r)
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, fmt.Sprintf("Validate generation %d of %s", number, e.Name), generationPage(e.Name, number))
	a.Submit = "Validate again"
	a.Lead = "Its instances are checked anew, with fresh counters. Traffic stays as it is."
	t, err := e.Validate(rollout.ValidateCommand{Actor: actor(r.Context()), Generation: number}, now)
	switch {
	case err != nil:
		a.Refused, a.Blocked = offers{}.refused(t, err), blockedView(refusals(err))
	case !t.Answer.Changed:
		a.Refused = "it is on its way already"
	}
	a.Facts = generationFactList(e, number)
	return a, nil
}

func generationFactList(e rollout.Environment, number int) []web.Fact {
	g, _ := e.Generation(number)
	out := []web.Fact{{Name: "Version", Value: g.Version}, {Name: "State", Value: string(g.State)}}
	if g.Reason != "" {
		out = append(out, web.Fact{Name: "Because", Value: g.Reason})
	}
	return out
}

func (s *server) doValidate(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment := pathValue(r, "environment")
	number, err := pathNumber(r)
	if err != nil {
		return done{}, err
	}
	_, err = s.Service.ValidateGeneration(r.Context(), environment, rollout.ValidateCommand{Actor: actor(r.Context()), Generation: number}, key)
	return done{title: fmt.Sprintf("Generation %d is being validated", number), text: "Its page shows how far it has come.",
		back: generationPage(environment, number), said: "validating"}, err
}

func (s *server) retireDeed() deed {
	return deed{path: "/environments/{environment}/generations/{number}/retire", action: "generation.retire", nav: "environments",
		ask: s.askRetire, do: s.doRetire}
}

func (s *server) askRetire(r *http.Request, typed url.Values) (web.Ask, error) {
	e, now, number, err := s.generationAt(r)
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, fmt.Sprintf("Retire generation %d of %s", number, e.Name), generationPage(e.Name, number))
	a.Look, a.Submit = web.Danger, fmt.Sprintf("Retire generation %d", number)
	a.Lead = "It is taken out of every load balancer and of the registry for good. There is no way back to it: the same build would be registered anew."
	a.Facts = generationFactList(e, number)
	if number == e.Previous {
		a.Warn = "This is what a rollback goes to. Afterwards there is nothing to roll back to by itself."
	}
	t, err := e.Retire(rollout.RetireCommand{Actor: actor(r.Context()), Generation: number}, now)
	switch {
	case err != nil:
		a.Refused, a.Blocked = offers{}.refused(t, err), blockedView(refusals(err))
	case !t.Answer.Changed:
		a.Refused = "it is on its way out already"
	}
	a.Fields = []web.Field{reasonField(typed, false)}
	return a, nil
}

func (s *server) doRetire(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment := pathValue(r, "environment")
	number, err := pathNumber(r)
	if err != nil {
		return done{}, err
	}
	cmd := rollout.RetireCommand{Actor: actor(r.Context()), Generation: number, Reason: formText(r, "reason")}
	if err := s.checkAsAPI("RetireGeneration", map[string]any{"reason": cmd.Reason}); err != nil {
		return done{}, err
	}
	_, err = s.Service.RetireGeneration(r.Context(), environment, cmd, key)
	return done{title: fmt.Sprintf("Generation %d is retiring", number), text: "It is removed when every load balancer has let go of it.",
		back: generationPage(environment, number), said: "retiring"}, err
}

func (s *server) keepDeed() deed {
	return deed{path: "/environments/{environment}/generations/{number}/keep", action: "retention.set", nav: "environments", ask: s.askKeep, do: s.doKeep}
}

// keeps are the times that the dialog proposes.
var keeps = []struct {
	value, label string
	time         time.Duration
}{{"1h", "1 hour from now", time.Hour}, {"8h", "8 hours from now", 8 * time.Hour}, {"24h", "1 day from now", 24 * time.Hour},
	{"168h", "7 days from now", 7 * 24 * time.Hour}}

func (s *server) askKeep(r *http.Request, typed url.Values) (web.Ask, error) {
	e, now, number, err := s.generationAt(r)
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, fmt.Sprintf("Keep generation %d of %s longer", number, e.Name), "/environments/"+e.Name)
	a.Submit = "Keep until then"
	a.Lead = "As long as it is kept, its instances stay warm and a rollback to it takes milliseconds. Afterwards it is retired."
	g, _ := e.Generation(number)
	until, ends := e.KeptUntil(g)
	if ends {
		a.Facts = []web.Fact{{Name: "Kept until", Value: exact(until)}}
	}
	t, err := e.Retain(rollout.RetentionCommand{Actor: actor(r.Context()), Generation: number, KeepUntil: now.Add(time.Hour)}, now)
	if err != nil {
		a.Refused, a.Blocked = offers{}.refused(t, err), blockedView(refusals(err))
		return a, nil
	}
	if !ends {
		until = now
	}
	at := typed.Get("keep_until")
	if at == "" {
		at = until.Add(keeps[len(keeps)-1].time).UTC().Format("2006-01-02T15:04")
	}
	a.Choices = []web.Choices{{Name: "keep_for", Legend: "Keep it", List: keepChoices(until, now, typed.Get("keep_for"))}}
	a.Fields = []web.Field{{Name: "keep_until", Label: "Time (UTC)", Type: "datetime-local", Value: at, Hint: "Only with the last choice."}}
	return a, nil
}

// keepChoices proposes what is later than the present end: nobody who wants to keep something longer cuts its time short
// by a choice that stood there. An earlier time can be typed.
func keepChoices(until, now time.Time, chosen string) []web.Choice {
	var list []web.Choice
	for _, k := range keeps {
		if at := now.Add(k.time); at.After(until) {
			list = append(list, web.Choice{Value: k.value, Label: k.label, Hint: exact(at)})
		}
	}
	list = append(list, web.Choice{Value: "until", Label: "until the time below"})
	for _, wanted := range []string{chosen, keeps[1].value, list[0].Value} {
		if i := slices.IndexFunc(list, func(c web.Choice) bool { return c.Value == wanted }); i >= 0 {
			list[i].Chosen = true
			break
		}
	}
	return list
}

func (s *server) doKeep(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	e, now, number, err := s.generationAt(r)
	if err != nil {
		return done{}, err
	}
	until, err := keepUntil(r.PostForm, now)
	if err != nil {
		return done{}, err
	}
	_, err = s.Service.SetRetention(r.Context(), e.Name, rollout.RetentionCommand{Actor: actor(r.Context()), Generation: number, KeepUntil: until}, key)
	return done{title: fmt.Sprintf("Generation %d is kept", number), text: "Until " + exact(until) + ".", back: "/environments/" + e.Name, said: "kept"}, err
}

// keepUntil reads the answer of the dialog.
func keepUntil(form url.Values, now time.Time) (time.Time, error) {
	for _, k := range keeps {
		if form.Get("keep_for") == k.value {
			return now.Add(k.time), nil
		}
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.ParseInLocation(layout, form.Get("keep_until"), time.UTC); err == nil && at.Year() < 10000 {
			return at, nil
		}
	}
	return time.Time{}, invalid("/keep_until", "must be a date and a time")
}
