package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// hand acts on one node of a router and records what came of it: a replica's on the replica's own node, and a lease
// holder's on a node of a fleet.
type hand struct {
	store      Store
	failpoints *failpoint.Set
	timeout    time.Duration // of one call
	router     router.Router
	node       rollout.Node
	term       int64 // of the lease that it acts under; 0 on a replica's own node
	// trusted says whether the lease can be trusted at this moment; nil where none is needed.
	trusted func() bool
}

// errUntrusted is an action that came too late: the lease that it was decided under may be another replica's by now.
var errUntrusted = errors.New("the lease of the environment is over")

// begin passes the failpoint before an action, and looks whether the action may still be done: a process that was
// stopped and goes on comes here long after it decided.
func (h hand) begin(ctx context.Context, before failpoint.Name) error {
	if err := h.failpoints.Hit(ctx, before); err != nil {
		return err
	}
	return h.late()
}

// late is errUntrusted once nothing may be done under the lease any more.
func (h hand) late() error {
	if h.trusted != nil && !h.trusted() {
		return errUntrusted
	}
	return nil
}

// hand is this replica's on a node.
func (o Options) hand(r router.Router, node rollout.Node, term int64) hand {
	return hand{store: o.Store, failpoints: o.Failpoints, timeout: o.CallTimeout, router: r, node: node, term: term}
}

// owns says whether an action is to be done on this node.
func (h hand) owns(a rollout.Action) bool { return a.Router == h.node.Router && a.Node == h.node.Name }

// made says whether a staging is of this run of this node.
func (h hand) made(s rollout.Staging) bool {
	return s.Router == h.node.Router && s.Node == h.node.Name && s.Incarnation == h.node.Incarnation
}

// knownIn says whether the environment has this run of the node.
func (h hand) knownIn(e rollout.Environment) bool {
	for _, n := range e.Nodes {
		if n.Router == h.node.Router && n.Name == h.node.Name && n.Incarnation == h.node.Incarnation {
			return true
		}
	}
	return false
}

// fence is what the node compares before it takes a change.
func (h hand) fence(e rollout.Environment) router.Fence {
	return router.Fence{Term: h.term, Revision: e.Revision}
}

// stagingFence lets a node stage although it is ahead of the database: what is staged gets no traffic, and a
// generation that is to take over from what was lost must be known first.
func (h hand) stagingFence(e rollout.Environment) router.Fence {
	own, _ := e.Receipt(h.node)
	return router.Fence{Term: h.term, Revision: max(e.Revision, own.Revision)}
}

// observe reads what the node does in the environment. Of a driver that cannot tell, the run that it reads is taken to
// be the one that is known. What it says may be what somebody wrote there by hand.
func (h hand) observe(ctx context.Context, environment string) (router.Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	o, err := h.router.Observe(ctx, environment)
	o.Router, o.Node, o.Error = h.node.Router, h.node.Name, rollout.Plain(o.Error)
	o.Edits = slices.Clone(o.Edits)
	for i, edit := range o.Edits {
		o.Edits[i] = rollout.Plain(edit)
	}
	if o.Incarnation == "" {
		o.Incarnation = h.node.Incarnation
	}
	for _, number := range slices.Concat(o.Staged, o.Weights.Numbers()) {
		o.Newest = max(o.Newest, number)
	}
	return o, err
}

// record takes down what was done and seen, and passes the failpoints that lie after it.
func (h hand) record(ctx context.Context, name string, facts rollout.Facts) (rollout.Environment, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	after, err := h.store.Record(ctx, name, h.term, facts)
	if err != nil {
		return after, err
	}
	return after, h.hitRecorded(ctx, facts)
}

// hitRecorded passes the failpoints that lie after the record of each kind of outcome.
func (h hand) hitRecorded(ctx context.Context, facts rollout.Facts) error {
	var err error
	if len(facts.Staged) > 0 {
		err = errors.Join(err, h.failpoints.Hit(ctx, failpoint.StageRecorded))
	}
	if len(facts.Receipts) > 0 {
		err = errors.Join(err, h.failpoints.Hit(ctx, failpoint.ApplyRecorded))
	}
	if len(facts.Unstaged) > 0 {
		err = errors.Join(err, h.failpoints.Hit(ctx, failpoint.RemoveRecorded))
	}
	return err
}

// removeUnknown takes out generations that the node knows and the database does not: they were retired while it was
// away, or the database was restored from a copy that is older than they are. Nothing goes before the node does what
// the route says; a generation with a number that e has not given out yet is newer than e.
func (h hand) removeUnknown(ctx context.Context, e rollout.Environment, o router.Observation) error {
	if o.Revision != e.Revision || o.Hash != e.Route().Hash() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	for _, number := range o.Staged {
		if _, known := e.Generation(number); known || number > e.LastNumber {
			continue
		}
		if err := h.late(); err != nil {
			return err
		}
		if err := h.router.Remove(ctx, h.fence(e), e.Name, number); err != nil && !errors.Is(err, router.ErrInUse) {
			return fmt.Errorf("remove retired generation %d: %w", number, err)
		}
	}
	return nil
}
