package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"viridian/rollout"
	"viridian/store"
)

func TestProblem_EveryCodeHasItsAnswer(t *testing.T) {
	t.Parallel()
	for _, value := range loadContract(t).Doc.Components.Schemas["Code"].Value.Enum {
		code := rollout.Code(value.(string))
		p := problem(rollout.Refuse(code, "why"), "r")
		if string(p.Code) != string(code) || p.Status < 400 || p.Title == "" || len(p.Fixes) == 0 || p.Type != "urn:viridian:problem:"+string(code) {
			t.Errorf("%s: %+v", code, p)
		}
		if code != rollout.Internal && (p.Status >= 500) != (code == rollout.Unavailable) {
			t.Errorf("%s is answered with %d", code, p.Status)
		}
		if code != rollout.Internal && p.Detail != "why" {
			t.Errorf("%s: the detail is %q", code, p.Detail)
		}
	}
}

func TestProblem_Order(t *testing.T) {
	t.Parallel()
	secret := errors.New("password=hunter2 at /srv/x.go:12")
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{secret, 500, "internal"},
		{nil, 500, "internal"},
		{fmt.Errorf("%w: %w", store.ErrUnavailable, secret), 503, "unavailable"},
		{fmt.Errorf("%w: %w: %w", store.ErrUnavailable, store.ErrOutcomeUnknown, secret), 503, "unavailable"},
		{fmt.Errorf("%w: %w", context.DeadlineExceeded, secret), 503, "unavailable"},
		{malformed("no JSON"), 400, "invalid_request"},
		{invalid("/a", "wrong"), 422, "invalid_request"},
		{fmt.Errorf("promote: %w", rollout.Refuse(rollout.EnvironmentLocked, "locked", "unlock")), 409, "environment_locked"},
		{rollout.Refuse("never_heard_of", secret.Error()), 500, "internal"},
	} {
		p := problem(test.err, "r")
		if p.Status != test.status || string(p.Code) != test.code || strings.Contains(fmt.Sprint(p), "hunter2") || p.Detail == "" {
			t.Errorf("%v: %+v", test.err, p)
		}
	}
	if p := problem(fmt.Errorf("%w: %w", store.ErrUnavailable, store.ErrOutcomeUnknown), ""); !strings.Contains(p.Detail, "not known") {
		t.Errorf("an unknown outcome: %q", p.Detail)
	}
}

func TestPanic_IsAnsweredWithoutDetails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	broken := w.server.begin(w.server.observe(w.server.recover(protect(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		panic("hunter2")
	})))))
	got := httptest.NewRecorder()
	broken.ServeHTTP(got, httptest.NewRequest("GET", "/", nil))
	if got.Code != 500 || strings.Contains(got.Body.String(), "hunter2") || !strings.Contains(got.Body.String(), got.Header().Get("X-Request-Id")) {
		t.Errorf("a panic: %d %s", got.Code, got.Body)
	}
	if logged := w.logs.String(); !strings.Contains(logged, "hunter2") || !strings.Contains(logged, got.Header().Get("X-Request-Id")) {
		t.Errorf("the log does not tell of the panic: %s", logged)
	}
}

func TestPanic_AfterHalfAnAnswerCutsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	half := w.server.begin(w.server.observe(w.server.recover(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"half": `))
		panic("x")
	}))))
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("half an answer ends as if it were whole: %v", err)
		}
	}()
	half.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
}

func TestLog_KeepsSecretsOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	token := w.admin()
	// In all the places where people put a token by mistake.
	w.send(request{Method: "GET", Path: "/v1/tokens/" + token, Token: token})
	w.send(request{Method: "GET", Path: "/" + token, Token: token})
	w.send(request{Method: "GET", Path: "/v1/whoami?token=" + token, Token: token})
	w.send(request{Method: "PUT", Path: "/v1/environments/" + token, Body: spec, Token: token})
	w.send(request{Method: "GET", Path: "/v1/whoami", Header: map[string]string{"Authorization": "Basic " + token}})
	if !strings.Contains(w.logs.String(), "vir_…") {
		t.Error("nothing was redacted; was anything logged?")
	}
}
