package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

// TestCSRF_Matrix sends the form of every way to write: only what comes from our own page, with what only this session
// could know, is let through to it.
func TestCSRF_Matrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b, other := w.signedIn(Admin), w.signedIn(Admin)
	b.open("/sessions")
	token := b.fields("/logout").Get("csrf_token")
	other.open("/sessions")
	foreign := other.fields("/logout").Get("csrf_token")
	if token == "" || token == foreign {
		t.Fatalf("tokens %q and %q", token, foreign)
	}
	asked := 0
	for _, p := range w.server.pages() {
		if p.method != http.MethodPost || p.open {
			continue
		}
		path := strings.NewReplacer("{environment}", "shop", "{number}", "1", "{router}", "builtin", "{node}", "edge-1", "{token}", "1", "{session}", "1").Replace(p.path)
		for name, c := range map[string]struct {
			csrf   string
			header map[string]string
		}{
			"no token":                      {"", nil},
			"a wrong token":                 {"0000", nil},
			"the token of another session":  {foreign, nil},
			"from another site":             {token, map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}},
			"from a sibling site":           {token, map[string]string{"Sec-Fetch-Site": "same-site", "Origin": "https://other.example"}},
			"by an old browser, from there": {token, map[string]string{"Sec-Fetch-Site": "", "Origin": "https://evil.example"}},
			"from nowhere":                  {token, map[string]string{"Sec-Fetch-Site": "", "Origin": "null"}},
			"by no browser, with no token":  {"", map[string]string{"Sec-Fetch-Site": "", "Origin": ""}},
		} {
			asked++
			form := url.Values{"csrf_token": {c.csrf}, "reason": {"csrf"}, "confirm": {"shop"}, "name": {"x"}, "role": {"admin"}, "environments": {"*"}, "step": {"save"}, "json": {spec}}
			if a := b.send("POST", path, form, c.header); a.status != http.StatusForbidden {
				t.Errorf("%s %s: %d, want 403", path, name, a.status)
			}
		}
		form := url.Values{"csrf_token": {token}}
		if a := b.send("POST", path, form, map[string]string{"Content-Type": "application/json"}); a.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s as JSON: %d", path, a.status)
		}
		if a := b.send("POST", path, form, map[string]string{"Content-Type": "multipart/form-data; boundary=x"}); a.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s as multipart: %d", path, a.status)
		}
	}
	if asked < 100 {
		t.Errorf("only %d requests; is this every way to write?", asked)
	}
	events := w.ok("GET", "/v1/events?limit=200", "").body
	if strings.Contains(events, "csrf") || strings.Contains(events, "lock.set") {
		t.Errorf("something was done: %s", events)
	}
}

// TestCSRF_Login: a form on another site cannot sign somebody in, or out.
func TestCSRF_Login(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.newBrowser()
	cross := map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
	if a := b.send("POST", "/login", url.Values{"token": {w.token(Viewer, "*")}}, cross); a.status != http.StatusForbidden || b.cookie != "" {
		t.Errorf("sign in from another site: %d", a.status)
	}
	b.signIn(w.token(Viewer, "*"))
	if a := b.send("POST", "/logout", url.Values{}, cross); a.status != http.StatusForbidden || b.cookie == "" {
		t.Errorf("sign out from another site: %d", a.status)
	}
	if a := b.send("POST", "/logout", url.Values{}, nil); a.status != http.StatusForbidden || b.cookie == "" {
		t.Errorf("sign out without the token: %d", a.status)
	}
}

// TestCSRF_APIWantsABearer: a session's cookie opens no route of the API, whatever is sent with it.
func TestCSRF_APIWantsABearer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b := w.signedIn(Admin)
	b.open("/sessions")
	token := b.fields("/logout").Get("csrf_token")
	for path, item := range w.contract.doc.Paths.Map() {
		if !strings.HasPrefix(path, "/v1/") && path != "/metrics" {
			continue
		}
		for method := range item.Operations() {
			r, err := http.NewRequestWithContext(t.Context(), method, w.url+fill(path, "shop")+"?csrf_token="+token, strings.NewReader("csrf_token="+token))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Cookie", sessionCookie+"="+b.cookie)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("X-CSRF-Token", token)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
			got, err := b.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got.Body.Close()
			if got.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s %s with a cookie: %d, want 401", method, path, got.StatusCode)
			}
		}
	}
}

// TestCSRF_GETChangesNothing opens every page there is, signed in as one who may do everything.
func TestCSRF_GETChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.environment("shop")
	w.promote("shop", w.ready("shop"))
	w.promote("shop", w.ready("shop"))
	w.ready("shop")
	b := w.signedIn(Admin)
	w.stop()
	before := w.fingerprint()
	mux, err := w.server.mux()
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	err = chi.Walk(mux, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if method != http.MethodGet || strings.HasPrefix(path, "/v1/") || strings.HasSuffix(path, "/live") {
			return nil
		}
		for _, number := range []string{"1", "2", "3"} {
			opened++
			target := strings.NewReplacer("{environment}", "shop", "{number}", number, "{revision}", "1", "{router}", "builtin", "{node}", "edge-1",
				"{token}", "1", "{asset}", "start.js", "{badge}", "shop.svg", "/*", "/all.css").Replace(path)
			if a := b.get(target + "?reason=x&force=true&step=save&confirm=shop&preview=&to=1&once=x"); a.status >= 500 {
				t.Errorf("%s: %d %s", target, a.status, a.body)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := w.fingerprint(); after != before || opened < 60 {
		t.Errorf("a page that was only opened changed something (%d opened)", opened)
	}
}
