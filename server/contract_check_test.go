package server

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"viridian/server/api"
)

// contractCheck holds every response against openapi.yaml, and notes which operations succeeded.
type contractCheck struct {
	t         *testing.T
	transport *http.Transport
	doc       *openapi3.T
	router    routers.Router

	mu   sync.Mutex
	seen map[string]bool // operations that answered as they should
}

func newContractCheck(t *testing.T, contract *api.Contract) *contractCheck {
	t.Helper()
	router, err := contractRouter()
	if err != nil {
		t.Fatal(err)
	}
	return &contractCheck{t: t, transport: &http.Transport{MaxIdleConnsPerHost: 16}, doc: contract.Doc, router: router, seen: map[string]bool{}}
}

// The contract takes most of a second to read under the race detector, and nobody changes it: the tests share one.
var (
	sharedContract = sync.OnceValues(func() (*api.Contract, error) {
		raw, err := os.ReadFile("../openapi.yaml")
		if err != nil {
			return nil, err
		}
		return api.LoadContract(context.Background(), raw)
	})
	contractRouter = sync.OnceValues(func() (routers.Router, error) {
		contract, err := sharedContract()
		if err != nil {
			return nil, err
		}
		return gorillamux.NewRouter(contract.Doc)
	})
)

func loadContract(t *testing.T) *api.Contract {
	t.Helper()
	contract, err := sharedContract()
	if err != nil {
		t.Fatal(err)
	}
	return contract
}

func contractFile(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// RoundTrip is for http.Client.
func (c *contractCheck) RoundTrip(r *http.Request) (*http.Response, error) {
	got, err := c.transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	place := r.Method + " " + r.URL.Path
	if got.Header.Get("X-Request-Id") == "" || got.Header.Get("X-Content-Type-Options") != "nosniff" {
		c.t.Errorf("%s: %d lacks X-Request-Id or nosniff", place, got.StatusCode)
	}
	kind, _, _ := strings.Cut(got.Header.Get("Content-Type"), ";")
	if kind == "text/event-stream" {
		c.note("StreamEvents")
		return got, nil // it has no end to wait for
	}
	raw, err := io.ReadAll(got.Body)
	got.Body.Close()
	got.Body = io.NopCloser(bytes.NewReader(raw))
	if err != nil {
		return got, err
	}
	if got.StatusCode >= 400 {
		c.problem(place, got, kind, raw)
		if got.StatusCode == http.StatusConflict && strings.Contains(string(raw), `"generation_immutable"`) {
			c.note(map[string]string{"PUT": "ReplaceGeneration", "PATCH": "PatchGeneration"}[r.Method])
		}
		return got, nil
	}
	c.success(place, r, got, kind, raw)
	return got, nil
}

func (c *contractCheck) problem(place string, got *http.Response, kind string, raw []byte) {
	var p api.Problem
	if err := json.Unmarshal(raw, &p); err != nil || kind != "application/problem+json" {
		c.t.Errorf("%s: %d is no problem but %s: %.200s", place, got.StatusCode, kind, raw)
		return
	}
	c.visit(place, c.doc.Components.Schemas["Problem"].Value, raw)
	if p.Status != got.StatusCode || len(p.Fixes) == 0 || p.Detail == "" || p.RequestId != got.Header.Get("X-Request-Id") {
		c.t.Errorf("%s: the problem does not fit its response, or has no fix: %s", place, raw)
	}
}

func (c *contractCheck) success(place string, r *http.Request, got *http.Response, kind string, raw []byte) {
	if r.URL.Path == "/" || r.Method == http.MethodHead {
		return
	}
	route, _, err := c.router.FindRoute(r)
	if err != nil {
		c.t.Errorf("%s: %d, and the contract does not know it: %v", place, got.StatusCode, err)
		return
	}
	response := route.Operation.Responses.Status(got.StatusCode)
	if response == nil {
		c.t.Errorf("%s: the contract has no answer %d: %s", place, got.StatusCode, raw)
		return
	}
	c.note(route.Operation.OperationID)
	for name, header := range response.Value.Headers {
		if header.Value.Required && got.Header.Get(name) == "" {
			c.t.Errorf("%s: %d lacks the header %s", place, got.StatusCode, name)
		}
	}
	media := response.Value.Content.Get(kind)
	switch {
	case len(response.Value.Content) == 0 && len(raw) == 0:
	case media == nil:
		c.t.Errorf("%s: %d is %q, which the contract does not have there", place, got.StatusCode, kind)
	case kind == "application/json":
		c.visit(place, media.Schema.Value, raw)
	}
}

func (c *contractCheck) visit(place string, schema *openapi3.Schema, raw []byte) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		c.t.Errorf("%s: %v: %s", place, err, raw)
		return
	}
	if err := schema.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.MultiErrors()); err != nil {
		c.t.Errorf("%s: the response is not what the contract says: %v\n%s", place, err, raw)
	}
}

func (c *contractCheck) note(operation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[operation] = true
}
