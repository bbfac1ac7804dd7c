package server

import (
	"net/http"
	"slices"
	"testing"

	"github.com/go-chi/chi/v5"
)

// TestRoutes_AreTheContract walks the chi tree and the contract, and compares them both ways.
func TestRoutes_AreTheContract(t *testing.T) {
	t.Parallel()
	s := &server{contract: loadContract(t)}
	mux, err := s.mux()
	if err != nil {
		t.Fatal(err)
	}
	var served, written []string
	pages := map[string]bool{}
	for _, p := range s.pages() {
		pages[p.method+" "+p.path] = true
	}
	err = chi.Walk(mux, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if !pages[method+" "+path] {
			served = append(served, method+" "+path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range s.contract.Doc.Paths.Map() {
		for method := range item.Operations() {
			written = append(written, method+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(written)
	if !slices.Equal(served, written) {
		t.Errorf("served and written differ\nserved  %v\nwritten %v", served, written)
	}
}

// TestRoutes_PolicyIsTheContract: every operation has its action, and every action its role, as the contract says.
func TestRoutes_PolicyIsTheContract(t *testing.T) {
	t.Parallel()
	doc := loadContract(t).Doc
	used := map[Action]bool{actionForce: true}
	for _, rt := range (&server{}).list() {
		op := doc.Paths.Value(rt.path).GetOperation(rt.method)
		used[rt.action] = true
		if want := op.Extensions["x-viridian-action"]; string(rt.action) != want {
			t.Errorf("%s %s asks for %s, the contract for %v", rt.method, rt.path, rt.action, want)
		}
		role := string(policy[rt.action])
		if public[rt.action] {
			role = "none"
		}
		if want := op.Extensions["x-viridian-role"]; role != want {
			t.Errorf("%s needs %s, in the contract %v", rt.action, role, want)
		}
	}
	for _, p := range (&server{}).pages() {
		used[p.action] = true
	}
	for action := range policy {
		if !used[action] {
			t.Errorf("the policy has %s, which no route asks for", action)
		}
	}
}

func TestRoutes_WithoutPolicyDoNotStart(t *testing.T) {
	t.Parallel()
	rt := route{method: "GET", path: "/v1/environments", action: "environment.burn"}
	if _, err := (&server{contract: loadContract(t)}).register([]route{rt}); err == nil {
		t.Error("a route whose action has no policy is registered")
	}
	rt = route{method: "GET", path: "/v1/unwritten", action: "environment.list"}
	if _, err := (&server{contract: loadContract(t)}).register([]route{rt}); err == nil {
		t.Error("a route that is not in the contract is registered")
	}
}
