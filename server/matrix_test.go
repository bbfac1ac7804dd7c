package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestAuthMatrix asks for every route with every kind of token in its own and in another environment. The expected
// answer comes from the contract alone.
func TestAuthMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop-a")
	w.environment("other")
	_, unknown := rolloutToken(t)
	tokens := map[string]string{"none": "", "malformed": "vir_x", "unknown": unknown}
	for _, role := range Roles() {
		tokens[string(role)] = w.token(role, "shop-*")
		tokens["all "+string(role)] = w.token(role, "*")
	}
	asked := 0
	for path, item := range w.contract.doc.Paths.Map() {
		for method, op := range item.Operations() {
			for kind, token := range tokens {
				for _, environment := range []string{"shop-a", "other"} {
					asked++
					r := request{Method: method, Path: fill(path, environment), Token: token, Body: bodyFor(op.OperationID, environment)}
					status := w.statusOf(r)
					want := expected(kind, fmt.Sprint(op.Extensions["x-viridian-role"]), fmt.Sprint(op.Extensions["x-viridian-scope"]), environment)
					if (status == 401 || status == 403) != (want != 0) || (want != 0 && status != want) {
						t.Errorf("%s in %s with token %s: %d, want %d (0: neither 401 nor 403)", op.OperationID, environment, kind, status, want)
					}
				}
			}
		}
	}
	if asked < 500 {
		t.Errorf("only %d requests; is this every route?", asked)
	}
}

// expected is 401, 403, or 0 for neither.
func expected(kind, role, scope, environment string) int {
	name, all := strings.CutPrefix(kind, "all ")
	have, least := Role(name), Role(role)
	switch {
	case role == "none":
		return 0
	case !have.covers(Viewer):
		return http.StatusUnauthorized
	case !have.covers(least):
		return http.StatusForbidden
	case !all && (scope == "everywhere" || (scope == "environment" || scope == "body") && environment == "other"):
		return http.StatusForbidden
	}
	return 0
}

func fill(path, environment string) string {
	return strings.NewReplacer("{environment}", environment, "{number}", "1", "{revision}", "1", "{id}", "1", "{router}", "builtin",
		"{node}", "edge-9", "{asset}", "start.js").Replace(path)
}

// bodyFor is a body that passes the contract where the right to ask depends on it.
func bodyFor(operation, environment string) string {
	switch operation {
	case "CreateEnvironment":
		return fmt.Sprintf(`{"name": %q, `, environment) + spec[1:]
	case "CreateToken":
		return `{"name": "t", "role": "viewer", "environments": ["shop-a"]}`
	case "RegisterGeneration", "PutEnvironment", "SetWeights", "SetLock", "SetRetention":
		return "{}"
	}
	return ""
}

// statusOf sends a request and reads no more than the status.
func (w *world) statusOf(r request) int {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	sent, err := http.NewRequestWithContext(ctx, r.Method, w.url+r.Path, strings.NewReader(r.Body))
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Body != "" {
		sent.Header.Set("Content-Type", "application/json")
	}
	if r.Token != "" {
		sent.Header.Set("Authorization", "Bearer "+r.Token)
	}
	got, err := w.http.Do(sent)
	if err != nil {
		w.t.Fatal(err)
	}
	defer got.Body.Close()
	return got.StatusCode
}

// TestForbidden_TellsNothing: the answer about an environment that exists is that about one which does not.
func TestForbidden_TellsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("secret")
	token := w.token(Deployer, "shop-*")
	for _, path := range []string{"/v1/environments/%s", "/v1/environments/%s/route", "/v1/environments/%s/generations/1", "/v1/events?environment=%s"} {
		there := w.send(request{Method: "GET", Path: fmt.Sprintf(path, "secret"), Token: token})
		missing := w.send(request{Method: "GET", Path: fmt.Sprintf(path, "nothing"), Token: token})
		there.problem.RequestId, missing.problem.RequestId = "", ""
		if there.status != 403 || fmt.Sprint(there.problem) != fmt.Sprint(missing.problem) {
			t.Errorf("%s: %d %+v, and for one that is not there %d %+v", path, there.status, there.problem, missing.status, missing.problem)
		}
	}
	listed := w.send(request{Method: "GET", Path: "/v1/environments", Token: token})
	events := w.send(request{Method: "GET", Path: "/v1/events", Token: token})
	if strings.Contains(listed.body+events.body, "secret") || events.status != 200 || strings.Contains(events.body, "token.created") {
		t.Errorf("lists show what the token may not see:\n%s\n%s", listed.body, events.body)
	}
}

func TestForce_NeedsAnOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	for _, path := range []string{"generations/1/promote", "generations/1/plan", "rollback"} {
		for _, role := range []Role{Deployer, Operator} {
			a := w.send(request{Method: "POST", Path: "/v1/environments/shop/" + path, Body: `{"force": true}`, Token: w.token(role, "*")})
			if (a.status == 403) != (role == Deployer) {
				t.Errorf("%s with force by %s: %d %s", path, role, a.status, a.body)
			}
		}
	}
}
