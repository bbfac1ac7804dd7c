package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/store"
)

const idle = time.Hour

func (w *world) newSession(id, secret, token string) {
	w.Helper()
	w.must(w.StartSession(w.Context(), store.NewSession{ID: id, Secret: secret, TokenID: token, Actor: alice,
		Address: "10.0.0.9", UserAgent: "<script>", Lifetime: time.Hour}))
}

func (w *world) alive(secret string) bool {
	w.Helper()
	_, found, err := w.SessionData(idle).FindCtx(w.Context(), secret)
	w.must(err)
	return found
}

func (w *world) newToken(id string) {
	w.Helper()
	_, _, err := w.CreateToken(w.Context(), ask(id), nil)
	w.must(err)
}

func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newToken("a")
	w.newToken("b")
	w.newSession("s1", "one", "a")
	w.newSession("s2", "two", "b")
	data := w.SessionData(idle)
	w.must(data.CommitCtx(t.Context(), "one", []byte("kept"), time.Now()))
	kept, found, err := data.FindCtx(t.Context(), "one")
	if string(kept) != "kept" || !found || err != nil {
		t.Fatalf("%q %v %v", kept, found, err)
	}
	if w.alive("none") || w.alive("") || !w.alive("two") {
		t.Error("the wrong sessions are alive")
	}
	got := must(w.Session(t.Context(), "s1"))
	if got.TokenID != "a" || got.TokenName != "ci" || got.Role != "deployer" || got.Address != "10.0.0.9" || got.UserAgent != "<script>" ||
		got.ExpiresAt.Sub(got.CreatedAt) != time.Hour {
		t.Errorf("%+v", got)
	}
	if all := must(w.Sessions(t.Context(), "", idle, store.Paging{})); len(all.Items) != 2 || all.Items[0].ID != "s2" {
		t.Errorf("%+v", all)
	}
	if own := must(w.Sessions(t.Context(), "a", idle, store.Paging{})); len(own.Items) != 1 || own.Items[0].ID != "s1" {
		t.Errorf("%+v", own)
	}
	first := must(w.Sessions(t.Context(), "", idle, store.Paging{Limit: 1}))
	second := must(w.Sessions(t.Context(), "", idle, store.Paging{Limit: 1, Cursor: first.Next}))
	if second.Items[0].ID != "s1" || second.Next != "" {
		t.Errorf("%+v", second)
	}

	w.must(w.EndSession(t.Context(), "s1", alice))
	wantCode(t, w.EndSession(t.Context(), "s1", alice), rollout.NotFound)
	_, err = w.Session(t.Context(), "s1")
	wantCode(t, err, rollout.NotFound)
	if w.alive("one") {
		t.Error("an ended session is alive")
	}
	verify(t, w, "")
}

// What a request that is under way still writes does not bring a session back that was ended meanwhile.
func TestSessions_StayEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newToken("a")
	w.newSession("s1", "one", "a")
	w.must(w.SessionData(idle).DeleteCtx(t.Context(), "one"))
	w.must(w.SessionData(idle).CommitCtx(t.Context(), "one", []byte("late"), time.Now().Add(time.Hour)))
	if w.alive("one") {
		t.Error("it is back")
	}
}

func TestSessions_EndWithTheirToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newToken("a")
	w.newToken("b")
	w.newSession("s1", "one", "a")
	w.newSession("s2", "two", "b")
	other := *w
	other.Store = w.open() // another replica
	must(w.DeleteToken(t.Context(), "a", alice, nil))
	if other.alive("one") || !other.alive("two") {
		t.Error("the session of a deleted token is alive, or that of another token is not")
	}
	err := w.StartSession(t.Context(), store.NewSession{ID: "s3", Secret: "three", TokenID: "a", Actor: alice, Lifetime: time.Hour})
	wantCode(t, err, rollout.Unauthenticated)
	conn := w.raw()
	for _, sql := range []string{
		"ALTER TABLE token DISABLE TRIGGER token_guard", "UPDATE token SET expires_at = clock_timestamp() WHERE id = 'b'",
		"ALTER TABLE token ENABLE TRIGGER token_guard",
	} {
		_, err := conn.Exec(t.Context(), sql)
		w.must(err)
	}
	if other.alive("two") {
		t.Error("the session of a token that expired is alive")
	}
	w.must(w.Prune(t.Context()))
	var left int
	w.must(conn.QueryRow(t.Context(), "SELECT count(*) FROM session").Scan(&left))
	if left != 0 {
		t.Errorf("%d sessions are left", left)
	}
}

func TestSessions_EndByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newToken("a")
	w.newSession("s1", "one", "a")
	conn := w.raw()
	shift := func(column, by string) {
		t.Helper()
		for _, sql := range []string{"ALTER TABLE session DISABLE TRIGGER session_guard",
			"UPDATE session SET " + column + " = " + column + " - interval '" + by + "'", "ALTER TABLE session ENABLE TRIGGER session_guard"} {
			_, err := conn.Exec(t.Context(), sql)
			w.must(err)
		}
	}
	seen := func() time.Time { return must(w.Session(t.Context(), "s1")).SeenAt }
	data := w.SessionData(idle)
	before := seen()
	w.must(data.Touch(t.Context(), "one"))
	if !w.alive("one") || !seen().Equal(before) {
		t.Error("its use is recorded twice in a minute")
	}
	shift("seen_at", "30 minutes")
	w.must(data.Touch(t.Context(), "one"))
	if !w.alive("one") || seen().Before(before) {
		t.Error("its use is not recorded after half an hour")
	}
	shift("seen_at", "1 hour")
	w.must(data.Touch(t.Context(), "one"))
	if w.alive("one") {
		t.Error("it is alive after an idle hour")
	}
	w.newSession("s2", "two", "a")
	shift("expires_at", "1 hour")
	if w.alive("two") {
		t.Error("it is alive after its lifetime")
	}
}

func TestLoginLinks_LetOneIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newToken("a")
	w.must(w.NewLoginLink(t.Context(), "link", "a", time.Hour))
	w.must(w.NewLoginLink(t.Context(), "old", "a", -time.Second))
	for range 2 { // looking does not use it
		if got := must(w.LoginLink(t.Context(), "link")); got != "a" {
			t.Fatal(got)
		}
	}
	for _, secret := range []string{"old", "none", ""} {
		_, err := w.LoginLink(t.Context(), secret)
		wantCode(t, err, rollout.NotFound)
		_, err = w.UseLoginLink(t.Context(), secret)
		wantCode(t, err, rollout.NotFound)
	}
	var wait sync.WaitGroup
	in := make(chan string, 8)
	for range cap(in) {
		wait.Go(func() {
			if token, err := w.UseLoginLink(context.Background(), "link"); err == nil {
				in <- token
			}
		})
	}
	wait.Wait()
	if len(in) != 1 || <-in != "a" {
		t.Errorf("the link let %d in", len(in)+1)
	}
	_, err := w.LoginLink(t.Context(), "link")
	wantCode(t, err, rollout.NotFound)
}
