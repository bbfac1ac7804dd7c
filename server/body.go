package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"viridian/rollout"
)

const (
	// maxBody bounds a request's body; a generation of 2,000 instances is about 200 KB.
	maxBody = 1 << 20
	// maxDepth bounds how deep a body may be nested; the contract needs 6.
	maxDepth = 64
)

// readBody reads the whole body within maxBody and puts it back for the handler to read.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var cut *http.MaxBytesError
	switch {
	case errors.As(err, &cut):
		return nil, tooLarge()
	case err != nil:
		return nil, errors.Join(malformed("the body did not arrive as a whole", "send it again"), err)
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	r.ContentLength = int64(len(raw))
	return raw, nil
}

func tooLarge() error {
	return rollout.Refuse(rollout.PayloadTooLarge, fmt.Sprintf("the body is larger than %d bytes", maxBody), "send a smaller body")
}

// checkBody holds a body against the contract.
func (s *server) checkBody(rt *route, r *http.Request, raw []byte) error {
	if rt.body == nil {
		// What is refused whatever it says (PUT and PATCH of a generation) is refused for that.
		if text := bytes.TrimSpace(raw); len(text) > 0 && string(text) != "{}" && r.Method != http.MethodPut && r.Method != http.MethodPatch {
			return invalid("", "this operation takes no body")
		}
		return nil
	}
	if len(raw) == 0 {
		if rt.bodyRequired {
			return malformed("the body is missing", "send a JSON object")
		}
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" || len(r.Header.Values("Content-Type")) > 1 {
		return rollout.Refuse(rollout.UnsupportedMediaType, "the body is not application/json")
	}
	if r.Header.Get("Content-Encoding") != "" {
		return rollout.Refuse(rollout.UnsupportedMediaType, "the body is compressed", "send it without Content-Encoding")
	}
	value, err := decodeStrict(raw)
	if err != nil {
		return err
	}
	wrong := schemaErrors(rt.body, value, "")
	for _, name := range s.contract.Names(rt.body, value) {
		wrong = append(wrong, rollout.FieldError{Pointer: name.Pointer, Detail: name.Detail})
	}
	if len(wrong) > 0 {
		return invalidFields(wrong)
	}
	return nil
}

// decodeStrict reads exactly one JSON value of map[string]any, []any, string, json.Number, bool and nil. It refuses
// what encoding/json lets pass: duplicate keys, deep nesting, trailing data, invalid UTF-8.
func decodeStrict(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, malformed("the body is not UTF-8 text")
	}
	d := strictDecoder{text: json.NewDecoder(bytes.NewReader(raw))}
	d.text.UseNumber()
	value, err := d.value("", 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.text.Token(); !errors.Is(err, io.EOF) {
		return nil, malformed(fmt.Sprintf("there is something behind the JSON value (byte %d)", d.text.InputOffset()))
	}
	return value, nil
}

type strictDecoder struct {
	text *json.Decoder
}

func (d strictDecoder) value(at string, depth int) (any, error) {
	token, err := d.text.Token()
	if err != nil {
		return nil, d.syntax()
	}
	if depth > maxDepth {
		return nil, malformed(fmt.Sprintf("the body is nested deeper than %d levels", maxDepth))
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return d.object(at, depth)
		}
		return d.array(at, depth)
	case string:
		return token, noNUL(at, token)
	default:
		return token, nil
	}
}

func (d strictDecoder) object(at string, depth int) (any, error) {
	object := map[string]any{}
	for d.text.More() {
		token, err := d.text.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, d.syntax()
		}
		here := at + "/" + escapePointer(key)
		if _, twice := object[key]; twice {
			return nil, errors.Join(errMalformed, &rollout.Refusal{Code: rollout.InvalidRequest, Detail: "a key is given twice",
				Fixes: []string{"give each key once"}, Errors: []rollout.FieldError{{Pointer: here, Detail: "is given twice"}}})
		}
		if err := noNUL(at, key); err != nil {
			return nil, err
		}
		if object[key], err = d.value(here, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := d.text.Token(); err != nil {
		return nil, d.syntax()
	}
	return object, nil
}

func (d strictDecoder) array(at string, depth int) (any, error) {
	list := []any{}
	for d.text.More() {
		item, err := d.value(at+"/"+strconv.Itoa(len(list)), depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	if _, err := d.text.Token(); err != nil {
		return nil, d.syntax()
	}
	return list, nil
}

func (d strictDecoder) syntax() error {
	return malformed(fmt.Sprintf("the body is not one valid JSON value (byte %d)", d.text.InputOffset()))
}

// noNUL refuses a character that no text of ours needs and that Postgres cannot keep.
func noNUL(at, text string) error {
	if strings.ContainsRune(text, 0) {
		return invalid(at, "must not contain the character U+0000")
	}
	return nil
}

// escapePointer is a key as a step of a JSON pointer (RFC 6901), cut where somebody sent a very long one.
func escapePointer(key string) string {
	const limit = 100
	if len(key) > limit {
		key = strings.ToValidUTF8(key[:limit], "") + "…"
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
