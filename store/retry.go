package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

const (
	tries    = 5
	firstGap = 2 * time.Millisecond
	maxGap   = 100 * time.Millisecond
)

// retrying runs do until it succeeds, fails for good, or has failed too often, and translates its error. do must be
// safe to run twice. A database that cannot be connected to is not asked again: callers have their own patience.
func (s *Store) retrying(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == tries || ctx.Err() != nil || !s.worthAnother(err) {
			return translate(err)
		}
		s.log.Debug("database transaction is tried again", "try", try, "error", err)
		if s.pause(ctx, try) != nil {
			return translate(err)
		}
	}
}

func (s *Store) worthAnother(err error) bool {
	switch fateOf(err) {
	case again:
		return true
	case lost:
		var unreached *connectError
		if errors.As(err, &unreached) {
			return false
		}
		// After a restart of the database every idle connection is broken, not only this one.
		s.pools.reset()
		return true
	}
	return false
}

// pause waits before the next try, longer each time, and not as long as its neighbours.
func (s *Store) pause(ctx context.Context, try int) error {
	gap := min(firstGap<<min(try, 10), maxGap)
	timer := s.clock.NewTimer(gap/2 + rand.N(gap/2)) //nolint:gosec // jitter is no secret
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.Chan():
		return nil
	}
}
