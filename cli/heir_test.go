package cli

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// names remembers for how long a name had to be quiet.
type names struct {
	controller.Store
	asked []time.Duration
	err   error
}

func (n *names) Heartbeat(_ context.Context, _ rollout.Node, quiet time.Duration) error {
	n.asked = append(n.asked, quiet)
	return n.err
}

// TestHeir: the name is taken over at once, however lately the process before was heard of, and guarded from then on.
func TestHeir(t *testing.T) {
	t.Parallel()
	n := &names{err: errors.New("the database is away")}
	h := &heir{Store: n}
	if err := h.Heartbeat(t.Context(), rollout.Node{}, time.Second); err == nil {
		t.Error("an error is lost")
	}
	n.err = nil
	for range 2 {
		if err := h.Heartbeat(t.Context(), rollout.Node{}, time.Second); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]time.Duration{0, 0, time.Second}, n.asked); diff != "" {
		t.Error(diff)
	}
}
