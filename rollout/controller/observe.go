package controller

import (
	"context"
	"maps"

	"viridian/rollout"
)

// observeFor reads the node, and returns a receipt when it tells something that the environment does not know yet.
func (f *Follower) observeFor(ctx context.Context, e rollout.Environment, failure error) (*rollout.Receipt, error) {
	if e.DeletedAt != nil {
		return nil, nil
	}
	r, err := f.observe(ctx, e.Name)
	if err != nil {
		return nil, err
	}
	if failure != nil {
		r.Error = rollout.Plain(failure.Error())
	}
	if old, ok := e.Receipt(f.Node); ok && sameReceipt(old, r) && !e.Lacks(r) {
		f.noteRecorded(e.Name, &r, rollout.Facts{})
		return nil, nil
	}
	return &r, nil
}

// observe reads what this node does in the environment.
func (f *Follower) observe(ctx context.Context, environment string) (rollout.Receipt, error) {
	o, err := f.hand.observe(ctx, environment)
	return o.Receipt, err
}

// sameReceipt compares what was seen, not when.
func sameReceipt(a, b rollout.Receipt) bool {
	return a.Incarnation == b.Incarnation && a.Revision == b.Revision && a.SpecVersion == b.SpecVersion && a.Hash == b.Hash &&
		a.Error == b.Error && maps.Equal(a.InFlight, b.InFlight)
}

// tellAstray logs that the node does what nobody has told it.
func (f *Follower) tellAstray(e rollout.Environment, r rollout.Receipt) {
	switch {
	case r.Revision > e.Revision:
		f.log.Warn("the node is ahead of the database; was that restored from an older copy?", "environment", e.Name,
			"revision", r.Revision, "weights", r.Weights, "database_revision", e.Revision, "database_weights", e.Weights)
	case r.Revision == e.Revision && r.Hash != e.Route().Hash():
		f.log.Warn("the node does something else than the route says", "environment", e.Name, "revision", r.Revision,
			"weights", r.Weights, "route_weights", e.Weights)
	}
}
