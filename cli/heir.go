package cli

import (
	"context"
	"sync/atomic"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// heir is the store of a process whose predecessor has given up the node's name: it takes the name over at once,
// without the node ever being signed off, and guards it from then on as anybody does.
type heir struct {
	controller.Store
	named atomic.Bool
}

// Heartbeat waits for no silence of the name the first time.
func (h *heir) Heartbeat(ctx context.Context, node rollout.Node, quiet time.Duration) error {
	if !h.named.Load() {
		quiet = 0
	}
	err := h.Store.Heartbeat(ctx, node, quiet)
	if err == nil {
		h.named.Store(true)
	}
	return err
}
