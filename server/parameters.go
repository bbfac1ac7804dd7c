package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"

	"viridian/rollout"
)

// checkParameters holds path, query and headers against the contract. A query parameter that the operation does not
// know is wrong, too: a misspelt wait or force must not be ignored.
func checkParameters(rt *route, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil || !utf8.ValidString(r.URL.RawQuery) {
		return malformed("the query of the URL cannot be read", "percent-encode its values")
	}
	var wrong []rollout.FieldError
	for _, parameter := range rt.parameters {
		values, place := parameterValues(parameter, r, query)
		for _, value := range values {
			if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
				return malformed("the URL is not UTF-8 text", "percent-encode UTF-8 text")
			}
		}
		wrong = append(wrong, checkParameter(parameter, values, place)...)
	}
	for name := range query {
		if !slices.ContainsFunc(rt.parameters, func(p *openapi3.Parameter) bool { return p.In == "query" && p.Name == name }) {
			wrong = append(wrong, rollout.FieldError{Pointer: "?" + escapePointer(name), Detail: "is an unknown parameter"})
		}
	}
	if len(wrong) > 0 {
		return invalidFields(wrong)
	}
	return nil
}

// parameterValues are what was sent for the parameter, and how an error names it.
func parameterValues(p *openapi3.Parameter, r *http.Request, query url.Values) (values []string, place string) {
	switch p.In {
	case "query":
		return query[p.Name], "?" + p.Name
	case "header":
		return r.Header.Values(p.Name), p.Name
	}
	value := chi.URLParam(r, p.Name)
	if r.URL.RawPath != "" {
		if unescaped, err := url.PathUnescape(value); err == nil {
			value = unescaped
		}
	}
	return []string{value}, "{" + p.Name + "}"
}

func checkParameter(p *openapi3.Parameter, values []string, place string) []rollout.FieldError {
	schema := p.Schema.Value
	if schema.Type.Is("array") {
		list := []any{}
		for _, value := range values {
			list = append(list, value)
		}
		return schemaErrors(schema, list, place)
	}
	switch {
	case len(values) > 1:
		return []rollout.FieldError{{Pointer: place, Detail: "is given more than once"}}
	case len(values) == 0:
		return nil
	}
	value, ok := parameterValue(schema, values[0])
	if !ok {
		return []rollout.FieldError{{Pointer: place, Detail: "must be " + map[bool]string{true: "a whole number", false: "true or false"}[schema.Type.Is("integer")]}}
	}
	return schemaErrors(schema, value, place)
}

// parameterValue reads a text as the type of the schema.
func parameterValue(schema *openapi3.Schema, text string) (any, bool) {
	switch {
	case schema.Type.Is("integer"):
		digits := strings.TrimPrefix(text, "-")
		ok := digits != "" && len(digits) < 19 && strings.Trim(digits, "0123456789") == ""
		return json.Number(text), ok
	case schema.Type.Is("boolean"):
		return text == "true", text == "true" || text == "false"
	}
	return text, true
}
