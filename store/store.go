package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/rollout/controller"
)

// Options say where the database is and how long things may take. Only URL is required.
type Options struct {
	// URL is a Postgres URL as libpq and pgx read it. Through a pooler that knows no prepared statements it needs
	// default_query_exec_mode=exec.
	URL string
	// ListenURL is a direct connection for LISTEN, where URL goes through a pooler. Empty: URL.
	ListenURL string
	// Connections says how many connections there may be of each kind; zeros mean [DefaultConnections].
	Connections Connections
	// AuditKeep is after how long [Store.Prune] deletes events: at least [MinAuditKeep], or 0 for never.
	AuditKeep time.Duration
	// PruneTime is how long one [Store.Prune] goes on with the audit log (250 ms), since its caller has other things to do.
	PruneTime time.Duration
	// Timing goes into every aggregate that is loaded; the zero value means [rollout.DefaultTiming].
	Timing rollout.Timing
	// Required goes into every aggregate that is loaded: the policies of routers by name.
	Required map[string]rollout.Required
	// Undivided goes into every aggregate that is loaded: the routers that take no shares.
	Undivided []string
	// Finders goes into every aggregate that is loaded: the routers that find instances in Consul's catalog.
	Finders map[string]rollout.Finder
	// CallTimeout bounds every method (5 s); waiting out a lost commit may add as much again.
	CallTimeout time.Duration
	// LockTimeout bounds the wait for an environment that somebody else is changing (2 s).
	LockTimeout time.Duration
	// IdleTimeout is after how long Postgres ends a transaction whose client has fallen silent (1.5 s). It is shorter
	// than LockTimeout, so that a replica that is paused in a transaction holds up nobody else's rollback.
	IdleTimeout time.Duration
	Failpoints  *failpoint.Set
	Logger      *slog.Logger
	Clock       clockwork.Clock // for pauses, and for how long the database was away; never for what is written
}

// Store is everything that is kept in the database, by connections of three kinds ([Connections]). Its methods may be
// called from any goroutine.
type Store struct {
	pools      pools
	listen     *pgx.ConnConfig
	timing     rollout.Timing
	required   map[string]rollout.Required
	undivided  []string
	finders    map[string]rollout.Finder
	timeouts   timeouts
	failpoints *failpoint.Set
	log        *slog.Logger
	clock      clockwork.Clock
	sender     string // names this Store in its notifications
	auditKeep  time.Duration
	pruneTime  time.Duration
	pings      chan struct{} // one at a time
	warned     atomic.Bool   // that no notifications come
	contact    contact
}

type timeouts struct{ call, lock, idle time.Duration }

var _ controller.Store = (*Store)(nil)

// CheckURL says what is wrong with a URL that [Open] would not take; nil when nothing is. It connects to nothing.
func CheckURL(url string) error {
	_, err := pgxpool.ParseConfig(url)
	return unreadable(err)
}

// unreadable leaves out what pgx quotes of a broken URL: it may be a part of the password.
func unreadable(err error) error {
	if err != nil && strings.Contains(err.Error(), "failed to parse as URL") {
		return errors.New("it cannot be read as a URL; in a password, %, @, / and the like are percent-encoded: @ is %40")
	}
	return err
}

// Open makes a Store. It connects when something is asked of it, so the database need not be up; an error means that
// the options are wrong.
func Open(ctx context.Context, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", unreadable(err))
	}
	listen := config.ConnConfig.Copy()
	if o.ListenURL != "" {
		if listen, err = pgx.ParseConfig(o.ListenURL); err != nil {
			return nil, fmt.Errorf("read the database URL for LISTEN: %w", unreadable(err))
		}
	}
	s := &Store{sender: rand.Text(), listen: listen, timing: o.Timing, required: o.Required, undivided: o.Undivided, finders: o.Finders, failpoints: o.Failpoints, log: o.Logger, clock: o.Clock,
		auditKeep: o.AuditKeep, pruneTime: o.PruneTime, pings: make(chan struct{}, 1), timeouts: timeouts{call: o.CallTimeout, lock: o.LockTimeout, idle: o.IdleTimeout}}
	s.fillDefaults()
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = s.timeouts.call
	}
	if s.auditKeep != 0 && s.auditKeep < MinAuditKeep {
		return nil, fmt.Errorf("events are kept for at least %s, or for ever", MinAuditKeep)
	}
	config.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		conn.TypeMap().RegisterType(&pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID,
			Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}})
		return nil
	}
	if s.pools, err = openPools(ctx, config, o.Connections); err != nil {
		return nil, fmt.Errorf("make the database pools: %w", err)
	}
	return s, nil
}

func (s *Store) fillDefaults() {
	if s.timing == (rollout.Timing{}) {
		s.timing = rollout.DefaultTiming
	}
	for _, d := range []struct {
		set      *time.Duration
		fallback time.Duration
	}{{&s.timeouts.call, 5 * time.Second}, {&s.timeouts.lock, 2 * time.Second}, {&s.timeouts.idle, 1500 * time.Millisecond}, {&s.pruneTime, 250 * time.Millisecond}} {
		if *d.set <= 0 {
			*d.set = d.fallback
		}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		s.clock = clockwork.NewRealClock()
	}
}

// Timing is what decisions on the aggregates of this store depend on.
func (s *Store) Timing() rollout.Timing { return s.timing }

// Close ends all connections, waiting for calls that still run.
func (s *Store) Close() { s.pools.close() }

// Ping asks whether the database answers and has our schema; the error wraps [ErrUnavailable] when it does not. However
// many ask, it takes one connection.
func (s *Store) Ping(ctx context.Context) error {
	select {
	case s.pings <- struct{}{}:
		defer func() { <-s.pings }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	}
	var answered bool
	err := s.view(ctx, func(b *batch) {
		b.row(`SELECT true FROM event_counter`, func(row pgx.Row) error { return row.Scan(&answered) })
	})
	if err == nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
