package server

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/web"
)

// deed is something that people do from the pages: a dialog that asks, and what is done by sending it. It has one path;
// GET asks and POST does.
type deed struct {
	path   string
	action Action
	nav    string // the entry of the navigation that its page belongs to
	// ask makes the dialog from the present state and from what was typed already, which may be nothing.
	ask func(r *http.Request, typed url.Values) (web.Ask, error)
	// do carries it out. A refusal is shown in the dialog, with everything as it was typed.
	do func(r *http.Request, key *controller.IdempotencyKey) (done, error)
}

// done is what a deed came to: a switch of an environment, or a sentence.
type done struct {
	environment string // with its revision: the switch that answers
	revision    int64
	changed     bool

	title, text string // without a switch
	secret      string // a token that was made, shown in this answer and never again; or shownBefore
	back        string // where to go on
	said        string // the word by which the page there repeats it
}

// shownBefore stands for a token that an earlier answer showed.
const shownBefore = "-"

// deedPages are the two routes of a deed.
func (s *server) deedPages(d deed) []page {
	return []page{
		{method: "GET", path: d.path, action: d.action, handler: func(w http.ResponseWriter, r *http.Request) error {
			a, err := d.ask(r, s.draft(r))
			if err != nil {
				return err
			}
			return s.showAsk(w, r, http.StatusOK, d.nav, a)
		}},
		{method: "POST", path: d.path, action: d.action, handler: func(w http.ResponseWriter, r *http.Request) error {
			if r.PostForm.Get("preview") != "" || r.PostForm.Get("shown") != r.PostForm.Get("to") && r.PostForm.Has("shown") {
				return s.previewAsk(w, r, d) // also when another goal was chosen than the one that is shown
			}
			out, err := d.do(r, formKey(r))
			if err != nil {
				return s.askAgain(w, r, d, err)
			}
			return s.showDone(w, r, out)
		}},
	}
}

// newAsk begins a dialog that is sent to where it was asked for.
func newAsk(r *http.Request, title, back string) web.Ask {
	return web.Ask{Title: title, Path: r.URL.EscapedPath(), Back: back, CSRF: csrfToken(r.Context()), Key: newKey(), Look: web.Primary}
}

func (s *server) showAsk(w http.ResponseWriter, r *http.Request, status int, nav string, a web.Ask) error {
	if byScript(r) {
		return writePage(w, r, status, web.AskDialog(a))
	}
	return writePage(w, r, status, web.AskPage(s.page(r, a.Title, nav), a))
}

// previewAsk shows the dialog with what was typed, and does nothing.
func (s *server) previewAsk(w http.ResponseWriter, r *http.Request, d deed) error {
	a, err := d.ask(r, r.PostForm)
	if err != nil {
		return err
	}
	focusWrong(&a) // none: the person stays where they are
	return s.showAsk(w, r, http.StatusOK, d.nav, a)
}

// askAgain shows the dialog anew, with why it was refused. What could not be tried may be tried again as it is: it
// keeps its key, so that it happens once at most.
func (s *server) askAgain(w http.ResponseWriter, r *http.Request, d deed, err error) error {
	c := callOf(r.Context())
	p := problemView(err, c.id)
	switch p.Status {
	case http.StatusServiceUnavailable:
		c.failure = err
		return s.showAsk(w, r, p.Status, d.nav, retryAsk(r, p))
	case http.StatusForbidden, http.StatusUnauthorized, http.StatusNotFound, http.StatusInternalServerError:
		return err
	}
	a, askErr := d.ask(r, r.PostForm)
	if askErr != nil {
		return errors.Join(err, askErr)
	}
	c.failure = err
	if isRefusal(err, rollout.IdempotencyKeyReused) {
		p.Detail, p.Fixes = "this form was sent once already, with other values", []string{"look at how things stand, and send it again if that is still meant"}
	}
	p.Errors = slices.DeleteFunc(p.Errors, func(e web.FieldProblem) bool { return fieldWrong(&a, e) })
	focusWrong(&a)
	if a.Winner == nil || !isRefusal(err, rollout.RevisionMismatch) {
		a.Problem = p
	}
	return s.showAsk(w, r, p.Status, d.nav, a)
}

// fieldWrong puts what is wrong beside its field, where the dialog has it.
func fieldWrong(a *web.Ask, e web.FieldProblem) bool {
	for i := range a.Fields {
		if "/"+a.Fields[i].Name == e.Pointer {
			a.Fields[i].Error = e.Detail
			return true
		}
	}
	for i := range a.Choices {
		if "/"+a.Choices[i].Name == e.Pointer {
			a.Choices[i].Error = e.Detail
			return true
		}
	}
	return false
}

// focusWrong lets the first field that is wrong have the focus, and no other.
func focusWrong(a *web.Ask) {
	found := false
	for i := range a.Fields {
		a.Fields[i].Autofocus = a.Fields[i].Error != "" && !found
		found = found || a.Fields[i].Autofocus
	}
}

// retryAsk is the form as it was sent, to be sent again.
func retryAsk(r *http.Request, p *web.Problem) web.Ask {
	a := newAsk(r, "Not done yet", "/")
	a.Key, a.Problem, a.Submit = r.PostForm.Get("idempotency_key"), p, "Try again"
	a.Lead = "Trying again is safe: it is carried out once at most."
	for name, values := range r.PostForm {
		if name == "csrf_token" || name == "idempotency_key" {
			continue
		}
		for _, value := range values {
			a.Hidden = append(a.Hidden, web.Hidden{Name: name, Value: value})
		}
	}
	slices.SortFunc(a.Hidden, func(a, b web.Hidden) int { return strings.Compare(a.Name, b.Name) })
	return a
}

// formKey is the key of the dialog that a form came from; nil where it has none. Other fields must be the same when it
// is used again.
func formKey(r *http.Request) *controller.IdempotencyKey {
	key := r.PostForm.Get("idempotency_key")
	if key == "" || len(key) > 100 {
		return nil
	}
	fields := url.Values{}
	for name, values := range r.PostForm {
		if name != "csrf_token" {
			fields[name] = values
		}
	}
	sum := sha256.Sum256([]byte(r.Method + "\x00" + r.URL.EscapedPath() + "\x00" + fields.Encode()))
	return &controller.IdempotencyKey{Caller: callOf(r.Context()).caller.TokenID, Key: "page:" + key, BodyHash: sum[:]}
}

// checkAsAPI holds what a form says against what the contract says of the body of the operation.
func (s *server) checkAsAPI(operation string, body map[string]any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	value, err := decodeStrict(raw)
	if err != nil {
		return err
	}
	schema := s.bodies[operation]
	wrong := schemaErrors(schema, value, "")
	for _, name := range s.contract.Names(schema, value) {
		wrong = append(wrong, rollout.FieldError{Pointer: name.Pointer, Detail: name.Detail})
	}
	if len(wrong) > 0 {
		return invalidFields(wrong)
	}
	return nil
}

// formText is a field as text, with the line ends that we keep.
func formText(r *http.Request, name string) string {
	return strings.TrimSpace(strings.ReplaceAll(r.PostForm.Get(name), "\r\n", "\n"))
}

// formNumber is a field as a whole number; empty is 0.
func formNumber(r *http.Request, name string) (int, error) {
	text := strings.TrimSpace(r.PostForm.Get(name))
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, invalid("/"+name, "must be a whole number")
	}
	return int(n), nil
}

// formRevision is the revision that the person saw; nil where the form has none.
func formRevision(r *http.Request) (*int64, error) {
	text := r.PostForm.Get("expected_revision")
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, invalid("/expected_revision", "must be a whole number")
	}
	return &n, nil
}
