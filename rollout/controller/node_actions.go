package controller

import (
	"context"
	"errors"
	"fmt"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// act carries out the actions that are this node's, in their order, and says what came of them. One failure holds up
// nothing else: a generation that cannot be staged anew, say on a full disk, may be known well enough to serve, no
// rollback waits for a disk, and a place for one generation comes from the removal of another. Only a node that does not
// answer in time is asked for nothing more than the route until the next pass. What was done is recorded.
func (h hand) act(ctx context.Context, e rollout.Environment, actions []rollout.Action) (rollout.Facts, error) {
	var facts rollout.Facts
	var failed error
	for _, a := range actions {
		if !h.owns(a) || (errors.Is(failed, context.DeadlineExceeded) && a.Kind != rollout.ActApply) {
			continue
		}
		call, cancel := context.WithTimeout(ctx, h.timeout)
		err := h.actOne(call, e, a, &facts)
		cancel()
		if err != nil {
			what := string(a.Kind)
			if a.Generation != 0 {
				what += fmt.Sprintf(" generation %d", a.Generation)
			}
			failed = errors.Join(failed, fmt.Errorf("%s: %w", what, err))
		}
	}
	return facts, failed
}

func (h hand) actOne(ctx context.Context, e rollout.Environment, a rollout.Action, facts *rollout.Facts) error {
	staging := rollout.Staging{Generation: a.Generation, Router: h.node.Router, Node: h.node.Name,
		Incarnation: h.node.Incarnation, SpecVersion: e.SpecVersion}
	switch a.Kind {
	case rollout.ActStage:
		if err := h.stage(ctx, e, a.Generation, &staging); err != nil {
			if errors.Is(err, router.ErrNoSlot) {
				facts.Unplaced = append(facts.Unplaced, a.Generation)
			}
			return err
		}
		facts.Staged = append(facts.Staged, staging)
	case rollout.ActApply:
		if err := h.late(); err != nil {
			return err
		}
		if err := h.router.Apply(ctx, h.fence(e), e.Route()); err != nil {
			return err
		}
		return h.failpoints.Hit(ctx, failpoint.ApplyPersisted)
	case rollout.ActRemove:
		if err := h.remove(ctx, e, a.Generation); err != nil {
			return err
		}
		facts.Unstaged = append(facts.Unstaged, staging)
	case rollout.ActForget:
		if err := h.forget(ctx, e); err != nil {
			return err
		}
		facts.Forgotten = append(facts.Forgotten, h.node)
	}
	return nil
}

func (h hand) stage(ctx context.Context, e rollout.Environment, number int, staging *rollout.Staging) error {
	if err := h.begin(ctx, failpoint.StageBefore); err != nil {
		return err
	}
	g, err := h.store.Generation(ctx, e.Name, number)
	if err != nil {
		return err
	}
	staging.MembersAt = g.MembersAt
	if err := h.router.Stage(ctx, h.stagingFence(e), e.Route(), g); err != nil {
		return err
	}
	return h.failpoints.Hit(ctx, failpoint.StageActed)
}

func (h hand) remove(ctx context.Context, e rollout.Environment, number int) error {
	if err := h.begin(ctx, failpoint.RemoveBefore); err != nil {
		return err
	}
	if err := h.router.Remove(ctx, h.fence(e), e.Name, number); err != nil {
		return err
	}
	return h.failpoints.Hit(ctx, failpoint.RemoveActed)
}

func (h hand) forget(ctx context.Context, e rollout.Environment) error {
	o, err := h.observe(ctx, e.Name)
	if err != nil {
		return err
	}
	if err := h.removeUnknown(ctx, e, o); err != nil {
		return err
	}
	if err := h.late(); err != nil {
		return err
	}
	return h.router.Forget(ctx, h.fence(e), e.Name)
}
