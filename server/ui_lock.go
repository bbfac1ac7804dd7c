package server

import (
	"net/http"
	"net/url"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/web"
)

func (s *server) lockDeed() deed {
	return deed{path: "/environments/{environment}/lock", action: "lock.set", nav: "environments", ask: s.askLock, do: s.doLock}
}

func (s *server) askLock(r *http.Request, typed url.Values) (web.Ask, error) {
	e, _, err := s.environment(r.Context(), pathValue(r, "environment"))
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, "Lock "+e.Name, "/environments/"+e.Name)
	a.Submit = "Lock"
	a.Lead = "Nobody and nothing promotes, sets weights or deletes here until it is unlocked. A rollback is never blocked by it."
	if e.Lock != nil {
		a.Lead = "It is locked already; locking again replaces the reason."
		a.Facts = lockFacts(e)
	}
	reason := reasonField(typed, true)
	reason.Hint = "Everybody whom the lock stops is told."
	a.Fields = []web.Field{reason}
	return a, nil
}

func lockFacts(e rollout.Environment) []web.Fact {
	return []web.Fact{{Name: "Locked by", Value: e.Lock.By}, {Name: "Since", Value: exact(e.Lock.At)}, {Name: "Reason", Value: e.Lock.Reason}}
}

// exact is a time as it is written in facts.
func exact(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func (s *server) doLock(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment, reason := pathValue(r, "environment"), formText(r, "reason")
	if err := s.checkAsAPI("SetLock", map[string]any{"reason": reason}); err != nil {
		return done{}, err
	}
	_, err := s.Service.SetLock(r.Context(), environment, rollout.LockCommand{Actor: actor(r.Context()), Reason: reason}, key)
	return done{title: environment + " is locked", text: "Promotes, weights and deletion are refused until it is unlocked. Rollbacks go on working.",
		back: "/environments/" + environment, said: "locked"}, err
}

func (s *server) unlockDeed() deed {
	return deed{path: "/environments/{environment}/unlock", action: "lock.clear", nav: "environments", ask: s.askUnlock, do: s.doUnlock}
}

func (s *server) askUnlock(r *http.Request, _ url.Values) (web.Ask, error) {
	e, _, err := s.environment(r.Context(), pathValue(r, "environment"))
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, "Unlock "+e.Name, "/environments/"+e.Name)
	a.Submit = "Unlock"
	if e.Lock == nil {
		a.Lead, a.Refused = "It is not locked.", "there is no lock"
		return a, nil
	}
	a.Lead = "Promotes and weights are possible again. A generation that waits to be promoted goes ahead."
	a.Facts = lockFacts(e)
	return a, nil
}

func (s *server) doUnlock(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment := pathValue(r, "environment")
	_, err := s.Service.ClearLock(r.Context(), environment, actor(r.Context()), key)
	return done{title: environment + " is unlocked", text: "Promotes and weights are possible again.", back: "/environments/" + environment, said: "unlocked"}, err
}

func (s *server) releaseDeed() deed {
	return deed{path: "/environments/{environment}/release-automation", action: "automation.release", nav: "environments", ask: s.askRelease, do: s.doRelease}
}

func (s *server) askRelease(r *http.Request, _ url.Values) (web.Ask, error) {
	e, _, err := s.environment(r.Context(), pathValue(r, "environment"))
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, "Release automation of "+e.Name, "/environments/"+e.Name)
	a.Submit = "Release automation"
	if e.Hold == nil {
		a.Lead, a.Refused = "Automation is not held.", "there is no hold"
		return a, nil
	}
	a.Lead = "Since the last rollback nothing is promoted by itself. Released, a generation that was registered with promote: true and is ready goes ahead at once."
	a.Facts = []web.Fact{{Name: "Held since", Value: exact(e.Hold.Since)}, {Name: "Because", Value: e.Hold.Reason}}
	for _, g := range e.Generations {
		if g.State == rollout.Ready && g.Promote && g.Number > e.Live {
			a.Facts = append(a.Facts, web.Fact{Name: "Waits", Value: "generation " + itoa(g.Number) + ", " + g.Version})
		}
	}
	return a, nil
}

func (s *server) doRelease(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	environment := pathValue(r, "environment")
	_, err := s.Service.ReleaseAutomation(r.Context(), environment, actor(r.Context()), key)
	return done{title: "Automation is released", text: "What is registered with promote: true is promoted by itself again.",
		back: "/environments/" + environment, said: "released"}, err
}
