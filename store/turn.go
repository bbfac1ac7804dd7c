package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/rollout/controller"
)

// turn is one decision in one transaction of two round trips: [BEGIN, key, load], decide, [write, events, COMMIT].
type turn struct {
	// key makes it happen once. Without one, and with definite set, it gets a key of its own when it writes, so that a
	// commit whose answer was lost can be asked for. Without both it must be safe to run twice.
	key      *controller.IdempotencyKey
	definite bool
	// load queues what locks and reads; decide then queues what to write.
	load   func(b *batch)
	decide func(now time.Time, out *writes) error
}

// writes is what a decision wants written. answer is kept under the key.
type writes struct {
	batch
	chain  chain
	events []rollout.Event
	answer any
	// notify are the environments whose loops should look again; "" stands for all.
	notify []string
	// decided and committed are failpoints, hit before the second round trip and after it.
	decided, committed failpoint.Name
}

func (w *writes) empty() bool { return w.Len() == 0 && len(w.events) == 0 }

// take carries out a turn. The record is that of an earlier use of the key, nil when the turn was taken now.
func (s *Store) take(ctx context.Context, t turn) (*keyRecord, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeouts.call)
	defer cancel()
	var doubt *doubtError
	record, err := s.takeRetrying(ctx, t)
	if !errors.As(err, &doubt) {
		return record, translate(err)
	}
	// Whoever asked may have gone; what was begun is brought to an end all the same.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.call)
	defer cancel()
	return s.resolve(ctx, t, doubt)
}

func (s *Store) takeRetrying(ctx context.Context, t turn) (*keyRecord, error) {
	for try := 1; ; try++ {
		record, err := s.takeOnce(ctx, t)
		var doubt *doubtError
		if err == nil || errors.As(err, &doubt) || try == tries || !s.worthAnother(err) || s.pause(ctx, try) != nil {
			return record, err
		}
		s.log.Debug("database transaction is tried again", "try", try, "error", err)
	}
}

// resolve runs the turn again under the key of the commit that is in doubt, until the database says how that ended.
func (s *Store) resolve(ctx context.Context, t turn, doubt *doubtError) (*keyRecord, error) {
	s.log.Warn("connection lost at commit, asking the database how it ended", "error", doubt.err)
	t.key = doubt.key
	for try := 1; ; try++ {
		record, err := s.takeOnce(ctx, t)
		if err == nil || fateOf(err) == final {
			return record, translate(err)
		}
		s.pools.reset()
		if s.pause(ctx, try) != nil {
			return nil, fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrOutcomeUnknown, err)
		}
	}
}

// doubtError is a connection lost after the commit was sent. key is the one under which it can be asked for.
type doubtError struct {
	key *controller.IdempotencyKey
	err error
}

func (e *doubtError) Error() string { return e.err.Error() }
func (e *doubtError) Unwrap() error { return e.err }

func (s *Store) takeOnce(ctx context.Context, t turn) (*keyRecord, error) {
	var record *keyRecord
	err := s.onConnection(ctx, func(conn *pgxpool.Conn) error {
		now, known, err := s.begin(ctx, conn, t)
		if err != nil {
			return err
		}
		if record, err = known.replay(t.key); record != nil || err != nil {
			return err
		}
		out := &writes{}
		if err := t.decide(now, out); err != nil {
			return &ownError{err}
		}
		if out.empty() && t.key == nil {
			return nil
		}
		return s.commit(ctx, conn, t, out)
	})
	return record, err
}

// begin is the first round trip. The time is read when everything is locked.
func (s *Store) begin(ctx context.Context, conn *pgxpool.Conn, t turn) (now time.Time, known keyRecord, err error) {
	b := &batch{}
	b.exec(`BEGIN`)
	b.settings(s.timeouts, plansOnce)
	if t.key != nil {
		known.claim(b, *t.key)
	}
	t.load(b)
	b.row(`SELECT clock_timestamp()`, func(row pgx.Row) error { return row.Scan(&now) })
	if err = b.send(ctx, conn); err == nil {
		s.answered()
	}
	return now.Truncate(time.Microsecond), known, err
}

// commit is the second round trip. It is not cut short when the caller goes away.
func (s *Store) commit(ctx context.Context, conn *pgxpool.Conn, t turn, out *writes) error {
	key := t.key
	switch {
	case key != nil:
		answerKey(&out.batch, *key, out.answer)
	case t.definite:
		key = ownKey()
		insertKey(&out.batch, *key, out.answer)
	}
	for _, environment := range out.notify {
		out.exec(`SELECT pg_notify('viridian', $1)`, s.hint(environment))
	}
	if err := queueEvents(&out.batch, out.chain, out.events); err != nil {
		return &ownError{err}
	}
	committed := false
	out.batch.commit(&committed)
	if err := s.hit(ctx, out.decided); err != nil {
		return err
	}
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeouts.call)
	defer cancel()
	err := out.send(sendCtx, conn)
	switch {
	case committed:
		return s.hit(ctx, out.committed)
	case key != nil && fateOf(err) == lost:
		return &doubtError{key: key, err: err}
	}
	return err
}

func (s *Store) hit(ctx context.Context, name failpoint.Name) error {
	if name == "" {
		return nil
	}
	if err := s.failpoints.Hit(ctx, name); err != nil {
		return &ownError{err}
	}
	return nil
}

// ownKey is a key that nobody else has.
func ownKey() *controller.IdempotencyKey {
	return &controller.IdempotencyKey{Caller: ownCaller, Key: rand.Text(), BodyHash: make([]byte, 32)}
}

// constraintOf names the constraint that an error of the database is about, with the text that holds its values.
func constraintOf(err error) (name, detail string) {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == stateUnique {
		return pg.ConstraintName, pg.Detail
	}
	return "", ""
}
