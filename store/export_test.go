package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/audit"
)

// VerifyAuditOn is VerifyAudit with its statements on one connection, so that it sees what a transaction there has
// changed and not committed.
func VerifyAuditOn(ctx context.Context, conn *pgx.Conn, scope AuditScope, noted []string) (audit.Report, error) {
	return auditReader{func(ctx context.Context, queue func(b *batch)) error {
		b := &batch{}
		queue(b)
		return conn.SendBatch(ctx, &b.Batch).Close()
	}}.verify(ctx, scope, noted)
}

// TimeoutsIn are the timeouts that hold inside each kind of transaction: statement, lock, idle.
func TimeoutsIn(ctx context.Context, s *Store) (map[string]string, error) {
	out := map[string]string{}
	ask := func(kind string) func(b *batch) {
		return func(b *batch) {
			b.row(`SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'))`,
				func(row pgx.Row) error {
					var text string
					err := row.Scan(&text)
					out[kind] = text
					return err
				})
		}
	}
	_, err := s.take(ctx, turn{load: ask("turn"), decide: func(time.Time, *writes) error { return nil }})
	return out, errors.Join(err, s.view(ctx, ask("view")), s.write(ctx, ask("write")))
}

// OnSession lends the connection that the next call of the context's class uses.
func OnSession(ctx context.Context, s *Store, use func(conn *pgx.Conn) error) error {
	conn, done, err := s.pools.acquire(ctx)
	if err != nil {
		return err
	}
	defer done()
	return use(conn.Conn())
}
