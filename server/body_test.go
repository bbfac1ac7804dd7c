package server

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"viridian/rollout"
)

func TestDecodeStrict_Depth(t *testing.T) {
	t.Parallel()
	nested := func(n int) []byte { return []byte(strings.Repeat("[", n) + strings.Repeat("]", n)) }
	if _, err := decodeStrict(nested(maxDepth)); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	if _, err := decodeStrict(nested(maxDepth + 2)); !errors.Is(err, errMalformed) {
		t.Errorf("%d levels: %v", maxDepth+2, err)
	}
}

// FuzzDecodeStrict: whatever is taken is JSON and means what encoding/json reads; whatever is refused is refused as
// a request that is malformed or wrong.
func FuzzDecodeStrict(f *testing.F) {
	for _, seed := range []string{`{"a": [1, 2.5e3, "x", null, true]}`, `{"a": 1, "a": 2}`, `[[[]]]`, `"\ud800"`, "\xff", `{"":{}}`, `1 2`, `{"a":}`, `"\u0000"`, ``, ` {} `, `[1,]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		value, err := decodeStrict(raw)
		var refusal *rollout.Refusal
		if err != nil {
			if !errors.As(err, &refusal) || refusal.Code != rollout.InvalidRequest {
				t.Fatalf("%q: refused with %v", raw, err)
			}
			return
		}
		decoder := json.NewDecoder(strings.NewReader(string(raw)))
		decoder.UseNumber()
		var want any
		if err := decoder.Decode(&want); err != nil || !json.Valid(raw) {
			t.Fatalf("%q: taken, but %v", raw, err)
		}
		if !reflect.DeepEqual(value, want) {
			t.Fatalf("%q: read as %v, want %v", raw, value, want)
		}
	})
}
