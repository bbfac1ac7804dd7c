package store_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"viridian/rollout"
	"viridian/store"
	"viridian/store/storetest"
)

// The service works with a role that may do nothing more than the service does.
func TestGrantService(t *testing.T) {
	t.Parallel()
	w := &world{TB: t, url: storetest.Database(t)}
	owner := w.raw()
	const role = `Service "of" Viridian`
	_, err := owner.Exec(t.Context(), "CREATE ROLE "+pgx.Identifier{role}.Sanitize()+" LOGIN")
	w.must(err)
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		conn := must(pgx.Connect(ctx, w.url))
		defer conn.Close(ctx)
		_, err := conn.Exec(ctx, "DROP OWNED BY "+pgx.Identifier{role}.Sanitize()+"; DROP ROLE "+pgx.Identifier{role}.Sanitize())
		w.must(err)
	})
	w.must(store.GrantService(t.Context(), w.url, role))
	w.must(store.GrantService(t.Context(), w.url, role))
	u := must(url.Parse(w.url))
	u.User = url.User(role)
	service := *w
	service.url = u.String()
	service.Store = service.open(func(o *store.Options) {
		o.Timing = rollout.Timing{Silence: time.Nanosecond, Freshness: time.Minute, Grace: time.Nanosecond}
	})
	grown := service
	grown.Store = service.open()
	theWholeWay(t, &grown)
	_, _, err = service.CreateToken(t.Context(), ask("a"), keyed("k", ""))
	w.must(err)
	w.must(service.TouchToken(t.Context(), "a"))
	service.newSession("s", "secret", "a")
	w.must(service.SessionData(time.Hour).Touch(t.Context(), "secret"))
	if !service.alive("secret") {
		t.Error("the session is not there")
	}
	w.must(service.EndSession(t.Context(), "s", alice))
	w.must(service.NewLoginLink(t.Context(), "link", "a", time.Hour))
	must(service.UseLoginLink(t.Context(), "link"))
	w.must(service.SaveResponse(t.Context(), *keyed("k", ""), 201, nil))
	must(service.DeleteToken(t.Context(), "a", alice, nil))
	must(service.RemoveNode(t.Context(), edge.Router, edge.Name, alice, nil))
	must(service.ClaimLeases(t.Context(), "h", time.Second))
	w.must(service.ReleaseLeases(t.Context(), "h"))
	w.must(service.Prune(t.Context()))
	w.must(service.Ping(t.Context()))

	conn := service.raw()
	for _, sql := range []string{
		"UPDATE event SET actor = ''", "DELETE FROM event", "TRUNCATE event", "DELETE FROM event_chain", "DELETE FROM event_counter",
		"INSERT INTO event_counter VALUES (true, 1)", "UPDATE instance SET port = 1", "DELETE FROM generation", "DELETE FROM environment",
		"DELETE FROM switch", "DELETE FROM promotion", "UPDATE spec_version SET spec = '{}'", "DELETE FROM token", "DELETE FROM lease", "DELETE FROM node",
		"UPDATE generation_move SET to_state = 'live'", "INSERT INTO promotion_move VALUES ('aborted', 'baking')",
		"ALTER TABLE event DISABLE TRIGGER ALL", "DROP TABLE event", "DROP TRIGGER event_append_only ON event", "CREATE TABLE mine ()",
		"CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
		"SET session_replication_role = replica", "SELECT grant_service('postgres')", "UPDATE schema_migrations SET dirty = true",
	} {
		_, err := conn.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" {
			t.Errorf("%s: %v, want insufficient_privilege", sql, err)
		}
	}
}
