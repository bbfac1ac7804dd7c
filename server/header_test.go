package server

import (
	"net/http"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

// TestHeaders_OnEveryAnswer asks every route there is, as nobody and as somebody, and for what is not there.
func TestHeaders_OnEveryAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	nobody, admin := w.newBrowser(), w.signedIn(Admin)
	mux, err := w.server.mux()
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	try := func(b *browser, method, path string, header map[string]string) {
		asked++
		a := b.send(method, path, nil, header)
		wantHeaders(t, method+" "+path, a)
	}
	err = chi.Walk(mux, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if strings.HasSuffix(path, "/live") || strings.HasSuffix(path, "/stream") {
			return nil // without end; what they begin with is looked at elsewhere
		}
		target := strings.NewReplacer("{badge}", "shop.svg", "{token}", "1", "{session}", "1", "/*", "/all.css").Replace(fill(path, "shop"))
		try(nobody, method, target, nil)
		try(admin, method, target, nil)
		try(admin, method, target, map[string]string{"HX-Request": "true"})
		try(admin, method, target, map[string]string{"Accept": "application/json"})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/nothing", "/v1/nothing", "/environments/nothing", "/environments/shop/generations/77", "/environments/%ff", "/%00", "/assets/nothing.js", "/docs/none", "/login?once=x", "/?%zz"} {
		try(nobody, "GET", path, nil)
		try(admin, "GET", path, nil)
		try(admin, "PATCH", path, nil)
		try(admin, "POST", path, nil)
	}
	if asked < 250 {
		t.Errorf("only %d requests; is this every route?", asked)
	}
}

// wantHeaders looks for the headers that keep a browser in bounds.
func wantHeaders(t *testing.T, place string, a answer) {
	t.Helper()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin", "X-Request-Id": ""} {
		if got := a.header.Get(name); got == "" || (want != "" && got != want) {
			t.Errorf("%s: %d has %s %q", place, a.status, name, got)
		}
	}
	if got := a.header.Get("Referrer-Policy"); got != "no-referrer" && got != "same-origin" {
		t.Errorf("%s: %d has Referrer-Policy %q", place, a.status, got)
	}
	if !strings.Contains(a.header.Get("Permissions-Policy"), "camera=()") {
		t.Errorf("%s: %d has no Permissions-Policy", place, a.status)
	}
	policy := a.header.Get("Content-Security-Policy")
	for _, need := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action "} {
		if !strings.Contains(policy, need) {
			t.Errorf("%s: %d: the policy lacks %s: %q", place, a.status, need, policy)
		}
	}
	if strings.Contains(policy, "unsafe-eval") || strings.Contains(policy, "http") || strings.Contains(policy, "*") ||
		strings.Contains(policy, "unsafe-inline") && !strings.Contains(place, "/docs") {
		t.Errorf("%s: %d: the policy lets too much through: %s", place, a.status, policy)
	}
	if kind := a.header.Get("Content-Type"); strings.HasPrefix(kind, "text/html") && a.status != http.StatusNotModified {
		for _, inline := range []string{"<style", " style=\"", " onclick", " onload", "javascript:", "hx-on", "js:"} {
			if strings.Contains(a.body, inline) {
				t.Errorf("%s: the page has something inline: %s", place, inline)
			}
		}
		if n := strings.Count(a.body, "<script"); n != strings.Count(a.body, `<script src="/`) {
			t.Errorf("%s: the page has an inline script", place)
		}
	}
}

// TestHeaders_OnAPanic: a fault of ours answers with them, too, and tells nothing.
func TestHeaders_OnAPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.server.handler = w.server.begin(w.server.observe(protect(w.server.recover(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("secret detail")
	})))))
	for _, accept := range []string{"text/html", "application/json"} {
		a := w.newBrowser().send("GET", "/x", nil, map[string]string{"Accept": accept})
		wantHeaders(t, "a panic", a)
		if a.status != http.StatusInternalServerError || strings.Contains(a.body, "secret detail") {
			t.Errorf("%s: %d %s", accept, a.status, a.body)
		}
	}
}
