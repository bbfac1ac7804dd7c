package search

import (
	"slices"
	"time"

	"viridian/rollout"
)

// lack is what is taken away from the installation on purpose. What is planted lies in how the world is played, or
// between the decisions and those who carry them out; the decisions themselves are untouched.
type lack struct {
	fence      bool // nodes take every writer
	durability bool // the fence is forgotten in a restart
	driver     bool // a driver does not refuse what has no groups, or is in use
	candour    bool // a node that refuses a route leaves in memory alone what it serves instead
	cleanup    cleanup
	order      order
	recovery   bool // nobody looks at a node that is ahead of the database
}

// cleanup is a planted rule of when what retires is cleaned up.
type cleanup uint8

const (
	cleanAsDecided           cleanup = iota
	cleanAtOnce                      // without any wait
	cleanWithoutConfirmation         // after a grace, whatever the nodes have told
)

// order is a planted order of actions.
type order uint8

const (
	asDecided order = iota
	applyBeforeStage
	removeBeforeApply
)

// reorder is what a loop with the planted fault makes of the actions.
func (l lack) reorder(e rollout.Environment, on lane, now time.Time, actions []rollout.Action) []rollout.Action {
	actions = slices.Clone(actions)
	if l.cleanup != cleanAsDecided {
		actions = append(actions, l.hasty(e, on, now)...)
	}
	switch l.order {
	case applyBeforeStage:
		slices.SortStableFunc(actions, func(a, b rollout.Action) int { return applyFirst(a) - applyFirst(b) })
	case removeBeforeApply:
		actions = slices.Concat(leaving(e, on, actions), actions)
	}
	return actions
}

func applyFirst(a rollout.Action) int {
	if a.Kind == rollout.ActApply {
		return 0
	}
	return 1
}

// hasty is the clean-up of what retires by the planted rule.
func (l lack) hasty(e rollout.Environment, on lane, now time.Time) (out []rollout.Action) {
	for _, g := range e.Generations {
		early := l.cleanup == cleanWithoutConfirmation && now.Before(g.StateChangedAt.Add(timing.Grace))
		if g.State != rollout.Retiring || early {
			continue
		}
		if on == registryLane && g.Announced {
			out = append(out, rollout.Action{Kind: rollout.ActDeregister, Generation: g.Number})
		}
		for _, s := range e.Stagings {
			if on != registryLane && s.Generation == g.Number && s.Node == nodeName(uint8(on)) {
				out = append(out, rollout.Action{Kind: rollout.ActRemove, Generation: g.Number, Node: s.Node, Router: s.Router})
			}
		}
	}
	return out
}

// leaving removes what the route gives no weight, where it is about to be applied.
func leaving(e rollout.Environment, on lane, actions []rollout.Action) (out []rollout.Action) {
	for _, a := range actions {
		if a.Kind != rollout.ActApply || on == registryLane || a.Node != nodeName(uint8(on)) {
			continue
		}
		for _, g := range e.Generations {
			if g.State != rollout.Ready && !e.Weights.Carries(g.Number) && e.Revision > 1 {
				out = append(out, rollout.Action{Kind: rollout.ActRemove, Generation: g.Number, Node: a.Node, Router: a.Router})
			}
		}
	}
	return out
}
