package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"viridian/client"
	"viridian/router/routertest"
)

// TestEveryOperation walks through the life of an environment with the generated client: every operation of the
// contract is answered once as it should be, and every response is held against the contract on the way.
func TestEveryOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	c := w.client(w.admin())
	ctx := t.Context()

	created, err := c.CreateEnvironmentWithResponse(ctx, nil, clientSpec(t, `{"name": "shop", `+spec[1:]))
	must(t, err, created.StatusCode(), 201, created.Body)
	if tag, at := created.HTTPResponse.Header.Get("ETag"), created.HTTPResponse.Header.Get("Location"); tag != `"1"` || at != "/v1/environments/shop" {
		t.Errorf("ETag %s, Location %s", tag, at)
	}
	put, err := c.PutEnvironmentWithResponse(ctx, "shop", &client.PutEnvironmentParams{IfMatch: pointer(`"1"`)}, clientSpec(t, spec))
	must(t, err, put.StatusCode(), 200, put.Body)
	stale := w.send(request{Method: "PUT", Path: "/v1/environments/shop", Body: spec, Token: w.admin(), Header: map[string]string{"If-Match": `"7"`}})
	if stale.status != 412 || stale.problem.Code != "precondition_failed" {
		t.Errorf("a stale If-Match: %d %s", stale.status, stale.body)
	}

	blue, green := routertest.NewBackend(t, 1), routertest.NewBackend(t, 2)
	for i, b := range []*routertest.Backend{blue, green} {
		in := b.Instance("a")
		registered, err := c.RegisterGenerationWithResponse(ctx, "shop", nil, client.RegisterRequest{Version: fmt.Sprintf("1.%d", i),
			Artifact: &client.Artifact{Digest: pointer("sha256:00"), Source: &client.Source{Commit: pointer("abc")}},
			Metadata: &client.Labels{"pipeline": "7"},
			Groups:   []client.Group{{Service: "web", Instances: []client.Instance{{Id: in.ID, Address: in.Address, Port: in.Port}}}}})
		must(t, err, registered.StatusCode(), 201, registered.Body)
		w.awaitState("shop", i+1, "ready")
	}
	plan, err := c.PlanPromotionWithResponse(ctx, "shop", 1, client.PromoteRequest{})
	must(t, err, plan.StatusCode(), 200, plan.Body)
	if !plan.JSON200.Promotable || plan.JSON200.Revision != 1 || len(plan.JSON200.Nodes) != 1 || plan.JSON200.Weights["1"] != 100 {
		t.Errorf("plan: %s", plan.Body)
	}
	for n := 1; n <= 2; n++ {
		promoted, err := c.PromoteGenerationWithResponse(ctx, "shop", n, nil, client.PromoteRequest{Reason: pointer("release"), ExpectedRevision: pointer(int64(n - 1))})
		must(t, err, promoted.StatusCode(), 200, promoted.Body)
		s := promoted.JSON200
		if s.Revision != int64(n) || s.Status != "applied" || !s.Changed || len(s.Receipts) != 1 || s.Receipts[0].State != "in_sync" || s.AppliedAt == nil {
			t.Errorf("promote: %s", promoted.Body)
		}
	}
	again, err := c.PromoteGenerationWithResponse(ctx, "shop", 2, nil, client.PromoteRequest{})
	must(t, err, again.StatusCode(), 200, again.Body)
	if again.JSON200.Changed || again.JSON200.Revision != 2 {
		t.Errorf("promote of the live one: %s", again.Body)
	}
	route, err := c.ShowRouteWithResponse(ctx, "shop")
	must(t, err, route.StatusCode(), 200, route.Body)
	if r := route.JSON200; *r.Live != 2 || *r.Previous != 1 || !r.Rollback.Ready || r.Rollback.Healthy["web"][0] != 1 || r.Switch.Revision != 2 {
		t.Errorf("route: %s", route.Body)
	}
	weights, err := c.SetWeightsWithResponse(ctx, "shop", nil, client.WeightsRequest{Weights: map[string]int{"2": 90, "1": 10}})
	must(t, err, weights.StatusCode(), 200, weights.Body)
	rolled, err := c.RollbackWithResponse(ctx, "shop", nil, client.RollbackRequest{From: pointer(2), Reason: pointer("errors")})
	must(t, err, rolled.StatusCode(), 200, rolled.Body)
	if *rolled.JSON200.To != 1 || rolled.JSON200.Kind != "rollback" {
		t.Errorf("rollback: %s", rolled.Body)
	}
	twice, err := c.RollbackWithResponse(ctx, "shop", nil, client.RollbackRequest{From: pointer(2)})
	must(t, err, twice.StatusCode(), 200, twice.Body)
	if twice.JSON200.Changed || twice.JSON200.Revision != rolled.JSON200.Revision {
		t.Errorf("rollback of what was rolled back: %s", twice.Body)
	}
	w.guards(c)
	w.reading(c)
	w.access(c)
	w.audited(c)
	w.operations()
	w.ending(c)

	for _, item := range w.contract.doc.Paths.Map() {
		for _, op := range item.Operations() {
			if !w.contract.seen[op.OperationID] {
				t.Errorf("%s was never answered as it should be", op.OperationID)
			}
		}
	}
}

// guards sets and clears what keeps the environment from changing.
func (w *world) guards(c *client.ClientWithResponses) {
	ctx, t := w.t.Context(), w.t
	lock, err := c.SetLockWithResponse(ctx, "shop", nil, client.LockRequest{Reason: "stocktaking"})
	must(t, err, lock.StatusCode(), 200, lock.Body)
	blocked, err := c.ValidateGenerationWithResponse(ctx, "shop", 2, nil)
	must(t, err, blocked.StatusCode(), 202, blocked.Body)
	w.awaitState("shop", 2, "ready")
	refused := w.send(request{Method: "POST", Path: "/v1/environments/shop/generations/2/promote", Body: "{}", Token: w.admin()})
	if refused.status != 409 || refused.problem.Code != "environment_locked" || refused.problem.Revision == nil {
		t.Errorf("promote of a locked environment: %s", refused.body)
	}
	cleared, err := c.ClearLockWithResponse(ctx, "shop", nil)
	must(t, err, cleared.StatusCode(), 204, cleared.Body)
	released, err := c.ReleaseAutomationWithResponse(ctx, "shop", nil)
	must(t, err, released.StatusCode(), 204, released.Body)
	w.promote("shop", 2)
	until := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Second)
	kept, err := c.SetRetentionWithResponse(ctx, "shop", nil, client.RetentionRequest{Generation: 1, KeepUntil: until})
	must(t, err, kept.StatusCode(), 200, kept.Body)
	if !kept.JSON200.KeepUntil.Equal(until) {
		t.Errorf("kept until %s, want %s", kept.JSON200.KeepUntil, until)
	}
	for _, method := range []string{"PUT", "PATCH"} {
		a := w.send(request{Method: method, Path: "/v1/environments/shop/generations/1", Body: `{"anything": 1}`, Token: w.admin()})
		if a.status != 409 || a.problem.Code != "generation_immutable" {
			t.Errorf("%s of a generation: %s", method, a.body)
		}
	}
}

// reading asks for everything that can be listed or shown.
func (w *world) reading(c *client.ClientWithResponses) {
	ctx, t := w.t.Context(), w.t
	for _, path := range []string{"environments", "environments/shop", "environments/shop/spec-versions", "environments/shop/generations?state=live&state=standby",
		"environments/shop/generations/2", "environments/shop/promotions", "environments/shop/promotions/1", "environments/shop/switches?limit=2",
		"environments/shop/switches/1", "environments/shop/switches/2?wait=drained&timeout=5s", "environments/shop/traffic?window=1m", "events?environment=shop&kind=switch.applied",
		"routers", "whoami"} {
		w.ok("GET", "/v1/"+path, "")
	}
	var first, second struct {
		Items      []struct{ Revision int64 }
		NextCursor *string `json:"next_cursor"`
	}
	w.decode(w.ok("GET", "/v1/environments/shop/switches?limit=2", ""), &first)
	if len(first.Items) != 2 || first.NextCursor == nil {
		t.Fatalf("first page: %+v", first)
	}
	w.decode(w.ok("GET", "/v1/environments/shop/switches?limit=2&cursor="+*first.NextCursor, ""), &second)
	if len(second.Items) == 0 || second.Items[0].Revision != first.Items[1].Revision-1 {
		t.Errorf("pages %v and %v do not follow each other", first.Items, second.Items)
	}
	stream, err := c.StreamEvents(ctx, &client.StreamEventsParams{After: pointer(int64(0))})
	if err != nil || stream.StatusCode != 200 {
		t.Fatalf("stream: %v, %v", stream, err)
	}
	stream.Body.Close()
}

// access makes and deletes a token, and takes a node out that is silent.
func (w *world) access(c *client.ClientWithResponses) {
	ctx, t := w.t.Context(), w.t
	made, err := c.CreateTokenWithResponse(ctx, nil, client.TokenRequest{Name: "ci", Role: client.RoleDeployer, Environments: []string{"shop-*"}, ExpiresIn: pointer("24h")})
	must(t, err, made.StatusCode(), 201, made.Body)
	w.secrets = append(w.secrets, *made.JSON201.Token)
	who, err := w.client(*made.JSON201.Token).WhoamiWithResponse(ctx)
	must(t, err, who.StatusCode(), 200, who.Body)
	if who.JSON200.Actor != "token:ci" || who.JSON200.Role != "deployer" || who.JSON200.ExpiresAt == nil || *who.JSON200.TokenId != made.JSON201.Id {
		t.Errorf("whoami: %s", who.Body)
	}
	listed := w.ok("GET", "/v1/tokens", "")
	if !strings.Contains(listed.body, made.JSON201.Id) || strings.Contains(listed.body, "vir_") {
		t.Errorf("tokens: %s", listed.body)
	}
	deleted, err := c.DeleteTokenWithResponse(ctx, made.JSON201.Id, nil)
	must(t, err, deleted.StatusCode(), 204, deleted.Body)
	gone, err := w.client(*made.JSON201.Token).WhoamiWithResponse(ctx)
	must(t, err, gone.StatusCode(), 401, gone.Body)

	silent := w.node
	silent.Name = "edge-2"
	if err := w.store.Heartbeat(ctx, silent, 0); err != nil {
		t.Fatal(err)
	}
	alive := w.send(request{Method: "DELETE", Path: "/v1/routers/builtin/nodes/edge-2", Token: w.admin()})
	if alive.status != 409 || alive.problem.Code != "conflict" {
		t.Errorf("removing a node that was just heard of: %s", alive.body)
	}
	w.sql(`UPDATE node SET seen_at = seen_at - interval '1 minute' WHERE name = 'edge-2'`)
	w.ok("DELETE", "/v1/routers/builtin/nodes/edge-2", "")
}

func (w *world) operations() {
	for path, want := range map[string]string{"/livez": "ok\n", "/readyz": "ok\n", "/readyz/proxy": "ok\n", "/openapi.yaml": "openapi: 3.1.0",
		"/docs": "<!doctype html>", "/docs/start.js": "openapi.yaml"} {
		a := w.send(request{Method: "GET", Path: path})
		if a.status != 200 || !strings.Contains(strings.ToLower(a.body), want) {
			w.t.Errorf("%s: %d %.100s", path, a.status, a.body)
		}
		if head := w.send(request{Method: "HEAD", Path: path}); head.status != 200 || head.body != "" {
			w.t.Errorf("HEAD %s: %d %q", path, head.status, head.body)
		}
	}
	if a := w.send(request{Method: "GET", Path: "/"}); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login" {
		w.t.Errorf("/: %d", a.status)
	}
	shown := w.ok("GET", "/metrics", "").body
	for _, want := range []string{`viridian_build_info{go_version=`, `viridian_api_requests_total{code="200",operation="PromoteGeneration"}`,
		`viridian_api_request_duration_seconds_count{operation="Rollback"}`, `viridian_receipt_age_seconds{environment="shop",node="edge-1",router="builtin"}`} {
		if !strings.Contains(shown, want) {
			w.t.Errorf("/metrics lacks %s", want)
		}
	}
	if strings.Contains(shown, "viridian_switch_commit_to_applied_seconds_count 0\n") {
		w.t.Error("no switch was counted as applied")
	}
}

// ending retires a generation and deletes the environment.
func (w *world) ending(c *client.ClientWithResponses) {
	ctx, t := w.t.Context(), w.t
	live := w.send(request{Method: "POST", Path: "/v1/environments/shop/generations/2/retire", Token: w.admin()})
	if live.status != 409 || live.problem.Code != "conflict" {
		t.Errorf("retire of the live one: %s", live.body)
	}
	retired, err := c.RetireGenerationWithResponse(ctx, "shop", 1, nil, client.RetireRequest{Reason: pointer("old")})
	must(t, err, retired.StatusCode(), 202, retired.Body)
	kept := w.send(request{Method: "DELETE", Path: "/v1/environments/shop", Token: w.admin()})
	if kept.status != 409 || kept.problem.Code != "conflict" {
		t.Errorf("delete of an environment that serves: %s", kept.body)
	}
	deleted, err := c.DeleteEnvironmentWithResponse(ctx, "shop", &client.DeleteEnvironmentParams{Force: pointer(true), Reason: pointer("the end")})
	must(t, err, deleted.StatusCode(), 202, deleted.Body)
	if !deleted.JSON202.Deleting {
		t.Errorf("delete: %s", deleted.Body)
	}
}

func clientSpec(t *testing.T, text string) (out client.EnvironmentSpec) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func must(t *testing.T, err error, status, want int, body []byte) {
	t.Helper()
	if err != nil || status != want {
		t.Fatalf("status %d (%v), want %d: %s", status, err, want, body)
	}
}

func pointer[T any](v T) *T { return &v }
