package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// TestHand_Late: whoever was stopped for longer than its lease does nothing to a node of a fleet when it goes on. A node
// with a fence would refuse it; one without has nothing but this.
func TestHand_Late(t *testing.T) {
	t.Parallel()
	store := newMemory(nil)
	store.envs["shop"] = rollout.Environment{Name: "shop"}
	for _, kind := range []rollout.ActionKind{rollout.ActStage, rollout.ActApply, rollout.ActRemove, rollout.ActForget} {
		for _, trusted := range []bool{true, false} {
			m := newMachine("m1")
			h := hand{store: store, timeout: DefaultCallTimeout, router: m, node: rollout.Node{Router: "edge", Name: "m1", Incarnation: "1"}, term: 1,
				trusted: func() bool { return trusted }}
			_, err := h.act(t.Context(), store.envs["shop"], []rollout.Action{{Kind: kind, Generation: 1, Router: "edge", Node: "m1"}})
			if errors.Is(err, errUntrusted) == trusted {
				t.Errorf("%s, trusted %v: %v", kind, trusted, err)
			}
			if written := m.asked[string(kind)]; (written > 0) != trusted {
				t.Errorf("%s, trusted %v: written %d times", kind, trusted, written)
			}
		}
	}
	m := newMachine("m1")
	m.staged["shop"] = []int{1}
	h := hand{store: store, timeout: DefaultCallTimeout, router: m, node: rollout.Node{Router: "edge", Name: "m1", Incarnation: "1"}, term: 1,
		trusted: func() bool { return false }}
	e := rollout.Environment{Name: "shop", LastNumber: 1}
	o, err := h.observe(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	o.Revision, o.Hash = e.Revision, e.Route().Hash()
	if err := h.removeUnknown(t.Context(), e, o); !errors.Is(err, errUntrusted) || m.asked["remove"] > 0 {
		t.Errorf("what the database does not know: %v, asked %v", err, m.asked)
	}
}

// scrawled is a node on which somebody wrote anything by hand.
type scrawled struct{ router.Router }

func (scrawled) Observe(context.Context, string) (router.Observation, error) {
	text := "split \x00\xff\x1b[2J: 100"
	return router.Observation{Receipt: rollout.Receipt{Error: text, Edits: []string{text}}}, nil
}

func TestHand_ObservesWhatCanBeKept(t *testing.T) {
	t.Parallel()
	o, err := hand{router: scrawled{}, timeout: time.Second}.observe(t.Context(), "shop")
	if want := "split ���[2J: 100"; err != nil || o.Error != want || o.Edits[0] != want {
		t.Errorf("%q, %q, %v", o.Error, o.Edits, err)
	}
}
