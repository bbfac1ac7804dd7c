package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"viridian/rollout"
)

func TestPlaces_InWords(t *testing.T) {
	t.Parallel()
	var values any
	if err := json.Unmarshal([]byte(`{"services": [{"name": "web", "hosts": ["a.example", 7]}, {"name": ""}], "routers": ["edge"], "odd": [[1]]}`), &values); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ pointer, known, unknown string }{
		{"", "", ""}, {"/name", "name", "name"}, {"?form", "form in the address", "form in the address"},
		{"/services", "services", "services"}, {"/services/0", `service "web"`, "service 1"},
		{"/services/0/health/interval", `service "web", health, interval`, "service 1, health, interval"},
		{"/services/0/upstream_tls", `service "web", upstream tls`, "service 1, upstream tls"},
		{"/services/0/hosts/0", `service "web", host "a.example"`, "service 1, host 1"},
		{"/services/0/hosts/1", `service "web", host 2`, "service 1, host 2"},
		{"/services/1/name", "service 2, name", "service 2, name"}, {"/services/9/name", "service 10, name", "service 10, name"},
		{"/routers/0", `router "edge"`, "router 1"}, {"/odd/0/0", "odd, entry 1, entry 1", "odd, entry 1, entry 1"},
		{"/validation/checks/2/type", "validation, check 3, type", "validation, check 3, type"},
		{"/a~1b/c~0d", "a/b, c~d", "a/b, c~d"}, {"/weights/41", "weights, entry 42", "weights, entry 42"},
	} {
		if got := placeOf(c.pointer, values); got != c.known {
			t.Errorf("%s: %s, want %s", c.pointer, got, c.known)
		}
		if got := placeOf(c.pointer, nil); got != c.unknown {
			t.Errorf("%s of what is not at hand: %s, want %s", c.pointer, got, c.unknown)
		}
	}
	for detail, want := range map[string]string{
		`"web" is already used at /services/0/name`: `"web" is already used at service 1, name`, "must begin with one /": "must begin with one /",
		"is not /v1/routers at all": "is not /v1/routers at all", "must be at /": "must be at /"} {
		if got := detailOf(rollout.FieldError{Detail: detail}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestEditor_SaysWhereInWords: beside its field where the form has one, else by what people call it, and never by a pointer.
func TestEditor_SaysWhereInWords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b := w.signedIn(Operator)
	for _, c := range []struct{ name, json, at, says string }{
		{"a field", `{"services": [{"name": "web", "health": {"type": "tcp", "interval": "1ns"}}]}`, "services.0.health.interval", "must be a whole number of milliseconds"},
		{"a host of several", `{"services": [{"name": "web", "hosts": ["a.example", "b.example/x"]}]}`, "services.0.hosts", "&#34;b.example/x&#34; must be a host name"},
		{"a name that is taken", `{"services": [{"name": "web"}, {"name": "web"}]}`, "services.1.name", "&#34;web&#34; is already used at service 1, name"},
		{"a question", `{"services": [{"name": "web", "health": {"type": "icmp"}}]}`, "services.0.health.type", "must be &#34;tcp&#34; or"},
		{"a field that this kind of health has not", `{"services": [{"name": "web", "health": {"type": "tcp", "path": "/up"}}]}`, "",
			"<strong>service &#34;web&#34;, health, path:</strong> counts only with"},
		{"what the form does not have", `{"services": [{"name": "web", "upstream_tls": true}]}`, "", "<strong>service &#34;web&#34;, upstream tls:</strong> is not supported yet"},
		{"what is known nowhere", `{"services": [{"name": "web", "port": 1}]}`, "", "<strong>service &#34;web&#34;, port:</strong> is an unknown field"},
		{"a router that is not there", `{"services": [{"name": "web"}], "routers": ["builtin", ".."]}`, "", "<strong>router &#34;..&#34;:</strong> must be the name"},
		{"a name that breaks out", `{"services": [{"name": "<b>&", "health": 7}]}`, "services.0.name", "must be 1 to 63"},
	} {
		b.open(editor)
		if b.submit(editor, "step", "review-json", "json", c.json); b.page.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", c.name, b.page.status)
			continue
		}
		text := b.page.body
		if c.at != "" {
			_, text, _ = strings.Cut(text, `id="field-`+c.at+`-error"`)
			text, _, _ = strings.Cut(text, "</p>")
		}
		if !strings.Contains(text, c.says) {
			t.Errorf("%s: %q is not said at %q", c.name, c.says, c.at)
		}
		outside, _, _ := strings.Cut(b.page.body, `id="field-json"`)
		if strings.Contains(outside, "/services/") || strings.Contains(outside, "/routers/") {
			t.Errorf("%s: a pointer is shown", c.name)
		}
	}
	for _, step := range []string{"review-json", "save"} { // what the installation has not is known when it is saved
		b.open(editor)
		b.submit(editor, "step", step, "json", `{"services": [{"name": "web"}], "routers": ["builtin", "edge"]}`)
	}
	if !strings.Contains(b.page.body, "<strong>router &#34;edge&#34;:</strong> no router &#34;edge&#34; is configured") || strings.Contains(b.page.body, "/routers/1") {
		t.Errorf("a router that is not there: %s", b.page.body)
	}
}

// TestDialogs_SayAtTheQuestionWhatIsWrong with its answer.
func TestDialogs_SayAtTheQuestionWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.signedIn(Admin)
	b.open("/tokens/new")
	b.submit("/tokens/new", "name", "ci", "role", "king", "environments", "*")
	if b.page.status != http.StatusUnprocessableEntity {
		t.Fatalf("%d", b.page.status)
	}
	_, text, found := strings.Cut(b.page.body, `id="field-role-error"`)
	if text, _, _ = strings.Cut(text, "</p>"); !found || !strings.Contains(text, "not one of the allowed values") {
		t.Errorf("it is not said at the role: %s", text)
	}
	b.wants(`aria-describedby="field-role-error"`)
	if strings.Contains(b.page.body, "/role") {
		t.Error("a pointer is shown")
	}
}
