package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenPatience bounds how long a lost connection is tried again at most once; it grows up to this.
const listenPatience = 5 * time.Second

// Listen calls notify with the name of each environment that was changed by anybody, and with "" when any may have
// been: at the start, after a lost connection, and when a node was taken out. It is a hint that saves waiting for the
// next poll, never the truth: a notification may be lost. It needs a direct connection (Options.ListenURL), blocks
// until ctx ends, and returns ctx's error.
func (s *Store) Listen(ctx context.Context, notify func(environment string)) error {
	for gap := firstGap; ; gap = min(2*gap, listenPatience) {
		err := s.listenOnce(ctx, func(environment string) {
			gap = firstGap
			notify(environment)
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s.log.Warn("listening to the database broke off, trying again", "in", gap, "error", err)
		timer := s.clock.NewTimer(gap)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.Chan():
		}
	}
}

func (s *Store) listenOnce(ctx context.Context, notify func(environment string)) error {
	dialCtx, cancel := context.WithTimeout(ctx, s.timeouts.call)
	defer cancel()
	conn, err := pgx.ConnectConfig(dialCtx, s.listen)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(dialCtx, `LISTEN viridian`); err != nil {
		return err
	}
	notify("")
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		notify(n.Payload)
	}
}
