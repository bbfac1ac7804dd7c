package server

import (
	"errors"
	"net/http"
	"strings"

	"viridian/rollout"
	"viridian/web"
)

// foreignForm refuses a form that does not belong to the session.
func foreignForm() error {
	return rollout.Refuse(rollout.Forbidden, "this form does not belong to your session", "go back, load the page anew, and send it again")
}

// isRefusal says whether the error is a refusal with that code.
func isRefusal(err error, code rollout.Code) bool {
	var refusal *rollout.Refusal
	return errors.As(err, &refusal) && refusal.Code == code
}

// problemView is what a person is told of an error: the same as the API tells.
func problemView(err error, requestID string) *web.Problem {
	p := problem(err, requestID)
	out := &web.Problem{Status: p.Status, Code: string(p.Code), Title: p.Title, Detail: p.Detail, Fixes: p.Fixes, RequestID: p.RequestId}
	for _, wrong := range p.Errors {
		out.Errors = append(out.Errors, fieldProblem(rollout.FieldError{Pointer: wrong.Pointer, Detail: wrong.Detail}, nil))
	}
	return out
}

// showError answers with the error as a page, or as a part of one where a script asked for that.
func (s *server) showError(w http.ResponseWriter, r *http.Request, err error) {
	c := callOf(r.Context())
	c.failure = err
	view := *problemView(err, c.id)
	if view.Status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	component := web.ErrorDialog(view)
	if !byScript(r) {
		component = web.ErrorPage(s.page(r, view.Title, ""), view)
	}
	if err := writePage(w, r, view.Status, component); err != nil {
		s.Log.Error("an error cannot be shown", "request_id", c.id, "error", err)
		s.writeError(w, r, err)
	}
}

// forPeople says whether the answer is read as a page.
func forPeople(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/v1/") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// fail answers with the error in the form that the caller reads: a page for people, a problem for programs.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	if !forPeople(r) {
		s.writeError(w, r, err)
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	s.showError(w, r, err)
}
