package server

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"viridian/rollout"
)

// maxFieldErrors bounds an answer about a hostile body; a person's mistakes are fewer.
const maxFieldErrors = 50

// schemaErrors holds a decoded value against a schema and tells everything that is wrong, in order, each with its
// pointer. It repeats keys, but no value that was sent.
func schemaErrors(schema *openapi3.Schema, value any, at string) []rollout.FieldError {
	var wrong []rollout.FieldError
	collect(schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsRequest()), at, &wrong)
	slices.SortFunc(wrong, func(a, b rollout.FieldError) int {
		return cmp.Or(strings.Compare(a.Pointer, b.Pointer), strings.Compare(a.Detail, b.Detail))
	})
	wrong = slices.Compact(wrong)
	return wrong[:min(len(wrong), maxFieldErrors)]
}

func collect(err error, at string, wrong *[]rollout.FieldError) {
	var several openapi3.MultiError
	var one *openapi3.SchemaError
	switch {
	case err == nil:
	case errors.As(err, &several):
		for _, err := range several {
			collect(err, at, wrong)
		}
	case errors.As(err, &one):
		describe(one, at, wrong)
	default:
		*wrong = append(*wrong, rollout.FieldError{Pointer: at, Detail: "is not as the contract describes it"})
	}
}

func describe(err *openapi3.SchemaError, at string, wrong *[]rollout.FieldError) {
	pointer := at
	for _, step := range err.JSONPointer() {
		pointer += "/" + escapePointer(step)
	}
	detail := err.Reason
	switch err.SchemaField {
	case "properties":
		unknownFields(err, pointer, wrong)
		return
	case "required":
		detail = "is missing"
	case "pattern":
		detail = "must match " + err.Schema.Pattern
		if about := err.Schema.Description; about != "" {
			detail += " (" + about + ")"
		}
	case "format":
		detail = "is not of the format " + err.Schema.Format
	}
	*wrong = append(*wrong, rollout.FieldError{Pointer: pointer, Detail: detail})
}

func unknownFields(err *openapi3.SchemaError, pointer string, wrong *[]rollout.FieldError) {
	object, _ := err.Value.(map[string]any)
	known := slices.Sorted(maps.Keys(err.Schema.Properties))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if _, ok := err.Schema.Properties[key]; !ok {
			*wrong = append(*wrong, rollout.FieldError{Pointer: pointer + "/" + escapePointer(key),
				Detail: "is an unknown field; known here: " + strings.Join(known, ", ")})
		}
	}
}
