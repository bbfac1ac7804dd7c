package api_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"viridian/rollout"
)

// The domain fills in the defaults of a spec; the contract only tells them. This holds one against the other.
func TestContract_DefaultsAreThoseOfTheDomain(t *testing.T) {
	t.Parallel()
	spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	filled, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := visit(load(t), "EnvironmentSpec", string(filled)); err != nil {
		t.Errorf("the contract refuses the domain's defaults: %v", err)
	}
	var domain map[string]any
	if err := json.Unmarshal(filled, &domain); err != nil {
		t.Fatal(err)
	}
	compare(t, schemas(t), "", map[string]any{"$ref": "#/components/schemas/EnvironmentSpec"}, domain)
}

// schemas reads the file as plain YAML: the loader drops a default that stands beside a reference.
func schemas(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(contract)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct{ Schemas map[string]any }
	}
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Components.Schemas
}

func compare(t *testing.T, schemas map[string]any, at string, schema map[string]any, value any) {
	t.Helper()
	if told, ok := schema["default"]; ok {
		raw, _ := json.Marshal(told)
		var want any
		if err := json.Unmarshal(raw, &want); err != nil || !reflect.DeepEqual(value, want) {
			t.Errorf("%s: the domain fills in %v, the contract tells %v", at, value, want)
		}
		return
	}
	if ref, ok := schema["$ref"].(string); ok {
		schema = schemas[strings.TrimPrefix(ref, "#/components/schemas/")].(map[string]any)
		if _, ok := schema["default"]; ok {
			compare(t, schemas, at, schema, value)
			return
		}
	}
	switch value := value.(type) {
	case []any:
		if items, ok := schema["items"].(map[string]any); ok && len(value) > 0 {
			compare(t, schemas, at+"/0", items, value[0])
		}
	case map[string]any:
		told, _ := schema["properties"].(map[string]any)
		for name, of := range value {
			property, ok := told[name].(map[string]any)
			if !ok {
				t.Errorf("%s/%s: the contract lacks it", at, name)
				continue
			}
			compare(t, schemas, at+"/"+name, property, of)
		}
		for name := range told {
			// The name is no part of the spec, and what follows from it is not filled in.
			if _, ok := value[name]; !ok && at+"/"+name != "/name" && at+"/"+name != "/services/0/catalog_name" {
				t.Errorf("%s/%s: the domain lacks it", at, name)
			}
		}
	default:
		if at != "/services/0/name" {
			t.Errorf("%s: the contract tells no default; the domain fills in %v", at, value)
		}
	}
}
