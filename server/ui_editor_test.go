package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"viridian/rollout"
)

const editor = "/environments/shop/edit"

// spec of the environment as it is now, with its version.
func (w *world) spec() (rollout.Spec, int64) {
	w.t.Helper()
	var out struct {
		Spec    json.RawMessage `json:"spec"`
		Version int64           `json:"spec_version"`
	}
	w.decode(w.ok("GET", shop, ""), &out)
	s, err := rollout.ParseSpec(out.Spec)
	if err != nil {
		w.t.Fatal(err)
	}
	return s, out.Version
}

// TestEditor_FormToSaved goes the whole way without a script: form, review, save.
func TestEditor_FormToSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b := w.signedIn(Operator)
	b.open(editor)
	b.submit(editor, "step", "review-form", "retention.keep_for", "9h", "services.0.hosts", "Shop.example.com\nwww.shop.example.com", "description", "the shop", "services.0.catalog_name", "www")
	b.wants("Save these changes of shop?", "retention.keep_for", "1h", "9h", "services.web.hosts", "shop.example.com, www.shop.example.com", "Save as version 2")
	if strings.Contains(b.page.body, "health.interval") {
		t.Error("a field that is the same is among the changes")
	}
	if _, version := w.spec(); version != 1 {
		t.Fatal("looking at the changes saves them")
	}
	if b.submit(editor, "step", "save"); b.page.header.Get("Location") != "/environments/shop?said=saved" {
		t.Fatalf("%d %s", b.page.status, b.page.body)
	}
	s, version := w.spec()
	if version != 2 || s.Retention.KeepFor.String() != "9h" || len(s.Services[0].Hosts) != 2 || s.Services[0].Hosts[0] != "shop.example.com" || s.Description != "the shop" || s.Services[0].CatalogName != "www" {
		t.Errorf("version %d: %+v", version, s)
	}
	if s.Services[0].Health.Interval.String() != "100ms" || s.Services[0].Health.Type != rollout.HealthHTTP {
		t.Errorf("what was not touched has changed: %+v", s.Services[0].Health)
	}
	b.open("/environments/shop/versions")
	b.wants("Version 2", "in force", "token:operator", "retention.keep_for", "Version 1", "Open in the editor")
	b.open(editor + "?version=1")
	b.wants("These are the settings of version 1", `value="1h"`)
}

// TestEditor_SaysTheSameAsTheAPI: whatever is typed, the form refuses what the API refuses, beside the field.
func TestEditor_SaysTheSameAsTheAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b := w.signedIn(Operator)
	for _, c := range []struct{ field, value, says string }{
		{"retention.drain", "1 week", `is not a duration`}, {"retention.keep_generations", "many", "must be a whole number"},
		{"retention.keep_generations", "11", "must be 0 to 10"}, {"validation.min_healthy_percent", "0", "must be 1 to 100"},
		{"services.0.name", "Web!", "must be 1 to 63"}, {"services.0.catalog_name", "-web", "must be 1 to 63"}, {"services.0.hosts", "a.example\nb.example/x", ""}, {"services.0.health.path", "healthz", "must begin with one /"},
		{"services.0.health.expect_status", "200-99999", "status range"}, {"services.0.health.interval", "1ns", "whole number of milliseconds"},
		{"description", strings.Repeat("x", 1001), "1001 characters"},
	} {
		b.open(editor)
		if b.submit(editor, "step", "review-form", c.field, c.value); b.page.status != http.StatusUnprocessableEntity {
			t.Errorf("%s %q: %d", c.field, c.value, b.page.status)
			continue
		}
		b.wants(c.says)
		if got := b.fields(editor).Get(c.field); got != c.value {
			t.Errorf("%s was %q and is %q", c.field, c.value, got)
		}
		_, field, _ := strings.Cut(b.page.body, `name="`+c.field+`"`)
		tag, _, _ := strings.Cut(field, ">")
		if !strings.Contains(tag, `aria-invalid="true"`) {
			t.Errorf("%s %q: it is not said at the field: %s", c.field, c.value, tag)
		}
	}
	for _, c := range []struct{ json, says string }{
		{`{"services": [`, "line 1"}, {`[]`, "JSON object"}, {"{\n\n\"services\": [}", "line 3"}, {`null`, "JSON object"},
		{`{"services": [{"name": "web"}], "colour": "red"}`, "<strong>colour:</strong>"}, {`{"services": [{"name": "web"}], "bake": {"duration": "5m"}}`, "<strong>bake, duration:</strong>"},
		{`{"services": []}`, "must list 1 to 32"}, {`{"services": "web"}`, "must be an array"}, {`{"services": [7]}`, "must be an object"},
	} {
		b.open(editor)
		if b.submit(editor, "step", "review-json", "json", c.json); b.page.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d\n%s", c.json, b.page.status, b.page.body)
			continue
		}
		b.wants(c.says)
	}
	if _, version := w.spec(); version != 1 {
		t.Errorf("version %d: something was saved", version)
	}
}

// TestEditor_BothSides: what the form does not offer stays as the JSON has it, and each side follows the other.
func TestEditor_BothSides(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b := w.signedIn(Operator)
	b.open(editor)
	b.script = true
	b.submit(editor, "step", "sync-json", "json", `{"services": [{"name": "web"}, {"name": "api", "hosts": ["api.example"]}], "networks": {"check_allow": []}}`)
	b.wants("Service api", `name="services.1.name"`, ">api.example<")
	b.submit(editor, "step", "sync-form", "services.1.name", "backend", "retention.keep_for", "2h")
	got := b.fields(editor).Get("json")
	for _, want := range []string{`"name": "backend"`, `"keep_for": "2h"`, `"networks"`, `"api.example"`} {
		if !strings.Contains(got, want) {
			t.Errorf("the JSON lacks %s: %s", want, got)
		}
	}
	b.submit(editor, "step", "add-service")
	b.wants(`name="services.2.name"`)
	b.submit(editor, "step", "remove-service-0")
	if f := b.fields(editor); f.Get("services.0.name") != "backend" || f.Get("services") != "2" {
		t.Errorf("%v", f)
	}
	for _, step := range []string{"sync-form", "review-form", "add-service", "remove-service-0"} {
		b.script = step == "sync-form"
		b.submit(editor, "step", step, "json", `{"services": [`, "retention.keep_for", "77m")
		if b.wants("line 1", "77m"); !strings.Contains(b.fields(editor).Get("json"), `{"services": [`) {
			t.Errorf("%s loses the text that cannot be read", step)
		}
	}
	b.script = true
	b.submit(editor, "step", "sync-json", "json", `{"services": [`)
	b.wants("line 1", "backend")
	if !strings.Contains(b.fields(editor).Get("json"), `{"services": [`) {
		t.Error("the text is lost that cannot be read")
	}
}

// TestEditor_TwoPeople: who saves second is told who was first and what they changed, and nothing typed is lost.
func TestEditor_TwoPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	anna, ben := w.signedIn(Admin), w.signedIn(Operator)
	for _, b := range []*browser{anna, ben} {
		b.open(editor)
	}
	anna.submit(editor, "step", "review-form", "retention.keep_for", "5h")
	ben.submit(editor, "step", "review-form", "retention.drain", "7s")
	anna.submit(editor, "step", "save")
	if ben.submit(editor, "step", "save"); ben.page.status != http.StatusConflict {
		t.Fatalf("%d %s", ben.page.status, ben.page.body)
	}
	ben.wants("token:admin", "saved version 2", "retention.keep_for", "5h", "What you typed is kept")
	if f := ben.fields(editor); f.Get("retention.drain") != "7s" || f.Get("spec_version") != "2" {
		t.Errorf("%v", f)
	}
	ben.submit(editor, "step", "review-form", "retention.keep_for", "5h")
	ben.wants("retention.drain", "Save as version 3")
	if strings.Contains(ben.page.body, "keep_for</th>") {
		t.Error("it is not compared with the other one's version")
	}
	ben.submit(editor, "step", "save")
	if s, version := w.spec(); version != 3 || s.Retention.KeepFor.String() != "5h" || s.Retention.Drain.String() != "7s" {
		t.Errorf("version %d: %+v", version, s.Retention)
	}
}

func TestEditor_New(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b := w.signedIn(Operator)
	const path = "/new-environment"
	for name, says := range map[string]string{"": "must be 1 to 63", "Shop": "must be 1 to 63", "shop": "there is an environment with this name"} {
		b.open(path)
		if b.submit(path, "step", "review-form", "name", name); b.page.status != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d", name, b.page.status)
		}
		b.wants(says)
	}
	b.open(path)
	b.submit(path, "step", "review-form", "name", "new")
	b.wants("Create new?", "services.web.health.type")
	b.submit(path, "step", "back")
	b.wants(`value="new"`)
	b.submit(path, "step", "review-form")
	form := b.fields(path)
	form.Set("step", "save")
	for range 2 { // a double click
		if a := b.send("POST", path, form, nil); a.header.Get("Location") != "/environments/new?said=created" {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	b.follow()
	b.wants("The environment was created.")
	narrow := w.newBrowser()
	narrow.signIn(w.token(Operator, "blog-*"))
	narrow.open(path)
	if narrow.submit(path, "step", "review-form", "name", "shop"); narrow.page.status != http.StatusForbidden {
		t.Errorf("an environment outside of the token: %d", narrow.page.status)
	}
}

// TestEditor_SessionEnds: a long edit outlives its session.
func TestEditor_SessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b := w.signedIn(Operator)
	b.open(editor)
	form := b.fields(editor)
	form.Set("step", "review-form")
	form.Set("description", "long & \"hard\" <work>")
	w.sql("DELETE FROM session")
	b.send("POST", editor, form, nil)
	b.submit("/login", "token", w.token(Operator, "*"))
	b.follow()
	b.wants("This is what you had typed")
	if got := b.fields(editor).Get("description"); got != "long & \"hard\" <work>" {
		t.Errorf("%q", got)
	}
}

func TestStart_TicksAsItGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	b := w.signedIn(Admin)
	if a := b.get("/"); a.header.Get("Location") != "/start" {
		t.Fatalf("an empty installation leads to %q", a.header.Get("Location"))
	}
	b.open("/start")
	form := b.fields("/new-environment")
	form.Set("step", "create")
	form.Set("services.0.hosts", "shop.example")
	if b.send("POST", "/new-environment", form, nil); b.page.header.Get("Location") != "/start?environment=shop" {
		t.Fatalf("%d %s", b.page.status, b.page.body)
	}
	b.follow()
	b.wants("curl -sS -X POST http://127.0.0.1:", "/v1/environments/shop/generations", `"service":"web"`)
	w.register("shop")
	w.awaitState("shop", 1, "ready")
	b.open("/start/steps?environment=shop")
	b.wants(`href="/environments/shop/generations/1/promote"`)
	w.promote("shop", 1)
	b.open("/start?environment=shop")
	b.wants("curl -s -H 'Host: shop.example'", "Look at shop")
	if strings.Contains(b.page.body, "hx-trigger") {
		t.Error("it goes on asking when nothing is left")
	}
	viewer := w.signedIn(Viewer)
	if viewer.open("/start?environment=shop"); strings.Contains(viewer.page.body, `action="/new-environment"`) {
		t.Error("a viewer may create")
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	w := lively(t)
	w.environment("blog")
	viewer, admin := w.signedIn(Viewer), w.signedIn(Admin)
	viewer.open("/find?q=shop")
	viewer.wants("shop generation 3", "generation 2 live")
	if strings.Contains(viewer.page.body, ">action<") || strings.Contains(viewer.page.body, "blog") {
		t.Error("a viewer finds what they cannot do, or what they did not look for")
	}
	admin.open("/find/options?q=sho+promote")
	admin.wants("Promote generation 3", `data-href="/environments/shop/generations/3/promote"`)
	admin.open("/find?q=tokens")
	admin.wants(`href="/tokens"`)
	viewer.open("/find?q=tokens")
	viewer.wants("Nothing found")
	narrow := w.newBrowser()
	narrow.signIn(w.token(Admin, "blog"))
	narrow.open("/find?q=shop")
	narrow.wants("Nothing found")
}
