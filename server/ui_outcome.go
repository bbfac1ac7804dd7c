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

// outcomePatience is how long an answer waits for a switch to be applied, so that most people see it done at once.
const outcomePatience = 500 * time.Millisecond

// showDone shows what a deed came to: to a script in its dialog, else on the page that it leads to.
func (s *server) showDone(w http.ResponseWriter, r *http.Request, d done) error {
	if d.revision != 0 {
		return s.showSwitchDone(w, r, d)
	}
	if d.secret != "" {
		return s.showSecret(w, r, d)
	}
	if byScript(r) {
		return writePage(w, r, http.StatusOK, web.DoneDialog(d.title, d.text, d.back))
	}
	target := d.back
	if d.said != "" {
		target += "?said=" + url.QueryEscape(d.said)
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
	return nil
}

func (s *server) showSecret(w http.ResponseWriter, r *http.Request, d done) error {
	view := web.Secret{Title: d.title, Token: d.secret, Back: d.back}
	if d.secret == shownBefore {
		view.Token = ""
	}
	if byScript(r) {
		return writePage(w, r, http.StatusOK, web.SecretDialog(view))
	}
	return writePage(w, r, http.StatusOK, web.SecretPage(s.page(r, d.title, "tokens"), view))
}

func (s *server) showSwitchDone(w http.ResponseWriter, r *http.Request, d done) error {
	asked, _ := strconv.Atoi(r.PostForm.Get("from")) // 0 where the form has none
	query := url.Values{}
	if !d.changed {
		query.Set("unchanged", strconv.Itoa(asked))
	}
	if !byScript(r) {
		query.Set("refresh", "1")
		http.Redirect(w, r, switchPath(d.environment, d.revision)+"?"+query.Encode(), http.StatusSeeOther)
		return nil
	}
	if _, _, err := s.await(r.Context(), d.environment, d.revision, controller.WaitApplied, outcomePatience); err != nil {
		return err
	}
	o, _, err := s.outcome(r, d.environment, d.revision, query)
	if err != nil {
		return err
	}
	return writePage(w, r, http.StatusOK, web.OutcomeDialog(o))
}

func switchPath(environment string, revision int64) string {
	return fmt.Sprintf("/environments/%s/switches/%d", environment, revision)
}

// showSwitchPage is the page of one switch. Without a script it loads itself anew until there is nothing left to come.
func (s *server) showSwitchPage(w http.ResponseWriter, r *http.Request) error {
	revision, err := pathRevision(r)
	if err != nil {
		return err
	}
	environment := pathValue(r, "environment")
	if r.URL.Query().Get("refresh") != "" {
		if _, _, err := s.await(r.Context(), environment, revision, controller.WaitApplied, outcomePatience); err != nil {
			return err
		}
	}
	o, now, err := s.outcome(r, environment, revision, r.URL.Query())
	if err != nil {
		return err
	}
	p := s.page(r, fmt.Sprintf("Switch %d of %s", revision, environment), "environments")
	p.At = now
	if r.URL.Query().Get("refresh") != "" && !o.Settled() {
		p.Refresh = 1
	}
	return writePage(w, r, http.StatusOK, web.OutcomePage(p, o))
}

// showSwitchProgress is the part of that page, and of the dialog, that changes.
func (s *server) showSwitchProgress(w http.ResponseWriter, r *http.Request) error {
	revision, err := pathRevision(r)
	if err != nil {
		return err
	}
	o, _, err := s.outcome(r, pathValue(r, "environment"), revision, r.URL.Query())
	if err != nil {
		return err
	}
	return writePage(w, r, http.StatusOK, web.OutcomeProgress(o))
}

func pathRevision(r *http.Request) (int64, error) {
	n, err := strconv.ParseInt(pathValue(r, "revision"), 10, 64)
	if err != nil || n < 1 {
		return 0, rollout.Refuse(rollout.NotFound, "there is no such switch", "look at the switch history")
	}
	return n, nil
}

// outcome loads a switch with what its nodes do. The query says how somebody came to it.
func (s *server) outcome(r *http.Request, environment string, revision int64, query url.Values) (web.Outcome, time.Time, error) {
	e, now, err := s.environment(r.Context(), environment)
	if err != nil {
		return web.Outcome{}, now, err
	}
	v := viewed{e: e, now: now}
	out := web.Outcome{Back: "/environments/" + environment, Unchanged: query.Has("unchanged"),
		Path: switchPath(environment, revision) + "/progress"}
	if out.Unchanged {
		asked, _ := strconv.Atoi(query.Get("unchanged")) // what is no number names none
		out.Asked = asked
		out.Path += "?unchanged=" + strconv.Itoa(asked)
	}
	if e.Switch != nil && e.Switch.Revision == revision {
		out.Present, out.Switch, out.Receipts = true, switchView(*e.Switch, v.shares), v.receipts()
		return out, now, nil
	}
	old, err := s.Store.Switch(r.Context(), environment, revision)
	if err != nil {
		return out, now, err
	}
	shares, err := s.sharesOf(r, v, old.Weights)
	out.Switch = switchView(old, func(rollout.Weights) []web.Share { return shares })
	return out, now, err
}

// sharesOf are the shares of an old switch, whose generations may be retired.
func (s *server) sharesOf(r *http.Request, v viewed, weights rollout.Weights) ([]web.Share, error) {
	for _, n := range weights.Numbers() {
		if _, ok := v.e.Generation(n); ok {
			continue
		}
		g, err := s.Store.Generation(r.Context(), v.e.Name, n)
		if err != nil {
			return nil, err
		}
		v.e.Generations = append(v.e.Generations, g)
	}
	return v.shares(weights), nil
}
