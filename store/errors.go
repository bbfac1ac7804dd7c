package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"viridian/rollout"
)

var (
	// ErrUnavailable is wrapped when the database cannot be reached, or does not answer in time.
	ErrUnavailable = errors.New("the database is unavailable")
	// ErrOutcomeUnknown is wrapped, together with [ErrUnavailable], when the connection was lost at the commit and the
	// database did not come back in time to tell whether it took place. The same idempotency key will tell.
	ErrOutcomeUnknown = errors.New("it is not known whether the change was made")
	// ErrCrowded is wrapped, together with [ErrUnavailable], when every connection for this kind of call was in use all
	// the time.
	ErrCrowded = errors.New("too many callers want the database at once")
	// ErrFull is wrapped, together with [ErrUnavailable], when the database has no room left on its disk. Nothing was
	// changed; it goes on when there is room again.
	ErrFull = errors.New("the disk of the database is full")
	// ErrPooler is wrapped, together with [ErrUnavailable], when a pooler stands before the database that knows no
	// prepared statements.
	ErrPooler = errors.New("a pooler in transaction mode that knows no prepared statements stands before the database: " +
		"add default_query_exec_mode=exec to database_url")
	// ErrNoRights is wrapped, together with [ErrUnavailable], when the role of the service was not let in.
	ErrNoRights = errors.New("the role of database_url may not use the tables: let it in by `viridian migrate up --grant-to ROLE`, " +
		"run as the role that owns them")
)

// connectError is a failure to get a connection at all: nothing was sent.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// keyBusyError is a lock timeout at the row of an idempotency key.
type keyBusyError struct{ err error }

func (e *keyBusyError) Error() string { return e.err.Error() }
func (e *keyBusyError) Unwrap() error { return e.err }

// SQLSTATEs, https://www.postgresql.org/docs/15/errcodes-appendix.html.
const (
	stateUnique           = "23505"
	stateCheck            = "23514"
	stateNotInRepertoire  = "22021"
	stateUntranslatable   = "22P05"
	stateSerialization    = "40001"
	stateDeadlock         = "40P01"
	stateLockNotAvailable = "55P03"
	stateQueryCanceled    = "57014"
	stateReadOnly         = "25006"
	stateExclusion        = "23P01"
	stateDiskFull         = "53100"
	statePreparedThere    = "42P05"
	statePreparedGone     = "26000"
	stateNoRights         = "42501"
	classConnection       = "08"
	classResources        = "53"
	classIntervention     = "57P"
	constraintEnvironment = "environment_pkey"
	constraintInstance    = "instance_claim_pkey"
	constraintHost        = "host_claim_pkey"
	constraintKey         = "idempotency_pkey"
	constraintImmutable   = "generation_immutable"
	constraintToken       = "token_pkey"
)

// fate is what an error of the database means for the transaction that met it.
type fate int

const (
	final   fate = iota // it will not go away by trying again
	again               // another transaction was in the way: try again
	lost                // the connection broke, or the server is going away
	blocked             // a lock was not free in time
)

func fateOf(err error) fate {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case pg.Code == stateSerialization, pg.Code == stateDeadlock,
			pg.Code == stateUnique && (pg.ConstraintName == constraintEnvironment || pg.ConstraintName == constraintKey):
			return again
		case pg.Code == stateLockNotAvailable:
			return blocked
		case pg.Severity == "FATAL", pg.Severity == "PANIC", pg.SeverityUnlocalized == "FATAL", pg.SeverityUnlocalized == "PANIC",
			strings.HasPrefix(pg.Code, classConnection), strings.HasPrefix(pg.Code, classIntervention):
			return lost
		}
		return final
	}
	var own *ownError
	if errors.As(err, &own) {
		return final
	}
	return lost
}

// ownError marks what came neither from the database nor from the way to it: a decision's refusal, a failpoint, a value
// that cannot be encoded or decoded.
type ownError struct{ err error }

func (e *ownError) Error() string { return e.err.Error() }
func (e *ownError) Unwrap() error { return e.err }

// translate turns what is left after all tries into what callers know.
func translate(err error) error {
	var own *ownError
	if err == nil {
		return nil
	}
	if errors.As(err, &own) {
		return own.err
	}
	var busyKey *keyBusyError
	if errors.As(err, &busyKey) && fateOf(err) == blocked {
		return rollout.Refuse(rollout.IdempotencyInFlight, "the first request with this key is still at work",
			"ask again with the same key in a moment")
	}
	switch fateOf(err) {
	case again, blocked:
		return rollout.Refuse(rollout.EnvironmentBusy, "others are changing this just now", "ask again in a moment")
	case lost:
		if errors.Is(err, context.Canceled) {
			return err
		}
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	return translateState(pg, err)
}

func translateState(pg *pgconn.PgError, err error) error {
	switch {
	case pg.Code == stateNotInRepertoire, pg.Code == stateUntranslatable:
		return rollout.Refuse(rollout.InvalidRequest, "a text holds a character that cannot be kept", "leave out the character U+0000")
	case pg.Code == stateCheck && pg.ConstraintName == constraintImmutable:
		return rollout.Refuse(rollout.GenerationImmutable, "a registered generation never changes", "register a new generation")
	case pg.Code == stateUnique && pg.ConstraintName == constraintToken:
		return rollout.Refuse(rollout.Conflict, "there is a token with this id", "make the token again")
	case pg.Code == stateDiskFull:
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrFull, err)
	case pg.Code == statePreparedThere, pg.Code == statePreparedGone:
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrPooler, err)
	case pg.Code == stateNoRights:
		return fmt.Errorf("%w: %w: %w", ErrUnavailable, ErrNoRights, err)
	case pg.Code == stateQueryCanceled, pg.Code == stateReadOnly, strings.HasPrefix(pg.Code, classResources):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case pg.Code == stateUnique, pg.Code == stateCheck, pg.Code == stateExclusion:
		return fmt.Errorf("the schema refused a write (%s): %w", pg.ConstraintName, err)
	}
	return err
}
