package server

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
	"viridian/store"
	"viridian/web"
)

// editing is one request to the editor.
type editing struct {
	environment rollout.Environment // the one that is edited; zero for a new one
	name        string              // of the environment, as far as it is known
	form        url.Values          // what was sent or kept; nil for the first look
	values      tree
	wrong       []rollout.FieldError
	notice      string
	conflict    *web.SpecVersion
}

func (e *editing) isNew() bool { return e.environment.Name == "" }

// path is where the editor is.
func (e *editing) path() string {
	if e.isNew() {
		return "/new-environment"
	}
	return "/environments/" + e.environment.Name + "/edit"
}

func (e *editing) back() string {
	if e.isNew() {
		return "/"
	}
	return "/environments/" + e.environment.Name
}

// showEditor shows the settings that are in force, or a version before them, or what was typed before a session ended.
func (s *server) showEditor(w http.ResponseWriter, r *http.Request) error {
	e, err := s.beginEditing(r, s.draft(r))
	if err != nil {
		return err
	}
	switch {
	case e.form != nil:
		e.notice = "This is what you had typed when your session ended. Nothing of it was saved."
		e.values, err = editorTree(e.form, e.loaded(), !fromJSON(e.form.Get("step")))
		if err != nil {
			return s.unreadableJSON(w, r, http.StatusOK, e, err)
		}
	case r.URL.Query().Get("version") != "":
		if err := s.loadVersion(r, e); err != nil {
			return err
		}
	default:
		if err := json.Unmarshal(e.loaded(), &e.values); err != nil {
			return err
		}
	}
	return s.writeEditor(w, r, http.StatusOK, e)
}

// beginEditing loads what the path names; a path without an environment is that of a new one.
func (s *server) beginEditing(r *http.Request, form url.Values) (*editing, error) {
	e := &editing{form: form, name: strings.TrimSpace(form.Get("name"))}
	name := pathValue(r, "environment")
	if name == "" {
		return e, nil
	}
	var err error
	e.environment, _, err = s.environment(r.Context(), name)
	e.name = name
	return e, err
}

// loaded is the JSON that the editor begins with: the settings in force, or a small example.
func (e *editing) loaded() []byte {
	if e.isNew() {
		return []byte(`{"description": "", "services": [{"name": "web", "hosts": [], "health": {"type": "tcp"}}]}`)
	}
	raw, err := json.Marshal(e.environment.Spec)
	if err != nil {
		return []byte("{}") // a spec is made of plain values
	}
	return raw
}

// loadVersion takes the settings of an older version as what is to be edited.
func (s *server) loadVersion(r *http.Request, e *editing) error {
	number, err := strconv.ParseInt(r.URL.Query().Get("version"), 10, 64)
	if err != nil {
		return rollout.Refuse(rollout.NotFound, "there is no such version", "look at the list of versions")
	}
	v, err := s.specVersion(r, e.environment.Name, number)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(v.Spec)
	if err != nil {
		return err
	}
	e.notice = fmt.Sprintf("These are the settings of version %d. Saved, they are version %d.", number, e.environment.SpecVersion+1)
	return json.Unmarshal(raw, &e.values)
}

// specVersion finds one version of an environment's settings.
func (s *server) specVersion(r *http.Request, environment string, number int64) (store.SpecVersion, error) {
	paging := store.Paging{Limit: store.MaxLimit}
	for {
		page, err := s.Store.SpecVersions(r.Context(), environment, paging)
		if err != nil {
			return store.SpecVersion{}, err
		}
		for _, v := range page.Items {
			if v.Version == number {
				return v, nil
			}
		}
		if paging.Cursor = page.Next; page.Next == "" {
			return store.SpecVersion{}, rollout.Refuse(rollout.NotFound, fmt.Sprintf("there is no version %d", number), "look at the list of versions")
		}
	}
}

// edit takes a step of the editor: what the button says that was pressed.
func (s *server) edit(w http.ResponseWriter, r *http.Request) error {
	e, err := s.beginEditing(r, r.PostForm)
	if err != nil {
		return err
	}
	step := r.PostForm.Get("step")
	if e.values, err = editorTree(r.PostForm, e.loaded(), !fromJSON(step)); err != nil {
		callOf(r.Context()).failure = err
		return s.unreadableJSON(w, r, http.StatusUnprocessableEntity, e, err)
	}
	switch {
	case step == "review-form", step == "review-json":
		return s.review(w, r, e)
	case step == "save":
		return s.save(w, r, e)
	case step == "create" && e.isNew(): // the short form of the first-run page, where there is nothing to compare with
		return s.save(w, r, e)
	case step == "add-service":
		services, _ := e.values["services"].([]any)
		e.values["services"] = append(services, tree{"name": "", "hosts": []any{}, "health": tree{"type": string(rollout.HealthTCP)}})
	case strings.HasPrefix(step, "remove-service-"):
		services, _ := e.values["services"].([]any)
		if i, err := strconv.Atoi(strings.TrimPrefix(step, "remove-service-")); err == nil && i >= 0 && i < len(services) && len(services) > 1 {
			e.values["services"] = slices.Delete(services, i, i+1)
		}
	case step == "sync-form", step == "sync-json":
		_, e.wrong, err = s.parseEdited(e)
		if err != nil {
			return err
		}
	}
	return s.writeEditor(w, r, http.StatusOK, e)
}

// fromJSON says whether a step goes by the JSON alone, and not by the form beside it.
func fromJSON(step string) bool {
	return slices.Contains([]string{"review-json", "sync-json", "save", "back"}, step)
}

// unreadableJSON shows the editor with everything as it was typed: the text, and the form.
func (s *server) unreadableJSON(w http.ResponseWriter, r *http.Request, status int, e *editing, err error) error {
	if !isRefusal(err, rollout.InvalidRequest) {
		return err
	}
	e.values = tree{}
	if err := json.Unmarshal(e.loaded(), &e.values); err != nil {
		return err
	}
	if e.form.Has("services") { // the form was there
		overlay(e.values, e.form)
	}
	view, viewErr := s.editor(r, e)
	if viewErr != nil {
		return viewErr
	}
	text := e.form.Get("json")
	view.JSON.Value, view.JSON.Error = text, jsonFault(text)
	return s.writeEditorView(w, r, status, view)
}

func jsonFault(text string) string {
	var syntax *json.SyntaxError
	if err := json.Unmarshal([]byte(text), &tree{}); errors.As(err, &syntax) {
		line := strings.Count(text[:min(int(syntax.Offset), len(text))], "\n") + 1
		return fmt.Sprintf("line %d: %s. Mend it, or empty this field to go by the form", line, syntax.Error())
	}
	return "must be one JSON object. Mend it, or empty this field to go by the form"
}

// parseEdited reads what was edited by the rules of the API, and lists what is wrong.
func (s *server) parseEdited(e *editing) (rollout.Spec, []rollout.FieldError, error) {
	raw, err := json.Marshal(e.values)
	if err != nil {
		return rollout.Spec{}, nil, err
	}
	var refusal *rollout.Refusal
	spec, err := rollout.ParseSpec(raw)
	if err == nil {
		err = s.checkAsAPI("PutEnvironment", e.values)
	}
	if errors.As(err, &refusal) {
		wrong := refusal.Errors
		if len(wrong) == 0 {
			wrong = []rollout.FieldError{{Detail: refusal.Detail}}
		}
		return spec, wrong, nil
	}
	return spec, nil, err
}

func (s *server) writeEditor(w http.ResponseWriter, r *http.Request, status int, e *editing) error {
	view, err := s.editor(r, e)
	if err != nil {
		return err
	}
	return s.writeEditorView(w, r, status, view)
}

func (s *server) writeEditorView(w http.ResponseWriter, r *http.Request, status int, view web.Editor) error {
	if byScript(r) {
		return writePage(w, r, status, web.EditorForm(view))
	}
	title := "New environment"
	if view.Environment != "" {
		title = "Edit " + view.Environment
	}
	return writePage(w, r, status, web.EditorPage(s.page(r, title, "environments"), view))
}

func (s *server) editor(r *http.Request, e *editing) (web.Editor, error) {
	wrong := slices.Clone(e.wrong)
	nameWrong := ""
	wrong = slices.DeleteFunc(wrong, func(f rollout.FieldError) bool {
		if own := f.Pointer == "/name"; own {
			nameWrong = f.Detail
			return true
		}
		return false
	})
	view, err := editorView(e.values, wrong)
	view.Environment, view.Path, view.Back, view.CSRF = e.environment.Name, e.path(), e.back(), csrfToken(r.Context())
	view.Version, view.Notice, view.Conflict = e.environment.SpecVersion, e.notice, e.conflict
	if seen, err := strconv.ParseInt(e.form.Get("spec_version"), 10, 64); err == nil && seen > 0 && e.conflict == nil {
		view.Version = seen // what the person began with; saving on top of another's change is refused
	}
	view.Name = web.Field{Name: "name", Label: "Name", Value: e.name, Error: nameWrong, Required: true, Mono: true, Autofocus: true,
		Hint: "Such as shop-prod: a-z, 0-9 and hyphens. It cannot be changed later."}
	return view, err
}

// newKey makes an idempotency key for a form.
func newKey() string { return strings.ToLower(rand.Text()) }
