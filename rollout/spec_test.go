package rollout

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSpec_FillsInDefaults(t *testing.T) {
	t.Parallel()
	got, err := ParseSpec([]byte(`{"services": [{"name": "web"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultSpec()
	want.Services = []Service{defaultService()}
	want.Services[0].Name = "web"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("spec (-want +got):\n%s", diff)
	}
}

func TestParseSpec_KeepsDefaultsBesideWhatIsGiven(t *testing.T) {
	t.Parallel()
	got, err := ParseSpec([]byte(`{"description": "the shop", "services": [
		{"name": "web", "hosts": ["Shop.Example.COM"], "health": {"type": "http", "path": "/up?deep=1", "expect_status": [204, "300-399"]}},
		{"name": "api", "health": {"interval": "500ms"}}],
		"validation": {"min_healthy_percent": 50}, "retention": {"drain": "0s"}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := defaultSpec()
	want.Description = "the shop"
	web, api := defaultService(), defaultService()
	web.Name, web.Hosts = "web", []string{"shop.example.com"}
	web.Health.Type, web.Health.Path, web.Health.ExpectStatus = HealthHTTP, "/up?deep=1", []StatusRange{{204, 204}, {300, 399}}
	api.Name, api.Health.Interval = "api", Duration(500*time.Millisecond)
	want.Services = []Service{web, api}
	want.Validation.MinHealthyPercent = 50
	want.Retention.Drain = 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("spec (-want +got):\n%s", diff)
	}
	mustRoundTripSpec(t, got)
}

// serviceSpec wraps fields of a service in a specification that has nothing else.
func serviceSpec(fields string) string { return `{"services": [{"name": "web", ` + fields + `}]}` }

// wholeSpec adds top-level fields to a specification that is otherwise minimal.
func wholeSpec(fields string) string { return `{"services": [{"name": "web"}], ` + fields + `}` }

func TestParseSpec_Accepts(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range 32 {
		many = append(many, fmt.Sprintf(`{"name": "s%d"}`, i))
	}
	for _, raw := range []string{
		`{"services": [` + strings.Join(many, ",") + `]}`,
		serviceSpec(`"hosts": ["10.0.0.1", "a.b-c.d0", "xn--bcher-kva.example", "localhost"]`),
		serviceSpec(`"protocol": "http", "upstream_tls": false`),
		serviceSpec(`"catalog_name": "www"`),
		serviceSpec(`"health": {"type": "tcp", "path": "/healthz", "expect_status": ["200-399"]}`),
		serviceSpec(`"health": {"interval": "100ms", "timeout": "50ms", "healthy_after": 100, "unhealthy_after": 1}`),
		serviceSpec(`"health": {"interval": "1h", "timeout": "1m"}`),
		wholeSpec(`"routers": ["edge", "builtin"]`),
		`{"services": [{"name": "db", "protocol": "tcp"}, {"name": "web"}], "routers": ["edge"]}`,
		wholeSpec(`"routers": ["builtin"], "registry": "static", "requires": []`),
		wholeSpec(`"validation": {"timeout": "24h", "valid_for": "1s", "min_healthy_percent": 1, "min_capacity_percent": 0, "checks": []}`),
		wholeSpec(`"validation": {"valid_for": "87600h", "min_capacity_percent": 1000}`),
		wholeSpec(`"promotion": {"intake": "queue", "steps": [], "checks": []}`),
		wholeSpec(`"bake": {"duration": "0s", "interval": "15000ms", "checks": [], "on_failure": "rollback"}`),
		wholeSpec(`"retention": {"keep_for": "0s", "keep_generations": 10, "drain": "24h"}`),
		wholeSpec(`"networks": {"check_allow": [], "preview_allow": ["127.0.0.0/8", "::1/128"]}`),
		wholeSpec(`"routers": ["edge"], "networks": {"preview_allow": ["10.0.0.0/8"]}`),
		wholeSpec(`"description": "two\nlines – and ünïcode 🟢"`),
	} {
		spec, err := ParseSpec([]byte(raw))
		if err != nil {
			t.Errorf("%s: %v", raw, explainSpec(err))
			continue
		}
		mustRoundTripSpec(t, spec)
	}
}

func TestParseSpec_RefusesInvalid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, raw, pointer, detail string }{
		{"nothing", ``, "", "not one valid JSON value"},
		{"truncated", `{"services": [{"name": "web"}`, "", "unexpected end"},
		{"trailing data", `{"services": [{"name": "web"}]} {}`, "", "after top-level value"},
		{"not an object", `[]`, "", "must be an object"},
		{"null", `null`, "", "must not be null"},
		{"not UTF-8", "{\"description\": \"\xff\"}", "", "UTF-8"},
		{"deep", strings.Repeat(`{"a":`, 50) + `1` + strings.Repeat(`}`, 50), "", "nested deeper"},
		{"deeper than JSON allows", strings.Repeat(`[`, 100_000) + strings.Repeat(`]`, 100_000), "", "depth"},
		{"unknown field, close to a known one", wholeSpec(`"Retension": {}`), "/Retension", `did you mean "retention"?`},
		{"unknown field, case", wholeSpec(`"REGISTRY": "static"`), "/REGISTRY", `did you mean "registry"?`},
		{"unknown field, far", wholeSpec(`"zzz": 1`), "/zzz", `known here: description, services`},
		{"unknown field, nested", serviceSpec(`"health": {"intervall": "2s"}`), "/services/0/health/intervall", `"interval"`},
		{"unknown field, pointer escaped", wholeSpec(`"a/b~c": 1`), "/a~1b~0c", "unknown field"},
		{"unknown field, long", wholeSpec(`"` + strings.Repeat("x", 5000) + `": 1`), "", "5000 bytes"},
		{"duplicate key", wholeSpec(`"registry": "static", "registry": "static"`), "/registry", "twice"},
		{"duplicate key, nested", serviceSpec(`"health": {"path": "/a", "path": "/b"}`), "/services/0/health/path", "twice"},
		{"duplicate key in what is not read", wholeSpec(`"requires": [{"a": 1, "a": 2}]`), "/requires/0/a", "twice"},
		{"null field", wholeSpec(`"registry": null`), "/registry", "must not be null"},
		{"number for string", serviceSpec(`"protocol": 1`), "/services/0/protocol", "must be a string"},
		{"an odd name in the catalog", serviceSpec(`"catalog_name": "Web_1"`), "/services/0/catalog_name", "1 to 63"},
		{"one name in the catalog for two", `{"services": [{"name": "web", "catalog_name": "www"}, {"name": "api", "catalog_name": "www"}]}`, "/services/1/catalog_name", "already used at /services/0/catalog_name"},
		{"string for boolean", serviceSpec(`"upstream_tls": "no"`), "/services/0/upstream_tls", "true or false"},
		{"fraction", wholeSpec(`"retention": {"keep_generations": 1.5}`), "/retention/keep_generations", "whole number"},
		{"string for number", wholeSpec(`"retention": {"keep_generations": "1"}`), "/retention/keep_generations", "whole number"},
		{"enormous number", wholeSpec(`"retention": {"keep_generations": 1e999}`), "/retention/keep_generations", "whole number"},
		{"object for list", wholeSpec(`"routers": {}`), "/routers", "must be an array"},
		{"list for object", wholeSpec(`"bake": []`), "/bake", "must be an object"},
		{"number for duration", wholeSpec(`"retention": {"drain": 30}`), "/retention/drain", "duration"},
		{"negative duration", wholeSpec(`"retention": {"drain": "-1s"}`), "/retention/drain", "duration"},
		{"no services", `{}`, "/services", "1 to 32"},
		{"empty services", `{"services": []}`, "/services", "1 to 32"},
		{"33 services", `{"services": [` + strings.Repeat(`{"name": "web"},`, 32) + `{"name": "web"}]}`, "/services", "1 to 32"},
		{"no name", `{"services": [{}]}`, "/services/0/name", "required"},
		{"upper-case name", `{"services": [{"name": "Web"}]}`, "/services/0/name", "a-z"},
		{"name with newline", `{"services": [{"name": "web\n"}]}`, "/services/0/name", "a-z"},
		{"name with semicolon", `{"services": [{"name": "web;rm"}]}`, "/services/0/name", "a-z"},
		{"name ending in -", `{"services": [{"name": "web-"}]}`, "/services/0/name", "a-z"},
		{"name of 64", `{"services": [{"name": "` + strings.Repeat("a", 64) + `"}]}`, "/services/0/name", "1 to 63"},
		{"same name twice", `{"services": [{"name": "a"}, {"name": "a"}]}`, "/services/1/name", "/services/0/name"},
		{"host with port", serviceSpec(`"hosts": ["a.example:80"]`), "/services/0/hosts/0", "port"},
		{"host with scheme", serviceSpec(`"hosts": ["http://a.example"]`), "/services/0/hosts/0", "scheme"},
		{"host with wildcard", serviceSpec(`"hosts": ["*.example"]`), "/services/0/hosts/0", "wildcards"},
		{"host with empty label", serviceSpec(`"hosts": ["a..b"]`), "/services/0/hosts/0", "labels"},
		{"host with trailing dot", serviceSpec(`"hosts": ["a.example."]`), "/services/0/hosts/0", "labels"},
		{"host in another script", serviceSpec(`"hosts": ["bücher.example"]`), "/services/0/hosts/0", "xn--"},
		{"empty host", serviceSpec(`"hosts": [""]`), "/services/0/hosts/0", "1 to 253"},
		{"host of 254", serviceSpec(`"hosts": ["` + strings.Repeat("a.", 126) + `aa"]`), "/services/0/hosts/0", "1 to 253"},
		{"host twice in another case", serviceSpec(`"hosts": ["a.example", "A.example"]`), "/services/0/hosts/1", "/services/0/hosts/0"},
		{"host of two services", `{"services": [{"name": "a", "hosts": ["x"]}, {"name": "b", "hosts": ["x"]}]}`, "/services/1/hosts/0", "already used"},
		{"other protocol", serviceSpec(`"protocol": "quic"`), "/services/0/protocol", "http"},
		{"other health type", serviceSpec(`"health": {"type": "exec"}`), "/services/0/health/type", "tcp"},
		{"path with tcp", serviceSpec(`"health": {"path": "/up"}`), "/services/0/health/path", `"type": "http"`},
		{"status with tcp", serviceSpec(`"health": {"expect_status": [200]}`), "/services/0/health/expect_status", `"type": "http"`},
		{"relative path", serviceSpec(`"health": {"type": "http", "path": "up"}`), "/services/0/health/path", "begin with one /"},
		{"path to another host", serviceSpec(`"health": {"type": "http", "path": "//evil.example/"}`), "/services/0/health/path", "begin with one /"},
		{"path with CRLF", serviceSpec(`"health": {"type": "http", "path": "/a\r\nX: y"}`), "/services/0/health/path", "printable"},
		{"path in another script", serviceSpec(`"health": {"type": "http", "path": "/ü"}`), "/services/0/health/path", "printable"},
		{"path with bad escape", serviceSpec(`"health": {"type": "http", "path": "/%zz"}`), "/services/0/health/path", "hexadecimal"},
		{"long path", serviceSpec(`"health": {"type": "http", "path": "/` + strings.Repeat("a", 1024) + `"}`), "/services/0/health/path", "1024"},
		{"no status", serviceSpec(`"health": {"type": "http", "expect_status": []}`), "/services/0/health/expect_status", "1 to 20"},
		{"status 600", serviceSpec(`"health": {"type": "http", "expect_status": [600]}`), "/services/0/health/expect_status/0", "100-599"},
		{"interval too short", serviceSpec(`"health": {"interval": "99ms"}`), "/services/0/health/interval", "100ms to 1h"},
		{"interval too long", serviceSpec(`"health": {"interval": "61m"}`), "/services/0/health/interval", "100ms to 1h"},
		{"timeout too short", serviceSpec(`"health": {"timeout": "49ms"}`), "/services/0/health/timeout", "50ms to 2s"},
		{"timeout above interval", serviceSpec(`"health": {"timeout": "3s"}`), "/services/0/health/timeout", "50ms to 2s"},
		{"healthy_after 0", serviceSpec(`"health": {"healthy_after": 0}`), "/services/0/health/healthy_after", "1 to 100"},
		{"unhealthy_after 101", serviceSpec(`"health": {"unhealthy_after": 101}`), "/services/0/health/unhealthy_after", "1 to 100"},
		{"no routers", wholeSpec(`"routers": []`), "/routers", "at least one"},
		{"too many routers", wholeSpec(`"routers": ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "r16"]`), "/routers", "at most 16"},
		{"router twice", wholeSpec(`"routers": ["builtin", "builtin"]`), "/routers/1", "already used"},
		{"hostile router", wholeSpec(`"routers": ["../x"]`), "/routers/0", "name of a router"},
		{"hostile registry", wholeSpec(`"registry": "a b"`), "/registry", "name of a registry"},
		{"validation timeout 0", wholeSpec(`"validation": {"timeout": "0s"}`), "/validation/timeout", "1s to 24h"},
		{"valid_for 0", wholeSpec(`"validation": {"valid_for": "0s"}`), "/validation/valid_for", "at least 1s"},
		{"min_healthy 0", wholeSpec(`"validation": {"min_healthy_percent": 0}`), "/validation/min_healthy_percent", "1 to 100"},
		{"min_capacity 1001", wholeSpec(`"validation": {"min_capacity_percent": 1001}`), "/validation/min_capacity_percent", "0 to 1000"},
		{"other intake", wholeSpec(`"promotion": {"intake": "stack"}`), "/promotion/intake", "queue"},
		{"other on_failure", wholeSpec(`"bake": {"on_failure": "explode"}`), "/bake/on_failure", "rollback"},
		{"keep_generations 11", wholeSpec(`"retention": {"keep_generations": 11}`), "/retention/keep_generations", "0 to 10"},
		{"drain too long", wholeSpec(`"retention": {"drain": "25h"}`), "/retention/drain", "0s to 24h"},
		{"microseconds", wholeSpec(`"retention": {"keep_for": "1.0005s"}`), "/retention/keep_for", "milliseconds"},
		{"no network", wholeSpec(`"networks": {"check_allow": ["10.0.0.1"]}`), "/networks/check_allow/0", "network"},
		{"bits after the prefix", wholeSpec(`"networks": {"check_allow": ["10.0.0.1/8"]}`), "/networks/check_allow/0", "bits"},
		{"NUL in description", wholeSpec(`"description": "a\u0000b"`), "/description", "control"},
		{"long description", wholeSpec(`"description": "` + strings.Repeat("ü", 1001) + `"`), "/description", "1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_ = mustRefuseSpec(t, c.raw, InvalidRequest, c.pointer, c.detail)
		})
	}
}

func TestParseSpec_RefusesWhatIsNotBuilt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ raw, pointer, detail string }{
		{wholeSpec(`"registry": "nomad"`), "/registry", `"consul"`},
		{serviceSpec(`"protocol": "tcp"`), "/services/0/protocol", `"http"`},
		{serviceSpec(`"upstream_tls": true`), "/services/0/upstream_tls", "false"},
		{wholeSpec(`"validation": {"checks": [{"name": "smoke"}]}`), "/validation/checks", "leave it out"},
		{wholeSpec(`"promotion": {"steps": [{"weight": 10}]}`), "/promotion/steps", "leave it out"},
		{wholeSpec(`"promotion": {"checks": [null]}`), "/promotion/checks", "leave it out"},
		{wholeSpec(`"promotion": {"intake": "supersede"}`), "/promotion/intake", `"queue"`},
		{wholeSpec(`"promotion": {"intake": "reject"}`), "/promotion/intake", `"queue"`},
		{wholeSpec(`"bake": {"duration": "10m"}`), "/bake/duration", `"0s"`},
		{wholeSpec(`"bake": {"interval": "10s"}`), "/bake/interval", `"15s"`},
		{wholeSpec(`"bake": {"checks": [1]}`), "/bake/checks", "leave it out"},
		{wholeSpec(`"bake": {"on_failure": "hold"}`), "/bake/on_failure", `"rollback"`},
		{wholeSpec(`"requires": [{"environment": "staging"}]`), "/requires", "leave it out"},
		{wholeSpec(`"networks": {"check_allow": ["10.0.0.0/8"]}`), "/networks/check_allow", "leave it out"},
		{wholeSpec(`"networks": {"preview_allow": []}`), "/networks/preview_allow", "leave it out"},
		{wholeSpec(`"networks": {"preview_allow": ["10.0.0.0/8"]}`), "/networks/preview_allow", "leave it out"},
	} {
		t.Run(c.pointer, func(t *testing.T) {
			t.Parallel()
			refusal := mustRefuseSpec(t, c.raw, NotSupported, c.pointer, c.detail)
			if len(refusal.Errors) != 1 || len(refusal.Fixes) == 0 {
				t.Fatalf("one error and a fix expected: %+v", refusal)
			}
		})
	}
}

func TestParseSpec_CollectsEverythingAndInvalidWins(t *testing.T) {
	t.Parallel()
	raw := `{"services": [{"name": "A", "protocol": "tcp", "health": {"interval": 3}}], "registry": "nomad", "retention": {"drain": "25h"}, "x": 1}`
	refusal := mustRefuseSpec(t, raw, InvalidRequest, "/services/0/name", "a-z")
	var got []string
	for _, e := range refusal.Errors {
		got = append(got, e.Pointer)
	}
	want := []string{"/services/0/health/interval", "/x", "/services/0/name", "/retention/drain", "/services/0/protocol", "/registry"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("pointers (-want +got):\n%s", diff)
	}
}

func TestParseSpec_BoundsItsErrors(t *testing.T) {
	t.Parallel()
	raw := wholeSpec(`"routers": [` + strings.Repeat(`1,`, 10_000) + `1]`)
	refusal := mustRefuseSpec(t, raw, InvalidRequest, "/routers/0", "string")
	if len(refusal.Errors) > maxSpecErrors {
		t.Fatalf("%d errors in one answer", len(refusal.Errors))
	}
}

func FuzzParseSpec(f *testing.F) {
	for _, raw := range []string{
		``, `null`, `{}`, `[{}]`, `{"services": [{"name": "web"}]}`,
		serviceSpec(`"hosts": ["A.example"], "health": {"type": "http", "path": "/%41", "expect_status": [200, "204-299"], "interval": "1h1ms"}`),
		wholeSpec(`"description": "\ud800 <&>\u2028", "retention": {"keep_for": "2562047h47m16.854s"}`),
		wholeSpec(`"networks": {"check_allow": ["::/0"]}, "requires": [{"a": [1, null]}]`),
		`{"services": [{"name": "web", "name": "web"}]}{`,
	} {
		f.Add([]byte(raw))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec, err := ParseSpec(raw)
		if err == nil {
			mustRoundTripSpec(t, spec)
			return
		}
		var refusal *Refusal
		if !errors.As(err, &refusal) || len(refusal.Errors) == 0 {
			t.Fatalf("%v is not a refusal with errors", err)
		}
	})
}

func mustRoundTripSpec(t *testing.T, spec Spec) {
	t.Helper()
	raw, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSpec(raw)
	if err != nil {
		t.Fatalf("the full form is refused: %s\n%s", explainSpec(err), raw)
	}
	if diff := cmp.Diff(spec, again); diff != "" {
		t.Fatalf("the full form reads back differently (-want +got):\n%s", diff)
	}
}

func mustRefuseSpec(t *testing.T, raw string, code Code, pointer, detail string) *Refusal {
	t.Helper()
	spec, err := ParseSpec([]byte(raw))
	var refusal *Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("accepted as %+v (error %v)", spec, err)
	}
	if refusal.Code != code || refusal.Detail == "" || len(refusal.Fixes) == 0 {
		t.Fatalf("refused with %+v, want code %s, a detail and a fix", refusal, code)
	}
	if !slices.ContainsFunc(refusal.Errors, func(e FieldError) bool {
		return e.Pointer == pointer && strings.Contains(e.Detail, detail)
	}) {
		t.Fatalf("want an error at %q saying %q; got %s", pointer, detail, explainSpec(err))
	}
	return refusal
}

func explainSpec(err error) string {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return fmt.Sprintf("%s %q", refusal, refusal.Errors)
	}
	return err.Error()
}

func TestValidName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"a": true, "shop-prod": true, "3x": true, strings.Repeat("a", 63): true, "": false, "-a": false,
		"a-": false, "A": false, "a_b": false, "a.b": false, "a\n": false, "ü": false, strings.Repeat("a", 64): false} {
		if ValidName(name) != want {
			t.Errorf("%q is valid: %v", name, !want)
		}
	}
}
