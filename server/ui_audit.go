package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/store"
	"viridian/web"
)

// auditPage is how many entries a page of the audit log lists.
const auditPage = 100

// auditTimes are the ways to write a time in the filter, in UTC.
var auditTimes = []string{"2006-01-02", "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", time.RFC3339}

// auditFilter reads the filter of the audit log from the address; wrong is what is wrong with it.
func auditFilter(caller Caller, query url.Values) (typed web.AuditFilter, f store.AuditFilter, wrong string) {
	take := func(name string) string { return strings.TrimSpace(query.Get(name)) }
	typed = web.AuditFilter{Environment: take("environment"), Kind: take("kind"), Actor: take("actor"), Generation: take("generation"),
		Since: take("since"), Until: take("until")}
	f = store.AuditFilter{Environments: caller.Environments, Environment: typed.Environment, Kind: typed.Kind, Actor: typed.Actor}
	if typed.Generation != "" {
		n, err := strconv.ParseInt(typed.Generation, 10, 32)
		if err != nil || n < 1 {
			return typed, f, "The generation is a number, such as 42."
		}
		f.Generation = int(n)
	}
	for _, moment := range []struct {
		text string
		to   *time.Time
	}{{typed.Since, &f.Since}, {typed.Until, &f.Until}} {
		if moment.text == "" {
			continue
		}
		at, ok := auditTime(moment.text)
		if !ok {
			return typed, f, "Write times as 2026-11-22 or 2026-11-22 18:40."
		}
		*moment.to = at
	}
	return typed, f, ""
}

func auditTime(text string) (time.Time, bool) {
	for _, form := range auditTimes {
		if at, err := time.Parse(form, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func (s *server) showAudit(w http.ResponseWriter, r *http.Request) error {
	caller := callOf(r.Context()).caller
	var view web.Audit
	var filter store.AuditFilter
	view.Filter, filter, view.Wrong = auditFilter(caller, r.URL.Query())
	view.Verify = web.Action{Label: "Verify", Href: verifyPath(view.Filter.Environment), Page: true}
	if view.Verify.Enabled = Can(caller, "audit.verify", view.Filter.Environment); !view.Verify.Enabled {
		view.Verify.Why = roleWhy(caller, "audit.verify")
	}
	status := http.StatusOK
	if view.Wrong != "" {
		status = http.StatusUnprocessableEntity
	} else if err := s.fillAudit(r, caller, filter, &view); err != nil {
		return err
	}
	return writePage(w, r, status, web.AuditPage(s.page(r, "Audit log", "audit"), view))
}

func verifyPath(environment string) string {
	if environment == "" {
		return "/audit/verify"
	}
	return "/audit/verify?" + url.Values{"environment": {environment}}.Encode()
}

func (s *server) fillAudit(r *http.Request, caller Caller, filter store.AuditFilter, view *web.Audit) error {
	if err := allow(caller, "event.list", filter.Environment); err != nil {
		return err
	}
	if before, err := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64); err == nil && before > 0 {
		filter.Before = before
	}
	filter.Limit = auditPage
	events, err := s.Store.Audit(r.Context(), filter)
	if err != nil {
		return err
	}
	for _, e := range events {
		view.Events = append(view.Events, eventView(e))
	}
	if len(events) == auditPage {
		query := view.Filter.Query()
		query.Set("before", strconv.FormatInt(events[auditPage-1].ID, 10))
		view.Older = query.Encode()
	}
	return nil
}

// eachAudited calls take for every entry within the filter, the newest first, page by page.
func (s *server) eachAudited(r *http.Request, filter store.AuditFilter, take func(rollout.Event) error) error {
	filter.Limit = store.MaxLimit
	for {
		events, err := s.Store.Audit(r.Context(), filter)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := take(e); err != nil {
				return err
			}
			filter.Before = e.ID
		}
		if len(events) < filter.Limit {
			return nil
		}
	}
}
