package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
	"viridian/store/storetest"
)

// hold keeps what a statement locks until it is let go.
func (w *world) hold(sql string) (letGo func()) {
	w.Helper()
	conn := w.raw()
	_, err := conn.Exec(w.Context(), "BEGIN; "+sql)
	w.must(err)
	return func() {
		w.Helper()
		_, err := conn.Exec(w.Context(), "ROLLBACK")
		w.must(err)
	}
}

// waiting counts the sessions that wait for a lock in a statement like the pattern.
func (w *world) waiting(pattern string) int {
	w.Helper()
	return w.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE $1`, pattern)
}

func (w *world) until(what string, holds func() bool) {
	w.Helper()
	over := time.NewTimer(time.Minute)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-over.C:
			w.Fatal("it is not so that ", what)
		}
	}
}

// With every connection for reads and for streams in use by hundreds of callers that get no further, a replica does
// everything that it has to.
func TestPools_ACrowdOfReaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *store.Options) { o.Connections = store.Connections{Control: 3, Reads: 2, Streams: 2} })
	w.shop()
	letGo := w.hold("LOCK TABLE spec_version IN ACCESS EXCLUSIVE MODE")
	ctx, leave := context.WithCancel(t.Context())
	var crowd sync.WaitGroup
	for range 200 {
		for _, class := range []store.Class{store.Reads, store.Streams} {
			crowd.Go(func() { _, _ = w.SpecVersions(store.For(ctx, class), "shop", store.Paging{}) })
		}
	}
	everyone := func() bool { return w.waiting("%FROM spec_version%") == 4 }
	w.until("all connections of the crowd wait", everyone)

	out, err := w.Transact(store.For(t.Context(), store.Commands), controller.Command{Environment: "shop"}, promote(2))
	if err != nil || out.Revision != 2 {
		t.Fatalf("promote: %+v, %v", out.Answer, err)
	}
	if e := w.apply("shop"); e.Switch.Status != rollout.Applied { // a heartbeat, a reading and a record
		t.Errorf("the switch is %s", e.Switch.Status)
	}
	if leases := must(w.ClaimLeases(t.Context(), "holder", time.Second)); len(leases) != 1 {
		t.Errorf("leases: %v", leases)
	}
	must(w.Versions(t.Context()))
	w.must(w.Ping(t.Context()))
	if !everyone() {
		t.Error("the crowd went on meanwhile: this shows nothing")
	}
	hasty, cancel := context.WithTimeout(store.For(t.Context(), store.Reads), 50*time.Millisecond)
	defer cancel()
	if _, err := w.SpecVersions(hasty, "shop", store.Paging{}); !errors.Is(err, store.ErrCrowded) || !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("who comes too late is told: %v", err)
	}
	leave()
	letGo()
	crowd.Wait()
	must(w.SpecVersions(store.For(t.Context(), store.Reads), "shop", store.Paging{}))
}

// Commands that wait for one environment cost the replica no lease, and no other environment a record.
func TestPools_ACrowdOfCommands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *store.Options) { o.Connections = store.Connections{Control: 4, Reads: 1, Streams: 1} })
	w.shop()
	w.do("other", create("other", spec(t, webSpec)))
	letGo := w.hold("SELECT FROM environment WHERE name = 'shop' FOR UPDATE")
	var crowd sync.WaitGroup
	answers := make(chan error, 50)
	for i := range cap(answers) {
		crowd.Go(func() {
			_, err := w.Transact(store.For(t.Context(), store.Commands), controller.Command{Environment: "shop"}, weights(1+i, 1))
			answers <- err
		})
	}
	w.until("all connections of commands wait", func() bool { return w.waiting("%FROM environment%FOR UPDATE%") == 2 })
	w.must(w.Heartbeat(t.Context(), edge, 0))
	if leases := must(w.ClaimLeases(t.Context(), "holder", time.Second)); len(leases) != 2 {
		t.Errorf("leases: %v", leases)
	}
	w.record("other", rollout.Facts{})
	if n := w.waiting("%FROM environment%FOR UPDATE%"); n != 2 || len(answers) > 0 {
		t.Errorf("%d commands wait, %d were answered: this shows nothing", n, len(answers))
	}
	letGo()
	crowd.Wait()
	won := 0
	for range cap(answers) {
		if err := <-answers; err == nil {
			won++
		} else {
			wantCode(t, err, rollout.RevisionMismatch)
		}
	}
	if won != 1 {
		t.Errorf("%d of the crowd won", won)
	}
}

// Each transaction has its timeouts, of whichever kind and on whichever connection, and leaves none behind.
func TestTimeouts_InEveryTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *store.Options) {
		o.CallTimeout, o.LockTimeout, o.IdleTimeout = 7*time.Second, 3*time.Second, 2*time.Second
		o.Connections = store.Connections{Control: 3, Reads: 1, Streams: 1}
	})
	for _, class := range []store.Class{store.Loops, store.Commands, store.Reads, store.Streams} {
		for kind, got := range must(store.TimeoutsIn(store.For(t.Context(), class), w.Store)) {
			if want := "7s 3s 2s"; got != want {
				t.Errorf("class %d, %s: %q, want %q", class, kind, got, want)
			}
		}
	}
	if n := w.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'viridian/%'"); n < 3 && !storetest.Pooled() {
		t.Errorf("%d connections say what they are for", n)
	}
}

// Too few connections are a mistake in the options, and so is a short memory.
func TestOpen_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	for _, o := range []store.Options{
		{Connections: store.Connections{Control: 2}}, {Connections: store.Connections{Reads: -1}}, {Connections: store.Connections{Streams: -1}},
		{AuditKeep: time.Hour}, {AuditKeep: -time.Hour},
	} {
		o.URL = "postgres://nobody@127.0.0.1:1/none"
		if s, err := store.Open(t.Context(), o); err == nil {
			s.Close()
			t.Errorf("%+v was taken", o)
		}
	}
}

// A pooler that knows no prepared statements is told apart from a database that is away.
func TestErrors_NamesThePooler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Store = w.open(func(o *store.Options) {
		o.URL = w.direct() + "&default_query_exec_mode=cache_statement"
		o.Connections = store.Connections{Control: 3, Reads: 1, Streams: 1}
	})
	reads := store.For(t.Context(), store.Reads)
	for range 3 {
		must(w.Tokens(reads, store.Paging{}))
	}
	// What another client's session looks like: the statements that were prepared are not there.
	w.must(store.OnSession(reads, w.Store, func(conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(t.Context(), "DEALLOCATE ALL").ReadAll()
		return err
	}))
	_, err := w.Tokens(reads, store.Paging{})
	if !errors.Is(err, store.ErrPooler) || !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if text := err.Error(); !strings.Contains(text, "add default_query_exec_mode=exec to database_url") {
		t.Errorf("it names no fix: %s", text)
	}
}

// PgBouncer in transaction mode with prepared statements, which it does not know: no statement goes wrong unseen, and the
// errors name the setting.
func TestPgBouncer_WithPreparedStatements(t *testing.T) {
	t.Parallel()
	if !storetest.Pooled() {
		t.Skip("only with VIRIDIAN_TEST_PGBOUNCER=1")
	}
	w := newWorld(t)
	w.shop()
	prepared := w.open(func(o *store.Options) { o.URL += "&default_query_exec_mode=cache_statement" })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := make(chan error, 1)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				_, err := prepared.Generations(store.For(ctx, store.Class(i%4)), "shop", store.GenerationFilter{}, store.Paging{})
				if err == nil || ctx.Err() != nil {
					continue
				}
				select {
				case found <- err:
				default:
				}
				cancel()
			}
		})
	}
	all.Wait()
	select {
	case err := <-found:
		if !errors.Is(err, store.ErrPooler) {
			t.Fatalf("the error does not tell the cause: %v", err)
		}
	default:
		t.Fatal("nothing went wrong in a minute: is this a pooler?")
	}
}
