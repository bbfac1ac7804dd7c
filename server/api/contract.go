package api

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Contract is openapi.yaml made ready to hold requests against. It is safe for concurrent use.
type Contract struct {
	// Doc is the document for kin-openapi's router and request validator. It calls itself 3.0: for 3.1 the validator
	// compiles each schema again for each value, which takes about 1.3 ms a promote instead of 20 µs. Our schemas mean
	// the same to both, but for propertyNames, which Names asks about.
	Doc   *openapi3.T
	names map[string]*regexp.Regexp
}

// LoadContract reads and validates openapi.yaml; the error says what is wrong with it.
func LoadContract(ctx context.Context, raw []byte) (*Contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, fmt.Errorf("read openapi.yaml: %w", err)
	}
	if err := doc.Validate(ctx); err != nil {
		return nil, fmt.Errorf("validate openapi.yaml: %w", err)
	}
	c := &Contract{Doc: doc, names: map[string]*regexp.Regexp{}}
	if doc.Components == nil {
		doc.Components = &openapi3.Components{}
	}
	for _, schema := range doc.Components.Schemas {
		if err := c.compile(schema.Value); err != nil {
			return nil, err
		}
	}
	doc.OpenAPI = "3.0.3"
	return c, nil
}

// compile prepares the patterns of a schema's propertyNames, and of those written within it.
func (c *Contract) compile(schema *openapi3.Schema) error {
	if keys := schema.PropertyNames; keys != nil {
		pattern, err := regexp.Compile(keys.Value.Pattern)
		if err != nil {
			return fmt.Errorf("compile propertyNames of openapi.yaml: %w", err)
		}
		c.names[keys.Value.Pattern] = pattern
	}
	for _, property := range schema.Properties {
		if property.Ref == "" {
			if err := c.compile(property.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

// Names holds the keys of all maps in a decoded body (of map[string]any, []any and scalars) against the schema's
// propertyNames, and answers with one error for each map with a wrong key, in order. It never repeats what was sent.
func (c *Contract) Names(schema *openapi3.Schema, body any) []FieldError {
	return c.check("", schema, body)
}

func (c *Contract) check(at string, schema *openapi3.Schema, value any) []FieldError {
	var wrong []FieldError
	switch value := value.(type) {
	case map[string]any:
		if keys := schema.PropertyNames; keys != nil {
			for key := range value {
				if !c.names[keys.Value.Pattern].MatchString(key) {
					return []FieldError{{Pointer: at, Detail: "a key does not match " + keys.Value.Pattern}}
				}
			}
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if property, ok := schema.Properties[key]; ok {
				wrong = append(wrong, c.check(at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(key), property.Value, value[key])...)
			}
		}
	case []any:
		if schema.Items == nil {
			return nil
		}
		for i, item := range value {
			wrong = append(wrong, c.check(at+"/"+strconv.Itoa(i), schema.Items.Value, item)...)
		}
	}
	return wrong
}
