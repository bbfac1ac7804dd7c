package rollout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxSpecDepth is far above what a specification needs; it keeps hostile nesting away from recursion.
const maxSpecDepth = 32

// specDecoder reads a JSON text into a value that already holds its defaults, and says where the text does not fit.
// It differs from encoding/json in this: unknown fields, duplicate keys, other spellings of a field, null and invalid
// UTF-8 are errors, and all errors are found, each with its pointer.
type specDecoder struct {
	*specErrors
	text *json.Decoder
}

func (d *specDecoder) decode(raw []byte, spec *Spec) {
	if !utf8.Valid(raw) {
		d.invalid("", "is not UTF-8 text")
		return
	}
	// A first pass over the whole text leaves the second one nothing but valid JSON without trailing data.
	var whole json.RawMessage
	if err := json.Unmarshal(raw, &whole); err != nil {
		d.invalid("", "%s", describeSyntax(err))
		return
	}
	d.text = json.NewDecoder(bytes.NewReader(raw))
	d.text.UseNumber()
	tree, ok := d.tree("", 0)
	if !ok {
		d.invalid("", "is nested deeper than %d levels", maxSpecDepth)
		return
	}
	if tree == nil {
		d.invalid("", "must not be null; leave it out to get its default")
		return
	}
	d.fillStruct("", tree, reflect.ValueOf(spec).Elem())
}

func describeSyntax(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf("is not one valid JSON value: %s (byte %d)", syntax.Error(), syntax.Offset)
	}
	return "is not one valid JSON value"
}

// tree reads the next value as map[string]any, []any, string, json.Number, bool or nil; ok is false when it is nested
// too deep.
func (d *specDecoder) tree(at string, depth int) (value any, ok bool) {
	token, err := d.text.Token()
	if err != nil || depth > maxSpecDepth {
		return nil, false
	}
	switch token {
	case json.Delim('{'):
		object := map[string]any{}
		for d.text.More() {
			key, _ := d.text.Token()
			name, _ := key.(string)
			if _, twice := object[name]; twice {
				d.invalid(pointerTo(at, shorten(name)), "is given twice")
			}
			if object[name], ok = d.tree(pointerTo(at, name), depth+1); !ok {
				return nil, false
			}
		}
		_, err = d.text.Token()
		return object, err == nil
	case json.Delim('['):
		list := []any{}
		for d.text.More() {
			item, ok := d.tree(pointerTo(at, strconv.Itoa(len(list))), depth+1)
			if !ok {
				return nil, false
			}
			list = append(list, item)
		}
		_, err = d.text.Token()
		return list, err == nil
	}
	return token, true
}

// fill puts the value into out; where it does not fit, out keeps what it had.
func (d *specDecoder) fill(at string, value any, out reflect.Value) {
	if out.Kind() == reflect.Interface {
		if value != nil {
			out.Set(reflect.ValueOf(value))
		}
		return
	}
	if value == nil {
		d.invalid(at, "must not be null; leave it out to get its default")
		return
	}
	if special, ok := out.Addr().Interface().(json.Unmarshaler); ok {
		raw, err := json.Marshal(value)
		if err == nil {
			err = special.UnmarshalJSON(raw)
		}
		if err != nil {
			d.invalid(at, "%s", shorten(err.Error()))
		}
		return
	}
	switch out.Kind() {
	case reflect.Struct:
		d.fillStruct(at, value, out)
	case reflect.Slice:
		d.fillSlice(at, value, out)
	default:
		d.fillScalar(at, value, out)
	}
}

func (d *specDecoder) fillStruct(at string, value any, out reflect.Value) {
	object, ok := value.(map[string]any)
	if !ok {
		d.invalid(at, "must be an object")
		return
	}
	var known []string
	for i := range out.NumField() {
		name, _, _ := strings.Cut(out.Type().Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		known = append(known, name)
		if field, given := object[name]; given {
			d.fill(pointerTo(at, name), field, out.Field(i))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(known, name) {
			d.unknown(at, name, known)
		}
	}
}

func (d *specDecoder) fillSlice(at string, value any, out reflect.Value) {
	list, ok := value.([]any)
	if !ok {
		d.invalid(at, "must be an array")
		return
	}
	filled := reflect.MakeSlice(out.Type(), len(list), len(list))
	for i, item := range list {
		if service, ok := filled.Index(i).Addr().Interface().(*Service); ok {
			*service = defaultService()
		}
		d.fill(pointerTo(at, strconv.Itoa(i)), item, filled.Index(i))
	}
	out.Set(filled)
}

func (d *specDecoder) fillScalar(at string, value any, out reflect.Value) {
	switch out.Kind() {
	case reflect.String:
		if s, ok := value.(string); ok {
			out.SetString(s)
			return
		}
		d.invalid(at, "must be a string")
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			out.SetBool(b)
			return
		}
		d.invalid(at, "must be true or false")
	case reflect.Int:
		number, ok := value.(json.Number)
		n, err := strconv.Atoi(number.String())
		if ok && err == nil {
			out.SetInt(int64(n))
			return
		}
		d.invalid(at, "must be a whole number")
	default:
		panic("rollout: a field of Spec has a kind that the decoder does not know: " + out.Kind().String())
	}
}

func (d *specDecoder) unknown(at, name string, known []string) {
	if len(name) > 100 {
		d.invalid(at, "has an unknown field with a name of %d bytes", len(name))
		return
	}
	if near := Nearest(name, known); near != "" {
		d.invalid(pointerTo(at, name), "is an unknown field %q; did you mean %q?", name, near)
		return
	}
	d.invalid(pointerTo(at, name), "is an unknown field %q; known here: %s", name, strings.Join(known, ", "))
}

// pointerTo extends a JSON pointer (RFC 6901) by one key or index.
func pointerTo(at, key string) string {
	return at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// shorten keeps what is quoted from a request from filling the answer.
func shorten(s string) string {
	const limit = 200
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
