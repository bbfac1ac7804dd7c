package server

import (
	"fmt"
	"strings"
	"testing"
)

// hostile is one malformed or hostile request and how it is refused. Where is the pointer of the first field error.
type hostile struct {
	name    string
	request request
	status  int
	code    string
	where   string
}

const (
	shop        = "/v1/environments/shop"
	generations = shop + "/generations"
)

func instance(id, address, port string) string {
	return `{"version": "1", "groups": [{"service": "web", "instances": [{"id": ` + id + `, "address": ` + address + `, "port": ` + port + `}]}]}`
}

func put(path, body string) request  { return request{Method: "PUT", Path: path, Body: body} }
func post(path, body string) request { return request{Method: "POST", Path: path, Body: body} }
func get(path string) request        { return request{Method: "GET", Path: path} }
func del(path string) request        { return request{Method: "DELETE", Path: path} }
func with(r request, name, value string) request {
	r.Header = map[string]string{name: value}
	return r
}

// bodies are wrong in the body. Generation 1 of shop is standby, 2 is live, 3 is retired, 4 is ready.
func bodies() []hostile {
	deep := strings.Repeat("[", 100_000)
	register := instance(`"z"`, `"10.9.9.9"`, `80`)
	return []hostile{
		{"no body", put(shop, ""), 400, "invalid_request", ""},
		{"truncated JSON", put(shop, `{"services": [`), 400, "invalid_request", ""},
		{"trailing data", put(shop, `{"services": [{"name": "web"}]} {}`), 400, "invalid_request", ""},
		{"trailing bracket", put(shop, `{"services": [{"name": "web"}]}]`), 400, "invalid_request", ""},
		{"trailing comma", put(shop, `{"services": [{"name": "web"},]}`), 400, "invalid_request", ""},
		{"single quotes", put(shop, `{'services': []}`), 400, "invalid_request", ""},
		{"a comment", put(shop, `{"services": [] /* none */}`), 400, "invalid_request", ""},
		{"not a number", put(shop, `{"services": NaN}`), 400, "invalid_request", ""},
		{"a leading zero", post(generations+"/4/promote", `{"expected_revision": 01}`), 400, "invalid_request", ""},
		{"a duplicate key", put(shop, `{"services": [{"name": "web"}], "services": [{"name": "api"}]}`), 400, "invalid_request", "/services"},
		{"a duplicate key, escaped", put(shop, `{"registry": "static", "regi\u0073try": "consul", "services": [{"name": "web"}]}`), 400, "invalid_request", "/registry"},
		{"a duplicate key inside", post(generations+"/4/promote", `{"force": false, "force": true}`), 400, "invalid_request", "/force"},
		{"invalid UTF-8", put(shop, "{\"description\": \"\xff\", \"services\": [{\"name\": \"web\"}]}"), 400, "invalid_request", ""},
		{"deep arrays", put(shop, deep), 400, "invalid_request", ""},
		{"deep closed arrays", put(shop, deep+strings.Repeat("]", 100_000)), 400, "invalid_request", ""},
		{"deep objects", put(shop, strings.Repeat(`{"a":`, 100_000)+"1"+strings.Repeat("}", 100_000)), 400, "invalid_request", ""},
		{"deep in a setting", put(shop, `{"services": [{"name": "web"}], "requires": `+strings.Repeat("[", 70)+strings.Repeat("]", 70)+`}`), 400, "invalid_request", ""},
		{"10 MiB", put(shop, `{"description": "`+strings.Repeat("a", 10<<20)+`"}`), 413, "payload_too_large", ""},
		{"10 MiB of blanks", put(shop, strings.Repeat(" ", 10<<20)), 413, "payload_too_large", ""},
		{"one byte too many", put(shop, strings.Repeat(" ", 1<<20+1)), 413, "payload_too_large", ""},
		{"no content type", with(put(shop, spec), "Content-Type", ""), 415, "unsupported_media_type", ""},
		{"plain text", with(put(shop, spec), "Content-Type", "text/plain"), 415, "unsupported_media_type", ""},
		{"a form", with(put(shop, "services=web"), "Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported_media_type", ""},
		{"almost JSON", with(put(shop, spec), "Content-Type", "application/jsonp"), 415, "unsupported_media_type", ""},
		{"compressed", with(put(shop, spec), "Content-Encoding", "gzip"), 415, "unsupported_media_type", ""},
		{"an array", put(shop, `[]`), 422, "invalid_request", ""},
		{"null", put(shop, `null`), 422, "invalid_request", ""},
		{"a string", put(shop, `"shop"`), 422, "invalid_request", ""},
		{"null for an optional body", post(generations+"/4/promote", `null`), 422, "invalid_request", ""},
		{"an unknown field", put(shop, `{"services": [{"name": "web"}], "colour": "red"}`), 422, "invalid_request", "/colour"},
		{"an unknown field inside", put(shop, `{"services": [{"name": "web", "port": 1}]}`), 422, "invalid_request", "/services/0/port"},
		{"a field in another spelling", post(generations+"/4/promote", `{"Force": true}`), 422, "invalid_request", "/Force"},
		{"mass assignment", post(generations, `{"state": "live", "number": 7, `+register[1:]), 422, "invalid_request", "/number"},
		{"a very long field name", put(shop, `{"services": [{"name": "web"}], "`+strings.Repeat("x", 5000)+`": 1}`), 422, "invalid_request", "/" + strings.Repeat("x", 100) + "…"},
		{"a name with ;", put(shop, `{"services": [{"name": "web;disable server"}]}`), 422, "invalid_request", "/services/0/name"},
		{"a name with a newline", put(shop, `{"services": [{"name": "web\nshutdown"}]}`), 422, "invalid_request", "/services/0/name"},
		{"a name with ../", put(shop, `{"services": [{"name": "../etc/passwd"}]}`), 422, "invalid_request", "/services/0/name"},
		{"a name of unicode", put(shop, `{"services": [{"name": "wéb"}]}`), 422, "invalid_request", "/services/0/name"},
		{"a name with a direction mark", put(shop, `{"services": [{"name": "web\u202e"}]}`), 422, "invalid_request", "/services/0/name"},
		{"a name with NUL", put(shop, `{"services": [{"name": "web\u0000"}]}`), 422, "invalid_request", "/services/0/name"},
		{"a description with NUL", put(shop, `{"description": "\u0000", "services": [{"name": "web"}]}`), 422, "invalid_request", "/description"},
		{"a key with NUL", put(shop, `{"\u0000": 1, "services": [{"name": "web"}]}`), 422, "invalid_request", ""},
		{"a name too long", put(shop, `{"services": [{"name": "`+strings.Repeat("a", 64)+`"}]}`), 422, "invalid_request", "/services/0/name"},
		{"two services of a name", put(shop, `{"services": [{"name": "web"}, {"name": "web"}]}`), 422, "invalid_request", "/services/1/name"},
		{"no services", put(shop, `{"services": []}`), 422, "invalid_request", "/services"},
		{"too many services", put(shop, `{"services": [`+strings.Repeat(`{"name": "a"},`, 40)+`{"name": "a"}]}`), 422, "invalid_request", "/services"},
		{"a host with a path", put(shop, `{"services": [{"name": "web", "hosts": ["a.example/x"]}]}`), 422, "invalid_request", "/services/0/hosts/0"},
		{"a bad duration", put(shop, `{"services": [{"name": "web"}], "retention": {"drain": "1 week"}}`), 422, "invalid_request", "/retention/drain"},
		{"a negative duration", put(shop, `{"services": [{"name": "web"}], "retention": {"drain": "-1s"}}`), 422, "invalid_request", "/retention/drain"},
		{"a huge duration", put(shop, `{"services": [{"name": "web"}], "retention": {"drain": "99999999999h"}}`), 422, "invalid_request", "/retention/drain"},
		{"another name than the path", put(shop, `{"name": "other", "services": [{"name": "web"}]}`), 422, "invalid_request", "/name"},
		{"no name", post("/v1/environments", `{"services": [{"name": "web"}]}`), 422, "invalid_request", "/name"},
		{"what is not built", put(shop, `{"services": [{"name": "web"}], "bake": {"duration": "5m"}}`), 422, "not_supported", "/bake/duration"},
		{"a name in use", post("/v1/environments", `{"name": "shop", "services": [{"name": "web"}]}`), 409, "conflict", ""},
		{"a host in use", put("/v1/environments/third", `{"services": [{"name": "web", "hosts": ["shop.localhost"]}]}`), 409, "host_in_use", ""},

		{"port 0", post(generations, instance(`"z"`, `"10.9.9.9"`, `0`)), 422, "invalid_request", "/groups/0/instances/0/port"},
		{"port 70000", post(generations, instance(`"z"`, `"10.9.9.9"`, `70000`)), 422, "invalid_request", "/groups/0/instances/0/port"},
		{"a negative port", post(generations, instance(`"z"`, `"10.9.9.9"`, `-1`)), 422, "invalid_request", "/groups/0/instances/0/port"},
		{"a port of a fraction", post(generations, instance(`"z"`, `"10.9.9.9"`, `80.5`)), 422, "invalid_request", "/groups/0/instances/0/port"},
		{"a port in exponents", post(generations, instance(`"z"`, `"10.9.9.9"`, `8e1`)), 422, "invalid_request", ""},
		{"a port as text", post(generations, instance(`"z"`, `"10.9.9.9"`, `"80"`)), 422, "invalid_request", "/groups/0/instances/0/port"},
		{"a port beyond numbers", post(generations, instance(`"z"`, `"10.9.9.9"`, `1e400`)), 422, "invalid_request", "/groups/0/instances/0/port"},
		{"an id with ;", post(generations, instance(`"z;shutdown sessions"`, `"10.9.9.9"`, `80`)), 422, "invalid_request", "/groups/0/instances/0/id"},
		{"an id with <<", post(generations, instance(`"z <<"`, `"10.9.9.9"`, `80`)), 422, "invalid_request", "/groups/0/instances/0/id"},
		{"an address with a blank", post(generations, instance(`"z"`, `"10.9.9.9 weight 100"`, `80`)), 422, "invalid_request", "/groups/0/instances/0/address"},
		{"an address as a URL", post(generations, instance(`"z"`, `"http://10.9.9.9"`, `80`)), 422, "invalid_request", "/groups/0/instances/0/address"},
		{"a decimal address", post(generations, instance(`"z"`, `"2130706433"`, `80`)), 422, "invalid_request", "/groups/0/instances/0/address"},
		{"an octal address", post(generations, instance(`"z"`, `"010.0.0.1"`, `80`)), 422, "invalid_request", "/groups/0/instances/0/address"},
		{"the address of everybody", post(generations, instance(`"z"`, `"0.0.0.0"`, `80`)), 422, "invalid_request", "/groups/0/instances/0/address"},
		{"an unknown service", post(generations, strings.Replace(register, `"web"`, `"api"`, 1)), 422, "invalid_request", "/groups/0/service"},
		{"no groups", post(generations, `{"version": "1", "groups": []}`), 422, "invalid_request", "/groups"},
		{"no instances", post(generations, `{"version": "1", "groups": [{"service": "web", "instances": []}]}`), 422, "invalid_request", "/groups/0/instances"},
		{"the same instance twice", post(generations, `{"version": "1", "groups": [{"service": "web", "instances": [{"id": "a", "address": "10.9.9.9", "port": 1}, {"id": "a", "address": "10.9.9.9", "port": 2}]}]}`), 422, "invalid_request", "/groups/0/instances/1/id"},
		{"a version with a newline", post(generations, strings.Replace(register, `"1"`, `"1\r\nX-Evil: 1"`, 1)), 422, "invalid_request", "/version"},
		{"a key of metadata with ;", post(generations, `{"metadata": {"a;b": "c"}, `+register[1:]), 422, "invalid_request", "/metadata"},
		{"a key of meta with a blank", post(generations, strings.Replace(register, `"port": 80`, `"port": 80, "meta": {"a b": "c"}`, 1)), 422, "invalid_request", "/groups/0/instances/0/meta"},
		{"metadata that is no text", post(generations, `{"metadata": {"a": 1}, `+register[1:]), 422, "invalid_request", "/metadata/a"},
		{"a link that runs", post(generations, `{"artifact": {"source": {"url": "javascript:alert(1)"}}, `+register[1:]), 422, "invalid_request", "/artifact/source/url"},
		{"an instance in use", post(generations, "IN USE"), 409, "instance_in_use", ""},

		{"negative weights", put(shop+"/weights", `{"weights": {"2": 110, "4": -10}}`), 422, "invalid_request", "/weights/2"},
		{"weights that sum to 99", put(shop+"/weights", `{"weights": {"2": 90, "4": 9}}`), 422, "invalid_request", "/weights"},
		{"weights of a fraction", put(shop+"/weights", `{"weights": {"2": 90.5, "4": 9.5}}`), 422, "invalid_request", "/weights/2"},
		{"weights of no number", put(shop+"/weights", `{"weights": {"blue": 100}}`), 422, "invalid_request", "/weights"},
		{"weights of a huge number", put(shop+"/weights", `{"weights": {"9999999999": 100}}`), 422, "invalid_request", "/weights/9999999999"},
		{"no weights", put(shop+"/weights", `{"weights": {}}`), 422, "invalid_request", "/weights"},
		{"weights of a retired one", put(shop+"/weights", `{"weights": {"2": 90, "3": 10}}`), 409, "generation_not_ready", ""},
		{"all weight to what is not live", put(shop+"/weights", `{"weights": {"4": 100}}`), 409, "conflict", ""},
		{"promote of a retired one", post(generations+"/3/promote", `{}`), 409, "generation_not_ready", ""},
		{"promote of a standby", post(generations+"/1/promote", `{}`), 409, "conflict", ""},
		{"promote of none", post(generations+"/77/promote", `{}`), 404, "not_found", ""},
		{"an old revision", post(generations+"/4/promote", `{"expected_revision": 1}`), 409, "revision_mismatch", ""},
		{"a negative revision", post(generations+"/4/promote", `{"expected_revision": -1}`), 422, "invalid_request", "/expected_revision"},
		{"a revision beyond numbers", post(generations+"/4/promote", `{"expected_revision": 99999999999999999999}`), 422, "invalid_request", ""},
		{"a reason with an escape", post(generations+"/4/promote", `{"reason": "\u001b[2J"}`), 422, "invalid_request", "/reason"},
		{"a reason too long", post(generations+"/4/promote", `{"reason": "`+strings.Repeat("a", 501)+`"}`), 422, "invalid_request", "/reason"},
		{"validate of a retired one", post(generations+"/3/validate", ""), 409, "conflict", ""},
		{"a body where none is taken", post(generations+"/4/validate", `{"force": true}`), 422, "invalid_request", ""},
		{"rollback to a retired one", post(shop+"/rollback", `{"to": 3}`), 409, "rollback_unavailable", ""},
		{"rollback to 0", post(shop+"/rollback", `{"to": 0}`), 422, "invalid_request", "/to"},
		{"rollback to a text", post(shop+"/rollback", `{"to": "1"}`), 422, "invalid_request", "/to"},
		{"an empty lock", put(shop+"/lock", `{"reason": ""}`), 422, "invalid_request", "/reason"},
		{"retention of the live one", put(shop+"/retention", `{"generation": 2, "keep_until": "2099-01-01T00:00:00Z"}`), 409, "conflict", ""},
		{"retention until tomorrow", put(shop+"/retention", `{"generation": 1, "keep_until": "tomorrow"}`), 422, "invalid_request", "/keep_until"},
		{"retention until a date there is not", put(shop+"/retention", `{"generation": 1, "keep_until": "2099-02-31T00:00:00Z"}`), 422, "invalid_request", ""},
		{"retention into the past", put(shop+"/retention", `{"generation": 1, "keep_until": "1999-01-01T00:00:00Z"}`), 422, "invalid_request", "/keep_until"},
		{"an unknown role", post("/v1/tokens", `{"name": "t", "role": "root", "environments": ["*"]}`), 422, "invalid_request", "/role"},
		{"a token for nothing", post("/v1/tokens", `{"name": "t", "role": "admin", "environments": []}`), 422, "invalid_request", "/environments"},
		{"a token for a path", post("/v1/tokens", `{"name": "t", "role": "admin", "environments": ["../*"]}`), 422, "invalid_request", "/environments/0"},
		{"a token that has expired", post("/v1/tokens", `{"name": "t", "role": "admin", "environments": ["*"], "expires_in": "0s"}`), 422, "invalid_request", "/expires_in"},
	}
}

// urls are wrong in method, path, query or headers.
func urls() []hostile {
	return []hostile{
		{"an unknown path", get("/v1/nothing"), 404, "not_found", ""},
		{"a path above", get("/v1/environments/../tokens"), 404, "not_found", ""},
		{"two slashes", get("//v1/environments"), 404, "not_found", ""},
		{"a slash behind", get("/v1/environments/"), 404, "not_found", ""},
		{"an encoded slash", get("/v1/environments/a%2fb"), 422, "invalid_request", "{environment}"},
		{"an encoded path above", get("/v1/environments/%2e%2e"), 422, "invalid_request", "{environment}"},
		{"an encoded ;", get("/v1/environments/shop%3bx"), 422, "invalid_request", "{environment}"},
		{"an encoded newline", get("/v1/environments/shop%0aSet-Cookie:x"), 422, "invalid_request", "{environment}"},
		{"an encoded NUL", get("/v1/environments/shop%00"), 400, "invalid_request", ""},
		{"encoded rubbish", get("/v1/environments/shop%ff"), 400, "invalid_request", ""},
		{"a name of unicode", get("/v1/environments/sh%C3%B6p"), 422, "invalid_request", "{environment}"},
		{"a name too long", get("/v1/environments/" + strings.Repeat("a", 64)), 422, "invalid_request", "{environment}"},
		{"upper case", get("/v1/environments/SHOP"), 422, "invalid_request", "{environment}"},
		{"an unknown environment", get("/v1/environments/nothing"), 404, "not_found", ""},
		{"generation 0", get(generations + "/0"), 422, "invalid_request", "{number}"},
		{"generation -1", get(generations + "/-1"), 422, "invalid_request", "{number}"},
		{"generation of a fraction", get(generations + "/1.5"), 422, "invalid_request", "{number}"},
		{"generation of letters", get(generations + "/one"), 422, "invalid_request", "{number}"},
		{"generation beyond numbers", get(generations + "/99999999999999999999"), 422, "invalid_request", "{number}"},
		{"generation of SQL", get(generations + "/1%20OR%201=1"), 422, "invalid_request", "{number}"},
		{"limit 0", get("/v1/environments?limit=0"), 422, "invalid_request", "?limit"},
		{"limit 1e9", get("/v1/environments?limit=1000000000"), 422, "invalid_request", "?limit"},
		{"limit of letters", get("/v1/environments?limit=all"), 422, "invalid_request", "?limit"},
		{"limit twice", get("/v1/environments?limit=1&limit=2"), 422, "invalid_request", "?limit"},
		{"a cursor of somebody else", get("/v1/environments?cursor=AAAA"), 422, "invalid_request", "?cursor"},
		{"a cursor with quotes", get("/v1/environments?cursor=%27--"), 422, "invalid_request", "?cursor"},
		{"a misspelt parameter", get(shop + "/switches/1?wiat=applied"), 422, "invalid_request", "?wiat"},
		{"an unknown wait", get(shop + "/switches/1?wait=forever"), 422, "invalid_request", "?wait"},
		{"a bad timeout", post(generations+"/4/promote?timeout=soon", `{}`), 422, "invalid_request", "?timeout"},
		{"a timeout too long", post(generations+"/4/promote?timeout=1h", `{}`), 422, "invalid_request", "?timeout"},
		{"a window too long", get(shop + "/traffic?window=16m"), 422, "invalid_request", "?window"},
		{"an unknown state", get(generations + "?state=dead"), 422, "invalid_request", "?state/0"},
		{"a query that cannot be read", get("/v1/environments?limit=%zz"), 400, "invalid_request", ""},
		{"a query with ;", get("/v1/environments?limit=1;cursor=x"), 400, "invalid_request", ""},
		{"a query of rubbish", del(shop + "?reason=%ff"), 400, "invalid_request", ""},
		{"a negative event", get("/v1/events?after=-1"), 422, "invalid_request", "?after"},
		{"a kind with quotes", get("/v1/events?kind=%27"), 422, "invalid_request", "?kind"},
		{"a last event of letters", with(get("/v1/events/stream"), "Last-Event-ID", "x"), 422, "invalid_request", "Last-Event-ID"},
		{"force that is neither", del(shop + "?force=maybe"), 422, "invalid_request", "?force"},
		{"If-Match without quotes", with(put(shop, spec), "If-Match", "1"), 422, "invalid_request", "If-Match"},
		{"If-Match of anything", with(put(shop, spec), "If-Match", "*"), 422, "invalid_request", "If-Match"},
		{"If-Match of another version", with(put(shop, spec), "If-Match", `"99"`), 412, "precondition_failed", ""},
		{"If-Match of nothing we gave", with(put(shop, spec), "If-Match", `"abc"`), 412, "precondition_failed", ""},
		{"If-Match on delete", with(del(shop+"?force=true"), "If-Match", `"99"`), 412, "precondition_failed", ""},
		{"an idempotency key with a blank", with(put(shop, spec), "Idempotency-Key", "a b"), 422, "invalid_request", "Idempotency-Key"},
		{"an idempotency key too long", with(put(shop, spec), "Idempotency-Key", strings.Repeat("a", 201)), 422, "invalid_request", "Idempotency-Key"},
		{"an idempotency key of unicode", with(put(shop, spec), "Idempotency-Key", "schlüssel"), 422, "invalid_request", "Idempotency-Key"},
		{"a token id with ;", del("/v1/tokens/a%3bb"), 422, "invalid_request", "{id}"},
		{"an unknown token", del("/v1/tokens/abc"), 404, "not_found", ""},
		{"an unknown node", del("/v1/routers/builtin/nodes/none"), 404, "not_found", ""},
		{"a node above", del("/v1/routers/builtin/nodes/..%2f"), 422, "invalid_request", "{node}"},
		{"an unknown revision", get(shop + "/switches/99"), 404, "not_found", ""},
		{"a wait for an unknown revision", get(shop + "/switches/99?wait=applied"), 404, "not_found", ""},
		{"an unknown promotion", get(shop + "/promotions/99"), 404, "not_found", ""},
		{"POST on an environment", post(shop, `{}`), 405, "method_not_allowed", ""},
		{"DELETE of all environments", del("/v1/environments"), 405, "method_not_allowed", ""},
		{"PATCH of an environment", request{Method: "PATCH", Path: shop, Body: `{}`}, 405, "method_not_allowed", ""},
		{"a method of somebody else", request{Method: "PROPFIND", Path: shop}, 405, "method_not_allowed", ""},
		{"TRACE", request{Method: "TRACE", Path: shop}, 405, "method_not_allowed", ""},
		{"OPTIONS", request{Method: "OPTIONS", Path: shop}, 405, "method_not_allowed", ""},
		{"a method that overrides", with(get(shop), "X-HTTP-Method-Override", "DELETE"), 200, "", ""},
		{"a body with GET", request{Method: "GET", Path: shop, Body: `{"a": 1}`}, 422, "invalid_request", ""},
	}
}

func TestHostileRequests_AreRefusedAndChangeNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.environment("shop")
	for n := 1; n <= 2; n++ {
		w.promote("shop", w.ready("shop"))
	}
	w.ready("shop")
	w.ok("POST", generations+"/3/retire", "")
	w.awaitState("shop", 3, "retired")
	w.ready("shop")
	w.stop()
	live := w.instanceOf(2)
	table := append(bodies(), urls()...)
	if len(table) < 160 {
		t.Errorf("only %d requests", len(table))
	}
	before := w.fingerprint()
	for _, h := range table {
		h.request.Token = w.admin()
		h.request.Body = strings.Replace(h.request.Body, "IN USE", live, 1)
		a := w.send(h.request)
		where := ""
		if len(a.problem.Errors) > 0 {
			where = a.problem.Errors[0].Pointer
		}
		if a.status != h.status || string(a.problem.Code) != h.code || (h.where != "" && where != h.where) {
			t.Errorf("%s: %d %s %q, want %d %s %q\n%.600s", h.name, a.status, a.problem.Code, where, h.status, h.code, h.where, a.body)
		}
		if a.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", h.name)
		}
		if len(a.body) > 16<<10 {
			t.Errorf("%s: the answer has %d bytes", h.name, len(a.body))
		}
		if after := w.fingerprint(); after != before {
			t.Fatalf("%s changed the database", h.name)
		}
	}
}

// instanceOf is a registration of the instance that a generation has.
func (w *world) instanceOf(number int) string {
	w.t.Helper()
	g, err := w.store.Generation(w.t.Context(), "shop", number)
	if err != nil {
		w.t.Fatal(err)
	}
	in := g.Groups[0].Instances[0]
	return groups(in.Address, in.Port)
}

// TestHostileRequests_WithoutTokenAreNotRead: a body of somebody unknown is refused before it is read.
func TestHostileRequests_WithoutTokenAreNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	// The body that is announced never comes.
	status := w.rawRequest("PUT /v1/environments/shop HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{")
	if status != 401 {
		t.Errorf("status %d, want 401 without waiting for the body", status)
	}
}

// TestRegister_TakesManyInstances: the largest group that the contract allows fits into the largest body.
func TestRegister_TakesManyInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	var list []string
	for i := range 2000 {
		list = append(list, fmt.Sprintf(`{"id": "web-%d", "address": "10.20.%d.%d", "port": 8080, "meta": {"zone": "eu-central-1a", "host": "i-%017d"}}`, i, i/250, i%250, i))
	}
	a := w.send(request{Method: "POST", Path: generations, Token: w.admin(),
		Body: `{"version": "1", "groups": [{"service": "web", "instances": [` + strings.Join(list, ",") + `]}]}`})
	if a.status != 201 || strings.Count(a.body, `"address"`) != 2000 {
		t.Errorf("2,000 instances: %d %.300s", a.status, a.body)
	}
}
