package controller

import (
	"context"
	"fmt"
	"time"

	"viridian/rollout"
)

// WaitFor says how far a switch should have come before a caller is answered.
type WaitFor string

// What a caller may wait for.
const (
	WaitCommitted WaitFor = "committed"
	WaitApplied   WaitFor = "applied"
	WaitDrained   WaitFor = "drained"
)

// Await waits until the switch of the revision has come as far as is asked, or a later switch has taken its place, or
// the timeout is over; reached is false in the last case. It returns the environment as it was last seen.
func (s *Service) Await(ctx context.Context, environment string, revision int64, wait WaitFor, timeout time.Duration) (e rollout.Environment, reached bool, err error) {
	seen, hints := make(chan rollout.Environment, 1), make(chan struct{}, 1)
	defer s.Hub.Subscribe(environment, func(_ string, e *rollout.Environment) {
		switch {
		case e == nil: // another replica has done something: its node may be the one that was waited for
			offer(hints, struct{}{})
		case came(*e, revision, wait):
			offer(seen, *e)
		}
	})()
	e, known := s.Hub.Latest(environment)
	if !known || e.Revision < revision {
		call, cancel := context.WithTimeout(ctx, s.CallTimeout)
		e, _, err = s.Store.Environment(call, environment)
		cancel()
	}
	if err != nil {
		return e, false, err
	}
	if revision > e.Revision {
		return e, false, &rollout.Refusal{Code: rollout.NotFound, Revision: e.Revision,
			Detail: fmt.Sprintf("environment %s has no switch %d", environment, revision)}
	}
	over := s.Clock.NewTimer(timeout)
	defer over.Stop()
	poll := s.Clock.NewTicker(s.Poll)
	defer poll.Stop()
	look := func() {
		call, cancel := context.WithTimeout(ctx, s.CallTimeout)
		defer cancel()
		if now, _, err := s.Store.Environment(call, environment); err == nil {
			e = now
		}
	}
	for !came(e, revision, wait) {
		select {
		case e = <-seen:
		case <-hints:
			look()
		case <-poll.Chan():
			look()
		case <-over.Chan():
			return e, false, nil
		case <-ctx.Done():
			return e, false, ctx.Err()
		}
	}
	return e, true, nil
}

// offer sends what nobody has to take.
func offer[T any](to chan<- T, v T) {
	select {
	case to <- v:
	default:
	}
}

func came(e rollout.Environment, revision int64, wait WaitFor) bool {
	s := e.Switch
	switch {
	case e.Revision < revision:
		return false
	case wait == WaitCommitted || !e.CarriesOn(revision) || s == nil: // a repair is waited for in the place of what it carries on
		return true
	case wait == WaitDrained:
		return s.DrainedAt != nil
	}
	return s.Status == rollout.Applied
}
