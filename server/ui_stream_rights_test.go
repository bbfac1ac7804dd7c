package server

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
)

// TestLive_TellsNothingOfOthers: neither pages nor their streams name an environment that the token is not for.
func TestLive_TellsNothingOfOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop-a")
	w.environment("secret")
	b := w.newBrowser()
	b.signIn(w.token(Deployer, "shop-*"))
	for _, path := range []string{"/", "/wall", "/fleet", "/environments/shop-a", "/audit", "/audit?kind=environment", "/audit/export?form=csv", "/audit/export?form=json"} {
		if a := b.open(path); strings.Contains(a.body, "secret") {
			t.Errorf("%s names it", path)
		}
	}
	for _, path := range []string{"/live", "/wall/live", "/fleet/live"} {
		for _, m := range b.watch(path, "").beats(1) {
			if strings.Contains(m.data, "secret") {
				t.Errorf("%s names it", path)
			}
		}
	}
	for _, path := range []string{"/environments/secret", "/environments/secret/live?poll=1", "/environments/secret/live", "/environments/secret/switches",
		"/environments/secret/generations/1", "/audit?environment=secret", "/badge/secret.svg", "/audit/export?form=csv&environment=secret"} {
		missing := strings.ReplaceAll(path, "secret", "nothing")
		if there, not := b.get(path), b.get(missing); there.status != http.StatusForbidden || not.status != there.status {
			t.Errorf("%s: %d, and for one that is not there %d", path, there.status, not.status)
		}
	}
}

// TestLive_EndsWithTheToken: who may not read any more is not told any more, and is not let in again.
func TestLive_EndsWithTheToken(t *testing.T) {
	t.Parallel()
	w, _ := quiet(t, "shop")
	b := w.newBrowser()
	b.signIn(w.token(Viewer, "shop"))
	l := b.watch("/environments/shop/live", "")
	l.beats(1)
	var tokens struct {
		Items []struct{ ID, Role string }
	}
	w.decode(w.ok("GET", "/v1/tokens", ""), &tokens)
	for _, token := range tokens.Items {
		if token.Role == string(Viewer) {
			w.ok("DELETE", "/v1/tokens/"+token.ID, "")
		}
	}
	l.ended()
	w.until(func() bool { return b.watch("/environments/shop/live", "").status == http.StatusUnauthorized },
		func() string { return "the stream can be opened without a token" })
}

// TestLive_CanBePolled where a proxy lets no stream through.
func TestLive_CanBePolled(t *testing.T) {
	t.Parallel()
	w, all := quiet(t, "shop")
	b := w.signedIn(Viewer)
	b.open("/environments/shop")
	path := b.streamPath() + "&poll=1"
	b.script = true
	poll := func(path string) (parts, seq string) {
		t.Helper()
		a := b.open(path)
		var told struct {
			Beat struct {
				At  time.Time
				Age *int
				Seq string
			}
		}
		if err := json.Unmarshal([]byte(a.header.Get("HX-Trigger")), &told); err != nil || told.Beat.At.IsZero() || told.Beat.Age == nil {
			t.Fatalf("%v: %s", err, a.header.Get("HX-Trigger"))
		}
		return a.body, told.Beat.Seq
	}
	if parts, _ := poll(path); strings.Contains(parts, "#side-") {
		t.Errorf("what the page has is sent: %s", parts)
	}
	e := all["shop"]
	w.publish(&e, remark("stocktaking"))
	parts, seq := poll(path)
	if !strings.Contains(parts, `<hx-partial hx-target="#head" hx-swap="innerMorph">`) || !strings.Contains(parts, "stocktaking") || strings.Contains(parts, "#side-") {
		t.Errorf("the change is not sent alone: %s", parts)
	}
	if parts, _ := poll("/environments/shop/live?poll=1&since=" + seq); parts != "" {
		t.Errorf("the change is sent again: %s", parts)
	}
}

// TestLive_OfADeletedEnvironment says so, and goes on.
func TestLive_OfADeletedEnvironment(t *testing.T) {
	t.Parallel()
	w, all := quiet(t, "shop")
	b := w.signedIn(Viewer)
	b.open("/environments/shop")
	l := b.watch(b.streamPath(), "")
	l.beats(1)
	e := all["shop"]
	w.publish(&e, func(e *rollout.Environment) { e.DeletedAt, e.DeletingAt = &e.CreatedAt, &e.CreatedAt })
	l.until("was deleted")
}
