package server

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
)

func rolloutToken(t *testing.T) (id, token string) {
	t.Helper()
	id, token, err := rollout.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id, token
}

func (w *world) whoami(token string) answer {
	w.t.Helper()
	return w.send(request{Method: "GET", Path: "/v1/whoami", Token: token})
}

func TestToken_DeletedIsRefusedSoon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	token := w.token(Viewer, "*")
	if a := w.whoami(token); a.status != 200 {
		t.Fatalf("whoami: %d %s", a.status, a.body)
	}
	// As another replica would do it: this process is not told.
	id, _, _ := rollout.ParseToken(token)
	if _, err := w.store.DeleteToken(t.Context(), id, rollout.System, nil); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.until(func() bool { return w.whoami(token).status == 401 }, func() string { return "a deleted token is still taken" })
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a deleted token was taken for %s", took)
	}
}

func TestToken_ExpiresWithoutBeingAskedAbout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.mu.Lock()
	token := w.newTokenLocked(Viewer, 2*time.Second, "*")
	w.mu.Unlock()
	if a := w.whoami(token); a.status != 200 {
		t.Fatalf("whoami: %d %s", a.status, a.body)
	}
	w.until(func() bool { return w.whoami(token).status == 401 }, func() string { return "an expired token is still taken" })
}

func TestToken_WrongOnesGetOneAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	token := w.token(Admin, "*")
	_, other := rolloutToken(t)
	id, _, _ := rollout.ParseToken(token)
	otherID, _, _ := rollout.ParseToken(other)
	answers := map[string]bool{}
	for _, wrong := range []string{"vir_", token[:len(token)-1], token + "x", strings.Replace(other, otherID, id, 1), other, strings.ToLower(token), "x"} {
		a := w.whoami(wrong)
		if a.status != 401 || a.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("a wrong token: %d %s", a.status, a.body)
		}
		answers[a.problem.Detail] = true
	}
	if len(answers) != 1 {
		t.Errorf("wrong tokens can be told apart: %v", answers)
	}
	for _, scheme := range []string{"Basic ", "", "Token "} {
		if a := w.send(request{Method: "GET", Path: "/v1/whoami", Header: map[string]string{"Authorization": scheme + token}}); a.status != 401 {
			t.Errorf("scheme %q: %d", scheme, a.status)
		}
	}
	if a := w.send(request{Method: "GET", Path: "/v1/whoami", Header: map[string]string{"Authorization": "bearer " + token}}); a.status != 200 {
		t.Errorf("the scheme is case-insensitive (RFC 9110 §11.1): %d", a.status)
	}
}

func TestToken_ChecksumComesBeforeTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	_, token := rolloutToken(t)
	w.store.Close()
	if a := w.whoami(token[:len(token)-1] + "!"); a.status != 401 {
		t.Errorf("a wrong checksum without a database: %d %s", a.status, a.body)
	}
	a := w.whoami(token)
	if a.status != 503 || a.problem.Code != "unavailable" || a.header.Get("Retry-After") == "" {
		t.Errorf("a right checksum without a database: %d %s", a.status, a.body)
	}
	if a := w.send(request{Method: "GET", Path: "/readyz"}); a.status != 503 {
		t.Errorf("/readyz without a database: %d", a.status)
	}
	if a := w.send(request{Method: "GET", Path: "/livez"}); a.status != 200 {
		t.Errorf("/livez without a database: %d", a.status)
	}
	if a := w.send(request{Method: "GET", Path: "/readyz/proxy"}); a.status != 200 {
		t.Errorf("/readyz/proxy without a database: %d", a.status)
	}
}

func TestToken_CannotGiveMoreThanItHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	maker := w.token(Admin, "shop-*")
	rootID, _, _ := rollout.ParseToken(w.admin())
	for globs, want := range map[string]int{`["shop-a"]`: 201, `["shop-*"]`: 201, `["*"]`: 403, `["shop-a", "other"]`: 403, `["*-prod"]`: 403} {
		a := w.send(request{Method: "POST", Path: "/v1/tokens", Token: maker, Body: fmt.Sprintf(`{"name": "t", "role": "admin", "environments": %s}`, globs)})
		if a.status != want {
			t.Errorf("a token for %s: %d %s", globs, a.status, a.body)
		}
	}
	if a := w.send(request{Method: "DELETE", Path: "/v1/tokens/" + rootID, Token: maker}); a.status != 403 {
		t.Errorf("deleting a token of other environments: %d %s", a.status, a.body)
	}
}

func TestToken_LastUseIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	token := w.token(Viewer, "*")
	id, _, _ := rollout.ParseToken(token)
	w.whoami(token)
	w.until(func() bool {
		used, err := w.store.Token(t.Context(), id)
		return err == nil && used.LastUsedAt != nil
	}, func() string { return "the last use is not recorded" })
}
