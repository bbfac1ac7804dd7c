package cli

import (
	"context"
	"maps"

	"viridian/rollout"
	"viridian/router"
)

// handoverService is the name under which a predecessor answers its successor.
const handoverService = "Handover"

// Handover is what a successor may ask of its predecessor, by JSON-RPC over a socket that only the two have. Its
// methods have the form that net/rpc wants. Both may be of different versions: what is unknown is ignored.
type Handover struct {
	ask    func(step) error
	router router.Router
}

// StageCall is the arguments of a router's Stage; of the generation, its number and groups.
type StageCall struct {
	Fence      router.Fence
	Route      rollout.Route
	Generation rollout.Generation
}

// ApplyCall is the arguments of a router's Apply.
type ApplyCall struct {
	Fence router.Fence
	Route rollout.Route
}

// Seal is asked when the successor can begin to serve at once: the predecessor lays down its duties and leaves it the
// state files, and the node's name.
func (h *Handover) Seal(bool, *bool) error { return h.ask(stepSeal) }

// Leave is asked when the successor serves: from now on the predecessor only ends what it has begun.
func (h *Handover) Leave(bool, *bool) error { return h.ask(stepLeave) }

// Stage makes a generation known to the predecessor's table.
func (h *Handover) Stage(c *StageCall, _ *bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), followTime)
	defer cancel()
	return h.router.Stage(ctx, c.Fence, c.Route, c.Generation)
}

// Apply moves the traffic that the predecessor still has.
func (h *Handover) Apply(c *ApplyCall, _ *bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), followTime)
	defer cancel()
	return h.router.Apply(ctx, c.Fence, c.Route)
}

// Open counts what is open on the predecessor's generations without weight.
func (h *Handover) Open(environment string, open *map[int]int) error {
	ctx, cancel := context.WithTimeout(context.Background(), followTime)
	defer cancel()
	o, err := h.router.Observe(ctx, environment)
	*open = map[int]int{} // JSON-RPC has no answer that is null
	maps.Copy(*open, o.InFlight)
	return err
}
