package api_test

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"viridian/rollout"
	"viridian/server/api"
)

const contract = "../../openapi.yaml"

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// operations calls do with every operation of the contract, "PUT /v1/…" as its place.
func operations(doc *openapi3.T, do func(place, path string, op *openapi3.Operation)) {
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			do(method+" "+path, path, op)
		}
	}
}

func text(op *openapi3.Operation, extension string) string {
	s, _ := op.Extensions[extension].(string)
	return s
}

func TestContract_IsValid(t *testing.T) {
	t.Parallel()
	doc := load(t)
	if !doc.IsOpenAPI31OrLater() {
		t.Errorf("openapi is %s, want 3.1", doc.OpenAPI)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestContract_EveryOperationSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	operations(load(t), func(place, path string, op *openapi3.Operation) {
		if op.OperationID == "" || op.Summary == "" || op.Description == "" || len(op.Tags) != 1 {
			t.Errorf("%s lacks operationId, summary, description or its one tag", place)
		}
		if other, twice := seen[op.OperationID]; twice {
			t.Errorf("%s and %s are both %s", place, other, op.OperationID)
		}
		seen[op.OperationID] = place

		if !regexp.MustCompile(`^[a-z]+\.[a-z_]+$`).MatchString(text(op, "x-viridian-action")) {
			t.Errorf("%s: x-viridian-action is %q", place, text(op, "x-viridian-action"))
		}
		role, inside := text(op, "x-viridian-role"), strings.HasPrefix(path, "/v1/")
		if !slices.Contains([]string{"viewer", "deployer", "operator", "admin"}, role) && (inside || role != "none") {
			t.Errorf("%s: x-viridian-role is %q", place, role)
		}
		if public := op.Security != nil && len(*op.Security) == 0; public != (role == "none") {
			t.Errorf("%s: role %q does not fit its security", place, role)
		}
		if strings.Contains(path, "{environment}") != (text(op, "x-viridian-scope") == "environment") {
			t.Errorf("%s: x-viridian-scope is %q", place, text(op, "x-viridian-scope"))
		}
		problem := op.Responses.Default()
		if problem == nil || problem.Value.Content["application/problem+json"] == nil {
			t.Errorf("%s says no error response", place)
		}
		if generated := op.Tags[0] != "operations"; generated != inside {
			t.Errorf("%s: what is in /v1 is generated, and nothing else: its tag is %s", place, op.Tags[0])
		}
	})
	if len(seen) < 40 {
		t.Errorf("%d operations; is this the whole contract?", len(seen))
	}
}

func TestContract_EveryOperationHasItsHandler(t *testing.T) {
	t.Parallel()
	var want, have []string
	operations(load(t), func(_, path string, op *openapi3.Operation) {
		if strings.HasPrefix(path, "/v1/") {
			want = append(want, op.OperationID)
		}
	})
	server := reflect.TypeFor[api.StrictServerInterface]()
	for i := range server.NumMethod() {
		have = append(have, server.Method(i).Name)
	}
	slices.Sort(want)
	slices.Sort(have)
	if !slices.Equal(want, have) {
		t.Errorf("openapi.yaml and api.gen.go differ; run make generate\nwant %v\nhave %v", want, have)
	}
}

func TestContract_CommandsMayBeRepeated(t *testing.T) {
	t.Parallel()
	operations(load(t), func(place, _ string, op *openapi3.Operation) {
		changes := !strings.HasPrefix(place, "GET ") && !slices.Contains([]string{"PlanPromotion", "ReplaceGeneration", "PatchGeneration"}, op.OperationID)
		if has := op.Parameters.GetByInAndName("header", "Idempotency-Key") != nil; has != changes {
			t.Errorf("%s: takes an Idempotency-Key: %v, want %v", place, has, changes)
		}
	})
}

func TestContract_BodiesAreStrict(t *testing.T) {
	t.Parallel()
	operations(load(t), func(place, _ string, op *openapi3.Operation) {
		if op.RequestBody == nil {
			return
		}
		body := op.RequestBody.Value.Content["application/json"].Schema.Value
		if body.AdditionalProperties.Has == nil || *body.AdditionalProperties.Has {
			t.Errorf("%s takes unknown fields", place)
		}
	})
}

func TestContract_NamesEveryCode(t *testing.T) {
	t.Parallel()
	doc := load(t)
	var names []rollout.Code
	for _, name := range doc.Components.Schemas["Code"].Value.Enum {
		names = append(names, rollout.Code(name.(string)))
	}
	for _, code := range []rollout.Code{
		rollout.InvalidRequest, rollout.NotSupported, rollout.MethodNotAllowed, rollout.UnsupportedMediaType,
		rollout.PayloadTooLarge, rollout.Unauthenticated, rollout.Forbidden, rollout.NotFound, rollout.Conflict,
		rollout.PreconditionFailed, rollout.HostInUse, rollout.InstanceInUse, rollout.RevisionMismatch,
		rollout.GenerationImmutable, rollout.GenerationNotReady, rollout.ValidationExpired, rollout.CapacityTooLow,
		rollout.NodeNotStaged, rollout.PromotionInProgress, rollout.NoPromotion, rollout.EnvironmentLocked, rollout.EnvironmentFrozen,
		rollout.EnvironmentBusy, rollout.RollbackUnavailable, rollout.RollbackTargetUnhealthy, rollout.RequirementNotMet,
		rollout.IdempotencyKeyReused, rollout.IdempotencyInFlight, rollout.RateLimited, rollout.Unavailable, rollout.Internal,
	} {
		if !slices.Contains(names, code) {
			t.Errorf("the contract lacks the code %s", code)
		}
	}
	for _, code := range names {
		if !strings.Contains(doc.Info.Description, "`"+string(code)+"`") {
			t.Errorf("the table of statuses lacks %s", code)
		}
	}
	operations(doc, func(place, _ string, op *openapi3.Operation) {
		codes, _ := op.Extensions["x-viridian-codes"].([]any)
		for _, code := range codes {
			if !slices.Contains(names, rollout.Code(code.(string))) {
				t.Errorf("%s names the code %v, which the contract lacks", place, code)
			}
		}
	})
}

func TestContract_StatesAreThoseOfTheDomain(t *testing.T) {
	t.Parallel()
	doc := load(t)
	check := func(schema string, want []string) {
		t.Helper()
		var have []string
		for _, value := range doc.Components.Schemas[schema].Value.Enum {
			have = append(have, value.(string))
		}
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("%s: %v, want %v", schema, have, want)
		}
	}
	check("GenerationState", words(maps.Keys(rollout.GenerationMoves)))
	check("PromotionState", words(maps.Keys(rollout.PromotionMoves)))
	check("SwitchKind", words(slices.Values([]rollout.SwitchKind{rollout.SwitchPromote, rollout.SwitchStep, rollout.SwitchRollback,
		rollout.SwitchAbort, rollout.SwitchManual, rollout.SwitchHeal, rollout.SwitchRecover})))
	check("SwitchStatus", words(slices.Values([]rollout.SwitchStatus{rollout.Committed, rollout.Applied, rollout.SwitchSuperseded})))
	check("ReceiptState", words(slices.Values([]rollout.ReceiptState{rollout.InSync, rollout.Behind, rollout.Drifted,
		rollout.Ahead, rollout.Unreachable})))
	check("Grade", words(slices.Values([]rollout.Grade{rollout.GradeFenced, rollout.GradeReadBack})))
	check("Colour", words(slices.Values([]rollout.Colour{rollout.Blue, rollout.Green})))
}

func words[S ~string](from func(yield func(S) bool)) []string {
	var out []string
	for s := range from {
		out = append(out, string(s))
	}
	return out
}
