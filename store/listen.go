package store

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// listenPatience is the longest pause between two tries to connect.
const listenPatience = 5 * time.Second

// Listen calls notify with the name of each environment that another Store changed, and with "" when any may have been
// changed: at the start, after a lost connection, and when a node was taken out. What this Store changed is known to
// whoever asked it to. It is a hint that saves waiting for the next poll, never the truth: a notification may be lost.
// It needs a direct connection (Options.ListenURL), blocks until ctx ends, and returns ctx's error.
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
	var session uint32
	if err := conn.QueryRow(dialCtx, `SELECT pg_backend_pid()`, pgx.QueryExecModeExec).Scan(&session); err != nil {
		return err
	}
	if session != conn.PgConn().PID() && !s.warned.Swap(true) {
		s.log.Warn("no notifications come through a pooler, and changes by other replicas are seen by the next poll only: " +
			"set listen_database_url to the same database by a direct connection")
	}
	if _, err := conn.Exec(dialCtx, `LISTEN viridian`); err != nil {
		return err
	}
	notify("")
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if sender, environment, _ := strings.Cut(n.Payload, " "); sender != s.sender || environment == "" {
			notify(environment)
		}
	}
}

// hint is the text of a notification: who sends it, and the environment.
func (s *Store) hint(environment string) string { return s.sender + " " + environment }
