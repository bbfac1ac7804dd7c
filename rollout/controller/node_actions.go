package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// act carries out the actions that are this node's, in their order, and says what came of them. What the node says of
// itself goes before what is recorded of it. One failure holds up nothing else: a generation that cannot be staged anew,
// say on a full disk, may be known well enough to serve, and no rollback waits for a disk. Only a node that does not
// answer in time is asked for nothing more than the route until the next pass. What was done is recorded.
func (f *Follower) act(ctx context.Context, e rollout.Environment, now time.Time) (rollout.Facts, error) {
	var facts rollout.Facts
	seen := f.witness(ctx, e)
	var failed error
	for _, a := range rollout.Decide(seen, now) {
		if a.Kind == rollout.ActWake {
			f.wakeAt(ctx, e.Name, a.At.Sub(now))
		}
		if a.Router != f.Node.Router || a.Node != f.Node.Name || (errors.Is(failed, context.DeadlineExceeded) && a.Kind != rollout.ActApply) {
			continue
		}
		call, cancel := context.WithTimeout(ctx, f.CallTimeout)
		err := f.actOne(call, seen, a, &facts)
		cancel()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s generation %d: %w", a.Kind, a.Generation, err))
		}
	}
	if failed != nil {
		return facts, failed
	}
	return facts, f.removeUnknown(ctx, e)
}

// witness is the environment as this node sees itself in it. Where it cannot be read now, the record has to do: no
// rollback waits for a look, and the one that follows tells the error.
func (f *Follower) witness(ctx context.Context, e rollout.Environment) rollout.Environment {
	if e.DeletedAt != nil { // what is left of it is told by the record
		return e
	}
	call, cancel := context.WithTimeout(ctx, f.CallTimeout)
	defer cancel()
	o, err := f.look(call, e.Name)
	if err != nil {
		return e
	}
	return e.Witnessed(f.Node, o.Receipt, o.Staged)
}

// stagingFence lets this node stage although it is ahead of the database: what is staged gets no traffic, and a
// generation that is to take over from what was lost must be known first.
func (f *Follower) stagingFence(e rollout.Environment) router.Fence {
	own, _ := e.Receipt(f.Node)
	return router.Fence{Revision: max(e.Revision, own.Revision)}
}

func (f *Follower) actOne(ctx context.Context, e rollout.Environment, a rollout.Action, facts *rollout.Facts) error {
	fence := router.Fence{Revision: e.Revision}
	staging := rollout.Staging{Generation: a.Generation, Router: f.Node.Router, Node: f.Node.Name,
		Incarnation: f.Node.Incarnation, SpecVersion: e.SpecVersion}
	switch a.Kind {
	case rollout.ActStage:
		if err := f.stage(ctx, e, a.Generation, f.stagingFence(e)); err != nil {
			return err
		}
		facts.Staged = append(facts.Staged, staging)
	case rollout.ActApply:
		if err := f.Local.Apply(ctx, fence, e.Route()); err != nil {
			return err
		}
		return f.Failpoints.Hit(ctx, failpoint.ApplyPersisted)
	case rollout.ActRemove:
		if err := f.remove(ctx, e, a.Generation, fence); err != nil {
			return err
		}
		facts.Unstaged = append(facts.Unstaged, staging)
	case rollout.ActForget:
		if err := f.removeUnknown(ctx, e); err != nil {
			return err
		}
		if err := f.Local.Forget(ctx, fence, e.Name); err != nil {
			return err
		}
		facts.Forgotten = append(facts.Forgotten, f.Node)
	}
	return nil
}

func (f *Follower) stage(ctx context.Context, e rollout.Environment, number int, fence router.Fence) error {
	if err := f.Failpoints.Hit(ctx, failpoint.StageBefore); err != nil {
		return err
	}
	g, _ := e.Generation(number)
	groups, err := f.Store.Groups(ctx, e.Name, number)
	if err != nil {
		return err
	}
	g.Groups = groups
	if err := f.Local.Stage(ctx, fence, e.Route(), g); err != nil {
		return err
	}
	return f.Failpoints.Hit(ctx, failpoint.StageActed)
}

func (f *Follower) remove(ctx context.Context, e rollout.Environment, number int, fence router.Fence) error {
	if err := f.Failpoints.Hit(ctx, failpoint.RemoveBefore); err != nil {
		return err
	}
	if err := f.Local.Remove(ctx, fence, e.Name, number); err != nil {
		return err
	}
	return f.Failpoints.Hit(ctx, failpoint.RemoveActed)
}

// hitRecorded passes the failpoints that lie after the record of each kind of outcome.
func (f *Follower) hitRecorded(ctx context.Context, facts rollout.Facts) error {
	var err error
	if len(facts.Staged) > 0 {
		err = errors.Join(err, f.Failpoints.Hit(ctx, failpoint.StageRecorded))
	}
	if len(facts.Receipts) > 0 {
		err = errors.Join(err, f.Failpoints.Hit(ctx, failpoint.ApplyRecorded))
	}
	if len(facts.Unstaged) > 0 {
		err = errors.Join(err, f.Failpoints.Hit(ctx, failpoint.RemoveRecorded))
	}
	return err
}

// removeUnknown takes out generations that the node knows and the database does not: they were retired while it was
// away, or the database was restored from a copy that is older than they are. Nothing goes before the node does what
// the route says; a generation with a number that e has not given out yet is newer than e.
func (f *Follower) removeUnknown(ctx context.Context, e rollout.Environment) error {
	call, cancel := context.WithTimeout(ctx, f.CallTimeout)
	defer cancel()
	o, err := f.Local.Observe(call, e.Name)
	if err != nil || o.Revision != e.Revision || o.Hash != e.Route().Hash() {
		return err
	}
	for _, number := range o.Staged {
		if _, known := e.Generation(number); known || number > e.LastNumber {
			continue
		}
		if err := f.Local.Remove(call, router.Fence{Revision: e.Revision}, e.Name, number); err != nil && !errors.Is(err, router.ErrInUse) {
			return fmt.Errorf("remove retired generation %d: %w", number, err)
		}
	}
	return nil
}
