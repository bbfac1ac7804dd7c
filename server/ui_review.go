package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"viridian/rollout"
	"viridian/web"
)

// review shows what would be saved, compared with what is in force, or the editor with what is wrong.
func (s *server) review(w http.ResponseWriter, r *http.Request, e *editing) error {
	spec, wrong, err := s.parseEdited(e)
	if err != nil {
		return err
	}
	if e.isNew() && !rollout.ValidName(e.name) {
		wrong = append(wrong, rollout.FieldError{Pointer: "/name", Detail: "must be 1 to 63 of a-z, 0-9 and -, and neither begin nor end with -"})
	}
	if e.isNew() && len(wrong) == 0 {
		if wrong, err = s.nameTaken(r, e.name); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		e.wrong = wrong
		return s.writeEditor(w, r, http.StatusUnprocessableEntity, e)
	}
	if e.isNew() {
		if err := allow(callOf(r.Context()).caller, "environment.create", e.name); err != nil {
			return err
		}
	}
	view, err := s.reviewView(r, e, spec)
	if err != nil {
		return err
	}
	return writePage(w, r, http.StatusOK, web.ReviewPage(s.page(r, "Review", "environments"), view))
}

// nameTaken says so beside the name, to who may know.
func (s *server) nameTaken(r *http.Request, name string) ([]rollout.FieldError, error) {
	if !callOf(r.Context()).caller.Sees(name) {
		return nil, nil
	}
	_, _, err := s.environment(r.Context(), name)
	switch {
	case isRefusal(err, rollout.NotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return []rollout.FieldError{{Pointer: "/name", Detail: "there is an environment with this name"}}, nil
}

func (s *server) reviewView(r *http.Request, e *editing, spec rollout.Spec) (web.Review, error) {
	text, err := json.MarshalIndent(e.values, "", "  ")
	if err != nil {
		return web.Review{}, err
	}
	out := web.Review{Environment: e.name, New: e.isNew(), Path: e.path(), Back: e.back(), CSRF: csrfToken(r.Context()), Key: newKey(), JSON: string(text)}
	out.Version, _ = strconv.ParseInt(e.form.Get("spec_version"), 10, 64) // 0 for what began without
	if out.Changes, err = specChanges(e.environment.Spec, spec); err != nil || e.isNew() {
		return out, err
	}
	_, now, err := s.Store.Environment(r.Context(), e.environment.Name)
	if err != nil {
		return out, err
	}
	t, err := e.environment.Replace(rollout.PutCommand{Actor: actor(r.Context()), Name: e.name, Spec: spec, IfMatch: &out.Version}, now)
	if list := refusals(err); len(list) > 0 {
		out.Problem = problemView(err, "")
		out.Refused = list[0].Detail
		return out, nil
	}
	for _, move := range t.Moves {
		if move.To == rollout.Validating {
			out.Notes = append(out.Notes, fmt.Sprintf("Generation %d is ready, and is validated again by the new settings.", move.Generation))
		}
	}
	return out, err
}

// save puts the settings in force, on top of the version that the person saw.
func (s *server) save(w http.ResponseWriter, r *http.Request, e *editing) error {
	spec, wrong, err := s.parseEdited(e)
	if err != nil {
		return err
	}
	if e.isNew() && !rollout.ValidName(e.name) {
		wrong = append(wrong, rollout.FieldError{Pointer: "/name", Detail: "must be 1 to 63 of a-z, 0-9 and -, and neither begin nor end with -"})
	}
	if len(wrong) > 0 {
		e.wrong = wrong
		return s.writeEditor(w, r, http.StatusUnprocessableEntity, e)
	}
	cmd := rollout.PutCommand{Actor: actor(r.Context()), Name: e.name, Spec: spec}
	if e.isNew() {
		return s.create(w, r, e, cmd)
	}
	version, err := strconv.ParseInt(r.PostForm.Get("spec_version"), 10, 64)
	if err != nil {
		return malformed("the form does not say which version it changes")
	}
	cmd.IfMatch = &version
	out, err := s.Service.PutEnvironment(r.Context(), cmd, formKey(r))
	if err != nil {
		return s.notSaved(w, r, e, version, err)
	}
	word := "saved"
	if !out.Changed {
		word = "unchanged"
	}
	http.Redirect(w, r, "/environments/"+e.name+"?said="+word, http.StatusSeeOther) //nolint:gosec // the name of an environment that is there
	return nil
}

func (s *server) create(w http.ResponseWriter, r *http.Request, e *editing, cmd rollout.PutCommand) error {
	if err := allow(callOf(r.Context()).caller, "environment.create", e.name); err != nil {
		return err
	}
	if _, err := s.Service.CreateEnvironment(r.Context(), cmd, formKey(r)); err != nil {
		return s.notSaved(w, r, e, 0, err)
	}
	target := "/environments/" + e.name + "?said=created"
	if r.PostForm.Get("step") == "create" {
		target = "/start?environment=" + e.name
	}
	http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // the name of an environment that was just made
	return nil
}

// notSaved shows the editor again with why. When somebody else has saved meanwhile, it says who and what.
func (s *server) notSaved(w http.ResponseWriter, r *http.Request, e *editing, seen int64, err error) error {
	p := problemView(err, callOf(r.Context()).id)
	switch p.Status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusInternalServerError:
		return err
	case http.StatusServiceUnavailable:
		callOf(r.Context()).failure = err
		return s.showAsk(w, r, p.Status, "environments", retryAsk(r, p))
	}
	callOf(r.Context()).failure = err
	if isRefusal(err, rollout.PreconditionFailed) && seen > 0 {
		if e.conflict, err = s.savedSince(r, e.environment, seen); err != nil {
			return err
		}
		p = nil
	}
	var refusal *rollout.Refusal
	if p != nil && errors.As(err, &refusal) {
		e.wrong = refusal.Errors
	}
	view, viewErr := s.editor(r, e)
	if viewErr != nil {
		return viewErr
	}
	if p != nil {
		p.Errors = nil // they are beside their fields, or named in the words of the settings
		if view.Problem != nil {
			p.Errors = view.Problem.Errors
		}
		view.Problem = p
	}
	return s.writeEditorView(w, r, http.StatusConflict, view)
}

// savedSince is the present version, with what it changed since the version that somebody saw.
func (s *server) savedSince(r *http.Request, e rollout.Environment, seen int64) (*web.SpecVersion, error) {
	now, err := s.specVersion(r, e.Name, e.SpecVersion)
	if err != nil {
		return nil, err
	}
	before, err := s.specVersion(r, e.Name, seen)
	if err != nil {
		return nil, err
	}
	changes, err := specChanges(before.Spec, now.Spec)
	return &web.SpecVersion{Environment: e.Name, Version: now.Version, By: now.CreatedBy, At: now.CreatedAt, Changes: changes}, err
}
