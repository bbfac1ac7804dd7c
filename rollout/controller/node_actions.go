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

// act carries out the actions that are this node's, in their order, and says what came of them. After a failure the
// rest waits for the next pass, except for the route: a generation that cannot be staged anew, say on a full disk, may
// be known well enough to serve, and no rollback waits for a disk. What was done is recorded.
func (f *Follower) act(ctx context.Context, e rollout.Environment, now time.Time) (rollout.Facts, error) {
	var facts rollout.Facts
	var failed error
	for _, a := range rollout.Decide(e, now) {
		if a.Kind == rollout.ActWake {
			f.wakeAt(ctx, e.Name, a.At.Sub(now))
		}
		if a.Router != f.Node.Router || a.Node != f.Node.Name || (failed != nil && a.Kind != rollout.ActApply) {
			continue
		}
		call, cancel := context.WithTimeout(ctx, f.CallTimeout)
		err := f.actOne(call, e, a, &facts)
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

func (f *Follower) actOne(ctx context.Context, e rollout.Environment, a rollout.Action, facts *rollout.Facts) error {
	fence := router.Fence{Revision: e.Revision}
	staging := rollout.Staging{Generation: a.Generation, Router: f.Node.Router, Node: f.Node.Name,
		Incarnation: f.Node.Incarnation, SpecVersion: e.SpecVersion}
	switch a.Kind {
	case rollout.ActStage:
		if err := f.stage(ctx, e, a.Generation, fence); err != nil {
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

// removeUnknown takes out generations that the node came up with from its state file although they were retired
// while it was away. A generation that still has weight on the node stays until the route is applied; one with a
// number that e has not given out yet is newer than e.
func (f *Follower) removeUnknown(ctx context.Context, e rollout.Environment) error {
	call, cancel := context.WithTimeout(ctx, f.CallTimeout)
	defer cancel()
	o, err := f.Local.Observe(call, e.Name)
	if err != nil || o.Revision < e.Revision {
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
