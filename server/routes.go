package server

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/web/docs"
)

// list is every route, with the action that the caller must be allowed (policy.go). Handlers of /v1 are the generated
// ones, which decode parameters and body and call the method of the same name in this package.
func (s *server) list() []route {
	h := &api.ServerInterfaceWrapper{ErrorHandlerFunc: s.writeUndecodable, Handler: api.NewStrictHandlerWithOptions(handlers{s}, nil,
		api.StrictHTTPServerOptions{RequestErrorHandlerFunc: s.writeUndecodable, ResponseErrorHandlerFunc: s.writeError})}
	pages := docs.Handler().ServeHTTP
	return []route{
		{method: "GET", path: "/v1/whoami", action: "self.show", handler: h.Whoami},
		{method: "GET", path: "/v1/environments", action: "environment.list", handler: h.ListEnvironments},
		{method: "POST", path: "/v1/environments", action: "environment.create", handler: h.CreateEnvironment},
		{method: "GET", path: "/v1/environments/{environment}", action: "environment.show", handler: h.ShowEnvironment},
		{method: "PUT", path: "/v1/environments/{environment}", action: "environment.put", handler: h.PutEnvironment},
		{method: "DELETE", path: "/v1/environments/{environment}", action: "environment.delete", handler: h.DeleteEnvironment},
		{method: "GET", path: "/v1/environments/{environment}/spec-versions", action: "environment.spec_versions", handler: h.ListSpecVersions},
		{method: "GET", path: "/v1/environments/{environment}/route", action: "route.show", handler: h.ShowRoute},
		{method: "GET", path: "/v1/environments/{environment}/traffic", action: "traffic.show", handler: h.ShowTraffic},
		{method: "GET", path: "/v1/environments/{environment}/generations", action: "generation.list", handler: h.ListGenerations},
		{method: "POST", path: "/v1/environments/{environment}/generations", action: "generation.register", handler: h.RegisterGeneration},
		{method: "GET", path: "/v1/environments/{environment}/generations/{number}", action: "generation.show", handler: h.ShowGeneration},
		{method: "PUT", path: "/v1/environments/{environment}/generations/{number}", action: "generation.replace", handler: h.ReplaceGeneration},
		{method: "PATCH", path: "/v1/environments/{environment}/generations/{number}", action: "generation.patch", handler: h.PatchGeneration},
		{method: "POST", path: "/v1/environments/{environment}/generations/{number}/validate", action: "generation.validate", handler: h.ValidateGeneration},
		{method: "POST", path: "/v1/environments/{environment}/generations/{number}/plan", action: "generation.plan", handler: h.PlanPromotion},
		{method: "POST", path: "/v1/environments/{environment}/generations/{number}/promote", action: "generation.promote", handler: h.PromoteGeneration},
		{method: "POST", path: "/v1/environments/{environment}/generations/{number}/retire", action: "generation.retire", handler: h.RetireGeneration},
		{method: "POST", path: "/v1/environments/{environment}/rollback", action: "environment.rollback", handler: h.Rollback},
		{method: "PUT", path: "/v1/environments/{environment}/weights", action: "weights.set", handler: h.SetWeights},
		{method: "GET", path: "/v1/environments/{environment}/promotions", action: "promotion.list", handler: h.ListPromotions},
		{method: "GET", path: "/v1/environments/{environment}/promotions/{id}", action: "promotion.show", handler: h.ShowPromotion},
		{method: "GET", path: "/v1/environments/{environment}/switches", action: "switch.list", handler: h.ListSwitches},
		{method: "GET", path: "/v1/environments/{environment}/switches/{revision}", action: "switch.show", handler: h.ShowSwitch},
		{method: "PUT", path: "/v1/environments/{environment}/lock", action: "lock.set", handler: h.SetLock},
		{method: "DELETE", path: "/v1/environments/{environment}/lock", action: "lock.clear", handler: h.ClearLock},
		{method: "DELETE", path: "/v1/environments/{environment}/automation-hold", action: "automation.release", handler: h.ReleaseAutomation},
		{method: "PUT", path: "/v1/environments/{environment}/retention", action: "retention.set", handler: h.SetRetention},
		{method: "GET", path: "/v1/events", action: "event.list", handler: h.ListEvents},
		{method: "GET", path: "/v1/events/stream", action: "event.stream", handler: h.StreamEvents},
		{method: "GET", path: "/v1/audit/verify", action: "audit.verify", handler: h.VerifyAudit, long: true},
		{method: "GET", path: "/v1/audit/export", action: "audit.export", handler: h.ExportAudit, long: true},
		{method: "GET", path: "/v1/tokens", action: "token.list", handler: h.ListTokens},
		{method: "POST", path: "/v1/tokens", action: "token.create", handler: h.CreateToken},
		{method: "DELETE", path: "/v1/tokens/{id}", action: "token.delete", handler: h.DeleteToken},
		{method: "GET", path: "/v1/routers", action: "router.list", handler: h.ListRouters},
		{method: "DELETE", path: "/v1/routers/{router}/nodes/{node}", action: "node.remove", handler: h.RemoveNode},
		{method: "GET", path: "/livez", action: "operations.livez", handler: s.livez},
		{method: "GET", path: "/readyz", action: "operations.readyz", handler: s.readyz},
		{method: "GET", path: "/readyz/proxy", action: "operations.readyz_proxy", handler: s.readyzProxy},
		{method: "GET", path: "/metrics", action: "operations.metrics", handler: s.showMetrics},
		{method: "GET", path: "/openapi.yaml", action: "operations.openapi", handler: s.openAPI},
		{method: "GET", path: "/docs", action: "operations.docs", handler: pages},
		{method: "GET", path: "/docs/{asset}", action: "operations.docs", handler: pages},
	}
}

// route is one method of one path, with what the contract says of it.
type route struct {
	method, path string
	action       Action
	handler      http.HandlerFunc
	long         bool // reads so much that it may take minutes

	operation    string // operationId
	parameters   []*openapi3.Parameter
	body         *openapi3.Schema // nil: none is taken
	bodyRequired bool
	waits        bool // takes ?wait and ?timeout
	streams      bool // answers without end
	repeatable   bool // takes an Idempotency-Key
	quiet        bool // asked again and again, or by everybody: not worth a line of the log each time
}

// environment is the one that the path names; empty for none.
func (rt *route) environment(r *http.Request) string {
	for _, p := range rt.parameters {
		if p.In == "path" && p.Name == "environment" {
			values, _ := parameterValues(p, r, nil)
			return values[0]
		}
	}
	return ""
}

// mux makes the tree of all routes: those of the contract, and the pages for people.
func (s *server) mux() (*chi.Mux, error) {
	mux, err := s.register(s.list())
	if err != nil {
		return nil, err
	}
	return mux, s.registerPages(mux, s.pages())
}

// register puts every route behind its guard. A route without a policy or without its place in the contract is an
// error.
func (s *server) register(routes []route) (*chi.Mux, error) {
	mux := chi.NewMux()
	mux.Use(middleware.GetHead)
	mux.NotFound(s.notFound)
	mux.MethodNotAllowed(s.methodNotAllowed(mux))
	for _, rt := range routes {
		if _, private := policy[rt.action]; private == public[rt.action] {
			return nil, fmt.Errorf("route %s %s: the action %q has no policy", rt.method, rt.path, rt.action)
		}
		if err := rt.describe(s.contract.Doc); err != nil {
			return nil, err
		}
		if s.bodies != nil && rt.body != nil {
			s.bodies[rt.operation] = rt.body
		}
		mux.Method(rt.method, rt.path, s.guard(&rt, rt.handler))
	}
	return mux, nil
}

// describe takes over what the contract says of the route.
func (rt *route) describe(doc *openapi3.T) error {
	item := doc.Paths.Value(rt.path)
	if item == nil || item.GetOperation(rt.method) == nil {
		return fmt.Errorf("route %s %s is not in openapi.yaml", rt.method, rt.path)
	}
	op := item.GetOperation(rt.method)
	rt.operation = op.OperationID
	for _, parameters := range []openapi3.Parameters{item.Parameters, op.Parameters} {
		for _, p := range parameters {
			rt.parameters = append(rt.parameters, p.Value)
			rt.waits = rt.waits || p.Value.Name == "wait"
			rt.repeatable = rt.repeatable || p.Value.Name == "Idempotency-Key"
		}
	}
	if op.RequestBody != nil {
		media := op.RequestBody.Value.Content["application/json"]
		if media == nil || media.Schema == nil {
			return fmt.Errorf("route %s %s: its body is not application/json", rt.method, rt.path)
		}
		rt.body, rt.bodyRequired = media.Schema.Value, op.RequestBody.Value.Required
	}
	if ok := op.Responses.Status(http.StatusOK); ok != nil {
		rt.streams = ok.Value.Content["text/event-stream"] != nil
	}
	return nil
}

// methodNotAllowed answers for a known path with a method that it does not have.
func (s *server) methodNotAllowed(mux *chi.Mux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.RawPath
		if path == "" {
			path = r.URL.Path
		}
		var allowed []string
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
			if mux.Match(chi.NewRouteContext(), method, path) {
				allowed = append(allowed, method)
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, r, rollout.Refuse(rollout.MethodNotAllowed, "the path does not have this method", "use one of "+strings.Join(allowed, ", ")))
	}
}

// writeUndecodable answers for what passed the contract and still does not fit its Go type, such as 1e2 as a number.
func (s *server) writeUndecodable(w http.ResponseWriter, r *http.Request, err error) {
	callOf(r.Context()).failure = err
	s.writeError(w, r, invalid("", "a value does not fit its type; write whole numbers as digits, and times as RFC 3339 says"))
}
