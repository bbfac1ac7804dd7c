package rollout_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"viridian/rollout"
)

func TestToken_RoundTrip(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		id, token, err := rollout.NewToken(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if seen[id] || !strings.HasPrefix(token, "vir_"+id+"_") || len(token) != len("vir_")+10+1+22+6 {
			t.Fatalf("id %q of token %q: not a new one, or not its own", id, token)
		}
		seen[id] = true
		parsed, hash, ok := rollout.ParseToken(token)
		if !ok || parsed != id || !bytes.Equal(hash, rollout.TokenHash(token)) || len(hash) != 32 {
			t.Fatalf("ParseToken(%q) = %q, %x, %v", token, parsed, hash, ok)
		}
	}
}

func TestToken_AnyChangeIsRefused(t *testing.T) {
	t.Parallel()
	_, token, err := rollout.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for i := range token {
		for _, c := range "0aZ_-. \n\x00é" {
			changed := token[:i] + string(c) + token[i+1:]
			if changed == token {
				continue
			}
			if _, _, ok := rollout.ParseToken(changed); ok {
				t.Errorf("%q is taken for %q", changed, token)
			}
		}
	}
	for _, wrong := range []string{"", "vir_", "vir__", "vir_a_b", token + "0", token[:len(token)-1], " " + token, token + "\n",
		strings.ToUpper(token), "vir_" + strings.Repeat("a", 1<<16) + "_" + token} {
		if _, _, ok := rollout.ParseToken(wrong); ok {
			t.Errorf("%.80q is taken for a token", wrong)
		}
	}
}

func TestToken_NeedsItsSource(t *testing.T) {
	t.Parallel()
	broken := errors.New("no entropy")
	if _, _, err := rollout.NewToken(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error %v, want the source's", err)
	}
}
