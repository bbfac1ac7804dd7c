package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
)

func TestSession_Lifecycle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.newBrowser()
	if a := b.get("/"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login" {
		t.Fatalf("a stranger: %d %s", a.status, a.header.Get("Location"))
	}
	if a := b.get("/fleet?a=1"); a.header.Get("Location") != "/login?next=%2Ffleet%3Fa%3D1" {
		t.Errorf("the way back is lost: %s", a.header.Get("Location"))
	}
	b.open("/login?next=/fleet")
	if b.cookie != "" {
		t.Error("a stranger has a session")
	}
	token := w.token(Viewer, "*")
	if a := b.submit("/login", "token", token); a.status != http.StatusSeeOther || a.header.Get("Location") != "/fleet" {
		t.Fatalf("sign in: %d %s", a.status, a.header.Get("Location"))
	}
	first := b.cookie
	b.open("/fleet")
	b.wants("viewer", "Sign out")

	// Signing in again is a new secret, and the old one is worth nothing any more.
	b.signIn(token)
	if b.cookie == first {
		t.Error("the secret stays the same")
	}
	old := &browser{w: w, http: b.http, cookie: first}
	if a := old.get("/fleet"); a.status != http.StatusSeeOther {
		t.Errorf("the session before: %d", a.status)
	}

	b.open("/sessions")
	if a := b.submit("/logout"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login" || b.cookie != "" {
		t.Errorf("sign out: %d, cookie %q", a.status, b.cookie)
	}
	kept := b.page.header.Get("Set-Cookie")
	if !strings.Contains(kept, "Max-Age=0") {
		t.Errorf("the cookie is not taken away: %s", kept)
	}
}

// TestSession_Fixation: a secret that somebody else put into the browser does not become a session.
func TestSession_Fixation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.newBrowser()
	b.cookie = "chosen-by-somebody-else-000000000000000000"
	planted := b.cookie
	b.signIn(w.token(Viewer, "*"))
	if b.cookie == planted {
		t.Error("the planted secret is the session's")
	}
	thief := &browser{w: w, http: b.http, cookie: planted}
	if a := thief.get("/"); a.status != http.StatusSeeOther {
		t.Errorf("the planted secret lets in: %d", a.status)
	}
}

// TestSession_DiesWithItsToken: at once, and on every replica, of which each believes its own memory of tokens.
func TestSession_DiesWithItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.mu.Lock()
	token := w.newTokenLocked(Viewer, 0, "*")
	w.mu.Unlock()
	b := w.newBrowser()
	b.signIn(token)
	b.open("/fleet") // now its token is remembered here
	id, _, _ := rollout.ParseToken(token)
	if _, err := w.store.DeleteToken(t.Context(), id, rollout.System, nil); err != nil { // as another replica would
		t.Fatal(err)
	}
	if a := b.get("/fleet"); a.status != http.StatusSeeOther {
		t.Errorf("the session of a deleted token: %d", a.status)
	}
	if a := b.send("POST", "/login", url.Values{"token": {token}}, nil); a.status != http.StatusUnauthorized {
		t.Errorf("a deleted token signs in: %d", a.status)
	}
}

func TestSession_Limits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for column, by := range map[string]string{"seen_at": "9 hours", "expires_at": "25 hours"} {
		b := w.signedIn(Viewer)
		b.open("/fleet")
		for _, sql := range []string{"ALTER TABLE session DISABLE TRIGGER session_guard",
			"UPDATE session SET " + column + " = " + column + " - interval '" + by + "'", "ALTER TABLE session ENABLE TRIGGER session_guard"} {
			w.sql(sql)
		}
		if a := b.get("/fleet"); a.status != http.StatusSeeOther {
			t.Errorf("%s %s ago: %d", column, by, a.status)
		}
	}
}

// TestSession_Quiet: what a page asks for by itself does not keep a session from becoming idle, what a person does, does.
func TestSession_Quiet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	b := w.signedIn(Viewer)
	before := w.unusedFor("1 hour")
	b.open("/start/steps?environment=shop")
	b.open("/live?poll=1")
	w.server.background.Wait()
	if w.seen() != before {
		t.Error("a page that asks by itself counts as use")
	}
	b.open("/fleet")
	w.until(func() bool { return w.seen() != before }, func() string { return "the use is not recorded" })
}

// TestSession_OfAWall: nobody has a hand on the screen, so that following it is its use.
func TestSession_OfAWall(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.signedIn(Viewer)
	before := w.unusedFor("1 hour")
	b.watch("/wall/live", "").beats(1)
	w.until(func() bool { return w.seen() != before }, func() string { return "a wall that is followed is not in use" })
	before = w.unusedFor("1 hour")
	w.server.tokens.mu.Lock()
	clear(w.server.tokens.touched)
	w.server.tokens.mu.Unlock()
	w.until(func() bool { return w.seen() != before }, func() string { return "a wall that goes on being followed is not in use" })
}

// unusedFor moves the last use of the one session back, and returns when that is now.
func (w *world) unusedFor(span string) (seen string) {
	w.t.Helper()
	w.until(func() bool { return w.seen() != "" }, func() string { return "no session" })
	for _, sql := range []string{"ALTER TABLE session DISABLE TRIGGER session_guard",
		"UPDATE session SET seen_at = seen_at - interval '" + span + "'", "ALTER TABLE session ENABLE TRIGGER session_guard"} {
		w.sql(sql)
	}
	return w.seen()
}

// seen is when the one session was seen.
func (w *world) seen() string {
	w.t.Helper()
	var at string
	if err := w.connection().QueryRow(w.t.Context(), "SELECT coalesce(max(seen_at)::text, '') FROM session").Scan(&at); err != nil {
		w.t.Fatal(err)
	}
	return at
}

func TestSession_List(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	viewer, other, admin := w.signedIn(Viewer), w.signedIn(Deployer), w.signedIn(Admin)
	viewer.open("/sessions")
	viewer.wants("this browser")
	if strings.Contains(viewer.page.body, "deployer") {
		t.Error("a viewer sees the sessions of others")
	}
	theirs := sessionID(t, other.open("/sessions").body)
	form := url.Values{"csrf_token": {viewer.fields("/logout").Get("csrf_token")}}
	if a := viewer.send("POST", "/sessions/"+theirs+"/end", form, nil); a.status != http.StatusNotFound {
		t.Errorf("a viewer ends the session of another: %d", a.status)
	}
	admin.open("/sessions")
	admin.wants("deployer", "viewer")
	if a := admin.submit("/sessions/" + theirs + "/end"); a.status != http.StatusSeeOther {
		t.Fatalf("end: %d %s", a.status, a.body)
	}
	admin.follow()
	admin.wants("The session was ended.")
	if a := other.get("/"); a.status != http.StatusSeeOther {
		t.Errorf("an ended session: %d", a.status)
	}
	mine := sessionID(t, viewer.open("/sessions").body)
	if viewer.submit("/sessions/" + mine + "/end"); viewer.page.header.Get("Location") != "/login" || viewer.cookie != "" {
		t.Errorf("the own session: %d", viewer.page.status)
	}
}

func sessionID(t *testing.T, page string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, `action="/sessions/`)
	if !found {
		t.Fatalf("no session:\n%s", page)
	}
	id, _, _ := strings.Cut(rest, "/")
	return id
}

func TestLogin_Refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	_, unknown := rolloutToken(t)
	expired := w.token(Viewer, "*")
	w.mu.Lock()
	short := w.newTokenLocked(Viewer, time.Nanosecond, "*")
	w.mu.Unlock()
	for name, token := range map[string]string{"none": "", "not a token": "secret", "cut": expired[:20], "unknown": unknown, "expired": short} {
		b := w.newBrowser()
		a := b.send("POST", "/login", url.Values{"token": {token}, "next": {"/fleet"}}, nil)
		if a.status != http.StatusUnauthorized || b.cookie != "" {
			t.Errorf("%s: %d", name, a.status)
		}
		if token != "" && strings.Contains(a.body, token) {
			t.Errorf("%s: the token stands on the page", name)
		}
		if got := b.fields("/login"); got.Get("next") != "/fleet" {
			t.Errorf("%s: the way back is lost: %v", name, got)
		}
	}
}

func TestLogin_IsLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.newBrowser()
	for range loginFailures {
		if a := b.send("POST", "/login", url.Values{"token": {"wrong"}}, nil); a.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	a := b.send("POST", "/login", url.Values{"token": {w.token(Viewer, "*")}}, nil)
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") != "60" || b.cookie != "" {
		t.Errorf("after %d failures: %d %v", loginFailures, a.status, a.header)
	}
}

func TestLogin_Next(t *testing.T) {
	t.Parallel()
	for next, want := range map[string]string{
		"/fleet": "/fleet", "/environments/shop?a=b": "/environments/shop?a=b", "": "/", "//evil.example": "/", "https://evil.example": "/",
		"/\\evil.example": "/", "javascript:alert(1)": "/", "/login": "/", "/logout": "/", "fleet": "/", "/a\r\nSet-Cookie: x": "/", "/\t/evil.example": "/",
	} {
		if got := safeNext(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// TestLogin_Link: looking at the link, as previews of it do, does not spend it; its button does, once.
func TestLogin_Link(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	id, _, _ := rollout.ParseToken(w.admin())
	const secret = "ONCEONCEONCEONCEONCEONCE"
	if err := w.store.NewLoginLink(t.Context(), secret, id, time.Hour); err != nil {
		t.Fatal(err)
	}
	w.newBrowser().open("/login?once=" + secret)
	b := w.newBrowser()
	b.open("/login?once=" + secret)
	b.wants("Sign in as admin")
	if a := b.submit("/login"); a.status != http.StatusSeeOther || b.cookie == "" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.open("/fleet")
	if a := b.get("/login?once=" + secret); a.status != http.StatusSeeOther {
		t.Errorf("who is signed in already opens the link again: %d", a.status)
	}
	late := w.newBrowser()
	if a := late.get("/login?once=" + secret); a.status != http.StatusNotFound || !strings.Contains(a.body, "used already") {
		t.Errorf("a spent link: %d", a.status)
	}
	if a := late.send("POST", "/login", url.Values{"once": {secret}}, nil); a.status == http.StatusSeeOther || late.cookie != "" {
		t.Errorf("a spent link signs in: %d", a.status)
	}
}

// TestLogin_PlainHTTP says why it cannot work, in place of coming back to the same form again and again.
func TestLogin_PlainHTTP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.newBrowser()
	a := b.send("POST", "/login", url.Values{"token": {w.token(Viewer, "*")}}, map[string]string{"Origin": "http://10.1.2.3:7070", "Sec-Fetch-Site": "", "Host": "10.1.2.3:7070"})
	if a.status != http.StatusForbidden || b.cookie != "" {
		t.Errorf("%d", a.status)
	}
}
