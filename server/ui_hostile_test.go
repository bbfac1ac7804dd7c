package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"viridian/router/routertest"
)

// payload breaks out of text, of attributes in either quotes, and of a textarea, where it is not escaped.
const payload = `"'></textarea></title><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}javascript:alert(1)`

// TestPages_HostileText puts the payload into every text that people or programs can give, in the API, in forms and in
// what browsers say of themselves, and looks at every page there is.
func TestPages_HostileText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	quoted, err := json.Marshal(payload)
	if err != nil {
		t.Fatal(err)
	}
	text := string(quoted)
	w.ok("PUT", shop, strings.Replace(spec, "{", `{"description": `+text+`, `, 1))
	for range 3 {
		in := routertest.NewBackend(t, 1).Instance("a")
		body := strings.Replace(groups(in.Address, in.Port), `"1.0"`, text, 1)
		body = strings.Replace(body, "{", `{"metadata": {"note": `+text+`}, "artifact": {"digest": "sha256:ab", "source": {"url": "https://x/'onclick=alert(1)", "repository": "'onclick=alert(1)><script>", "commit": "<script>alert(1)</script>"}}, `, 1)
		w.ok("POST", generations, body)
	}
	for n := 1; n <= 3; n++ {
		w.awaitState("shop", n, "ready")
	}
	reason := `{"reason": ` + text + `}`
	w.ok("POST", generations+"/1/promote", reason)
	w.ok("POST", generations+"/2/promote", reason)
	w.ok("POST", shop+"/rollback", reason)
	w.ok("PUT", shop+"/lock", reason)

	b := w.newBrowser()
	b.send("POST", "/login", url.Values{"token": {w.admin()}, "next": {payload}}, map[string]string{"User-Agent": payload})
	shown, opened := 0, 0
	look := func(path string, a answer) {
		opened++
		if a.status >= 500 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		for _, bad := range []string{"<script>alert", "<img src=x", "</textarea></title>", "'></textarea>", `href="javascript:`, `src="javascript:`} {
			if strings.Contains(a.body, bad) && strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
				t.Errorf("%s: the page has %q as it was given", path, bad)
			}
		}
		if strings.Contains(a.body, "&lt;img src=x onerror") {
			shown++
		}
	}
	mux, err := w.server.mux()
	if err != nil {
		t.Fatal(err)
	}
	err = chi.Walk(mux, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != http.MethodGet || strings.HasPrefix(path, "/v1/") || strings.HasSuffix(path, "/live") {
			return nil
		}
		for n := 1; n <= 3; n++ {
			target := strings.NewReplacer("{environment}", "shop", "{number}", fmt.Sprint(n), "{revision}", fmt.Sprint(n), "{router}", "builtin", "{node}", "edge-1",
				"{token}", w.tokenNamed("admin"), "{asset}", "start.js", "{badge}", "shop.svg", "/*", "/all.css").Replace(path)
			for _, script := range []bool{false, true} {
				b.script = script
				look(target, b.get(target+"?environment=shop&q="+url.QueryEscape(payload)))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.script = false
	for _, d := range w.server.deeds() {
		path := strings.NewReplacer("{environment}", "shop", "{number}", "3", "{router}", "builtin", "{node}", "edge-1").Replace(d.path)
		form := url.Values{"csrf_token": {csrfOf(b)}, "preview": {"x"}}
		for _, field := range []string{"reason", "confirm", "share", "other", "to", "from", "keep_until", "keep_for", "name", "environments", "role", "expires_in", "expected_revision"} {
			form.Set(field, payload)
		}
		look(path, b.send("POST", path, form, nil)) // shows it again
		form.Del("preview")
		look(path, b.send("POST", path, form, nil)) // refuses it
	}
	for _, step := range []string{"review-form", "review-json", "sync-form", "sync-json", "back", "save", "add-service"} {
		form := url.Values{"csrf_token": {csrfOf(b)}, "step": {step}, "json": {payload}, "services": {"1"}, "spec_version": {"1"}}
		for _, field := range []string{"name", "description", "services.0.name", "services.0.hosts", "services.0.health.type", "services.0.health.path", "retention.keep_for", "validation.timeout"} {
			form.Set(field, payload)
		}
		look(editor, b.send("POST", editor, form, nil))
		look("/new-environment", b.send("POST", "/new-environment", form, nil))
	}
	if shown < 60 || opened < 200 {
		t.Errorf("the payload was shown %d times on %d pages; is this looking at it?", shown, opened)
	}
	outsider := w.newBrowser()
	look("/login", outsider.send("POST", "/login", url.Values{"token": {payload}, "next": {payload}, "draft": {payload}}, nil))
	look("/login", outsider.get("/login?once="+url.QueryEscape(payload)+"&next="+url.QueryEscape(payload)))
}

// csrfOf is what the forms of the browser's session carry.
func csrfOf(b *browser) string {
	return (&session{secret: b.cookie}).csrf()
}
