package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// batch is a list of statements that go to the database in one round trip. The first that fails skips the rest.
type batch struct {
	pgx.Batch
	err error // of making an argument
}

func (b *batch) exec(sql string, args ...any) { b.Queue(sql, args...) }

// row queues a query of one row; no row is pgx.ErrNoRows.
func (b *batch) row(sql string, scan func(row pgx.Row) error, args ...any) {
	b.Queue(sql, args...).QueryRow(scan)
}

// each queues a query and calls scan for every row.
func (b *batch) each(sql string, scan func(row pgx.CollectableRow) error, args ...any) {
	b.Queue(sql, args...).Query(func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// json turns a value into the text of a json parameter.
func (b *batch) json(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		b.err = errors.Join(b.err, fmt.Errorf("encode for the database: %w", err))
	}
	return string(text)
}

// How plans of prepared statements are chosen. What a turn asks is found by primary key, so that looking for a better
// plan each time costs more than it can bring; lists with their filters are another matter.
const (
	plansOnce   = "force_generic_plan"
	plansByCase = "auto"
)

// settings makes the timeouts, and the choice of plans, those of this transaction only.
func (b *batch) settings(t timeouts, plans string) {
	b.exec(`SELECT set_config('statement_timeout', $1, true), set_config('lock_timeout', $2, true),
		set_config('idle_in_transaction_session_timeout', $3, true), set_config('plan_cache_mode', $4, true)`,
		millis(t.call), millis(t.lock), millis(t.idle), plans)
}

func millis(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }

// commit ends the transaction; the answer must be a COMMIT, because a failed transaction answers with ROLLBACK and no
// error. committed is set as soon as that is known.
func (b *batch) commit(committed *bool) {
	q := b.Queue(`COMMIT`)
	q.Fn = func(results pgx.BatchResults) error {
		tag, err := results.Exec()
		if err != nil {
			return err
		}
		if tag.String() != "COMMIT" {
			return fmt.Errorf("commit was answered with %s", tag)
		}
		*committed = true
		return nil
	}
}

func (b *batch) send(ctx context.Context, conn *pgxpool.Conn) error {
	if b.err != nil {
		return &ownError{b.err}
	}
	err := conn.SendBatch(ctx, &b.Batch).Close()
	var pg *pgconn.PgError
	if err != nil && !errors.As(err, &pg) && !conn.Conn().IsClosed() {
		return &ownError{err}
	}
	return err
}

// view runs queries on one snapshot in one round trip.
func (s *Store) view(ctx context.Context, queue func(b *batch)) error {
	return s.whole(ctx, `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`, queue)
}

// write runs statements as one transaction in one round trip. They may be carried out twice, so the second time must
// do no harm.
func (s *Store) write(ctx context.Context, queue func(b *batch)) error {
	return s.whole(ctx, `BEGIN`, queue)
}

func (s *Store) whole(ctx context.Context, begin string, queue func(b *batch)) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.call)
	defer cancel()
	return s.retrying(ctx, func() error {
		return s.onConnection(ctx, func(conn *pgxpool.Conn) error {
			committed := false
			b := &batch{}
			b.exec(begin)
			b.settings(s.timeouts, plansByCase)
			queue(b)
			b.commit(&committed)
			if err := b.send(ctx, conn); err != nil && !committed {
				return err
			}
			s.answered()
			return nil
		})
	})
}

// rollback ends what is left of a transaction. A connection where that fails is closed when it is released.
func (s *Store) rollback(ctx context.Context, conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() || conn.Conn().PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.lock)
	defer cancel()
	if _, err := conn.Exec(ctx, `ROLLBACK`); err != nil {
		s.log.Debug("roll back", "error", err)
	}
}
