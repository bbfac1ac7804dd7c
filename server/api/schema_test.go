package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"viridian/server/api"
)

// visit holds a JSON text against a schema of the contract, as the file's own version of OpenAPI says.
func visit(doc *openapi3.T, schema, text string) error {
	value, err := decode(text)
	if err != nil {
		return err
	}
	return doc.Components.Schemas[schema].Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
}

// quickly does the same as the server does it.
func quickly(c *api.Contract, schema, text string) error {
	value, err := decode(text)
	if err != nil {
		return err
	}
	of := c.Doc.Components.Schemas[schema].Value
	if err := of.VisitJSON(value); err != nil {
		return err
	}
	if wrong := c.Names(of, value); len(wrong) > 0 {
		return errors.New(wrong[0].Pointer + ": " + wrong[0].Detail)
	}
	return nil
}

func decode(text string) (value any, err error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

func prepared(t *testing.T) *api.Contract {
	t.Helper()
	raw, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	c, err := api.LoadContract(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSchemas_Take holds what must reach the domain, which knows better why it refuses some of it.
func TestSchemas_Take(t *testing.T) {
	t.Parallel()
	doc, server := load(t), prepared(t)
	for schema, bodies := range map[string][]string{
		"EnvironmentSpec": {
			`{"name": "shop", "services": [{"name": "web"}]}`,
			`{"services": [{"name": "web"}], "validation": {"checks": [{"name": "a", "type": "http", "interval": "1s"}]}}`,
			`{"services": [{"name": "web"}], "promotion": {"intake": "supersede", "steps": [{"weight": 10, "hold": "5m"}]}}`,
			`{"services": [{"name": "web"}], "bake": {"duration": "10m", "on_failure": "hold", "checks": [{}]}}`,
			`{"services": [{"name": "web"}], "requires": [{"environment": "staging", "live_for": "1h30m"}]}`,
			`{"services": [{"name": "web"}], "networks": {"check_allow": ["10.0.0.0/8"], "preview_allow": []}}`,
			`{"services": [{"name": "db", "protocol": "tcp", "upstream_tls": true}], "routers": ["edge"], "registry": "consul"}`,
			`{"services": [{"name": "web", "health": {"type": "http", "expect_status": [204, "200-299"]}}]}`,
		},
		"RegisterRequest": {
			`{"version": "2.7.0", "groups": [{"service": "web", "instances": [{"id": "a", "address": "10.0.0.1", "port": 1}]}]}`,
			`{"version": "feature/x 1", "promote": true, "metadata": {"git.branch/x": "ü"}, "groups": [{"service": "web",
			  "instances": [{"id": "a_1.b", "address": "fd00::1", "port": 65535, "meta": {"zone": "b"}}]}]}`,
		},
		"PromoteRequest":   {`{}`, `{"expected_revision": 0, "reason": "two\nlines"}`},
		"WeightsRequest":   {`{"weights": {"41": 90, "42": 10}}`},
		"RetentionRequest": {`{"generation": 41, "keep_until": "2026-11-23T08:00:00Z"}`},
		"TokenRequest":     {`{"name": "ci", "role": "deployer", "environments": ["shop-*", "*"], "expires_in": "2160h"}`},
	} {
		for _, body := range bodies {
			if err := visit(doc, schema, body); err != nil {
				t.Errorf("%s refuses %s: %v", schema, body, err)
			}
			if err := quickly(server, schema, body); err != nil {
				t.Errorf("the server's %s refuses %s: %v", schema, body, err)
			}
		}
	}
}

func TestSchemas_Refuse(t *testing.T) {
	t.Parallel()
	doc, server := load(t), prepared(t)
	instance := func(id, address, port string) string {
		return `{"version": "1", "groups": [{"service": "web", "instances": [{"id": ` + id + `, "address": ` + address + `, "port": ` + port + `}]}]}`
	}
	for schema, bodies := range map[string][]string{
		"EnvironmentSpec": {
			`{}`, `[]`, `null`, `{"services": []}`, `{"services": [{"name": "web"}], "colour": "red"}`,
			`{"services": [{"name": "Web"}]}`, `{"services": [{"name": "web;x"}]}`, `{"services": [{"name": "web\n"}]}`,
			`{"services": [{"name": "../web"}]}`, `{"services": [{"name": "-web"}]}`, `{"services": [{"name": "wéb"}]}`,
			`{"services": [{"name": "` + strings.Repeat("a", 64) + `"}]}`,
			`{"services": [` + strings.Repeat(`{"name": "a"},`, 32) + `{"name": "a"}]}`,
			`{"services": [{"name": "web", "health": {"interval": "-1s"}}]}`,
			`{"services": [{"name": "web", "health": {"interval": "1 s"}}]}`,
			`{"services": [{"name": "web", "health": {"interval": 5}}]}`,
			`{"services": [{"name": "web", "health": {"expect_status": [99]}}]}`,
			`{"services": [{"name": "web", "health": {"path": "healthz"}}]}`,
			`{"services": [{"name": "web", "hosts": ["a b"]}]}`,
		},
		"RegisterRequest": {
			`{"version": "", "groups": []}`, `{"groups": [{"service": "web", "instances": []}]}`,
			instance(`"a"`, `"10.0.0.1"`, `0`), instance(`"a"`, `"10.0.0.1"`, `70000`), instance(`"a"`, `"10.0.0.1"`, `80.5`),
			instance(`"a"`, `"10.0.0.1"`, `"80"`), instance(`"a;b"`, `"10.0.0.1"`, `80`), instance(`"a"`, `"10.0.0.1 "`, `80`),
			instance(`"a"`, `"http://x"`, `80`), instance(`""`, `"x"`, `80`), instance(`"a"`, `"fe80::1%eth0"`, `80`),
			`{"version": "1\n", "groups": [{"service": "web", "instances": [{"id": "a", "address": "b", "port": 1}]}]}`,
			`{"version": "1", "metadata": {"a;b": "x"}, "groups": [{"service": "web", "instances": [{"id": "a", "address": "b", "port": 1}]}]}`,
			`{"version": "1", "metadata": {"a": 1}, "groups": [{"service": "web", "instances": [{"id": "a", "address": "b", "port": 1}]}]}`,
			`{"version": "1", "metadata": {"a": "\u0000"}, "groups": [{"service": "web", "instances": [{"id": "a", "address": "b", "port": 1}]}]}`,
			`{"version": "1", "artifact": {"source": {"url": "javascript:alert(1)"}}, "groups": [{"service": "web", "instances": [{"id": "a", "address": "b", "port": 1}]}]}`,
		},
		"PromoteRequest": {`{"expected_revision": -1}`, `{"expected_revision": "1"}`, `{"force": "yes"}`, `{"Force": true}`,
			`{"reason": "\u0000"}`, `{"reason": "` + strings.Repeat("a", 501) + `"}`},
		"WeightsRequest": {`{}`, `{"weights": {}}`, `{"weights": {"41": -1}}`, `{"weights": {"41": 101}}`, `{"weights": {"0": 100}}`,
			`{"weights": {"blue": 100}}`, `{"weights": {"41": 50.5, "42": 49.5}}`, `{"weights": {"1": 40, "2": 30, "3": 30}}`},
		"RollbackRequest":  {`{"to": 0}`, `{"to": 99999999999}`, `{"to": "41"}`, `{"generation": 41}`},
		"LockRequest":      {`{}`, `{"reason": ""}`},
		"RetentionRequest": {`{"generation": 41}`, `{"generation": 41, "keep_until": "tomorrow"}`},
		"TokenRequest": {`{"name": "ci", "role": "root", "environments": ["*"]}`, `{"name": "ci", "role": "admin", "environments": []}`,
			`{"name": "ci", "role": "admin", "environments": ["shop/../*"]}`},
	} {
		for _, body := range bodies {
			if err := visit(doc, schema, body); err == nil {
				t.Errorf("%s takes %.200s", schema, body)
			}
			if err := quickly(server, schema, body); err == nil {
				t.Errorf("the server's %s takes %.200s", schema, body)
			}
		}
	}
}
