package store_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
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
	u := must(url.Parse(w.url))
	u.User = url.User(w.serviceRole(t, `Service "of" Viridian`))
	service := *w
	service.url = u.String()
	service.Store = service.open(func(o *store.Options) {
		o.Timing = rollout.Timing{Silence: time.Nanosecond, Freshness: time.Minute, Grace: time.Nanosecond}
		o.AuditKeep = 60 * day
	})
	grown := service
	grown.Store = service.open()
	theWholeWay(t, &grown)
	_, _, err := service.CreateToken(t.Context(), ask("a"), keyed("k", ""))
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
	service.do("old", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return create("old", spec(t, webSpec))(e, now.Add(-90*day))
	})
	service.longAgo("old", 2, 80*day)
	w.must(service.Prune(t.Context()))
	if n := w.count("SELECT count(*) FROM event WHERE environment = 'old'"); n != 2 {
		t.Errorf("%d events of a chain that was to be pruned", n)
	}
	w.must(service.Ping(t.Context()))
	verify(t, &service, "old")
}

// granted is what the service may do to tables besides reading them. What is only ever added it may not change; history
// it may not write; and nothing may it empty or alter.
var granted = map[string]string{
	"environment": "INSERT UPDATE", "spec_version": "INSERT", "host_claim": "INSERT DELETE", "generation": "INSERT UPDATE",
	"instance": "INSERT", "instance_claim": "INSERT DELETE", "promotion": "INSERT UPDATE", "switch": "INSERT UPDATE", "node": "INSERT UPDATE",
	"receipt": "INSERT UPDATE DELETE", "staging": "INSERT UPDATE DELETE", "reading": "INSERT UPDATE DELETE", "lease": "INSERT UPDATE",
	"event": "INSERT", "event_chain": "INSERT UPDATE", "event_counter": "UPDATE", "token": "INSERT UPDATE", "idempotency": "INSERT UPDATE DELETE",
	"session": "INSERT UPDATE DELETE", "login_link": "INSERT UPDATE DELETE",
	"generation_move": "", "promotion_move": "", "activation": "", "event_anchor": "", "schema_migrations": "",
	"membership": "INSERT UPDATE", "present_instance": "",
}

func TestGrantService_NothingMore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	conn := w.service(t)
	refused := func(sql string) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || pg.Code != "42501" { // insufficient_privilege
			t.Errorf("%s: %v", sql, err)
		}
	}
	names := func(query string) []string {
		rows, err := w.raw().Query(t.Context(), query)
		w.must(err)
		return must(pgx.CollectRows(rows, pgx.RowTo[string]))
	}
	tables := names("SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')")
	if len(tables) != len(granted) {
		t.Errorf("the tables are %v: what may the service do to each?", tables)
	}
	for _, table := range tables {
		for _, right := range []string{"INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"} {
			var has bool
			w.must(conn.QueryRow(t.Context(), "SELECT has_table_privilege($1, $2)", table, right).Scan(&has))
			if want := slices.Contains(strings.Fields(granted[table]), right); has != want {
				t.Errorf("%s of %s: %v, want %v", right, table, has, want)
			}
		}
		if table == "present_instance" { // a view is read, and there is nothing else to do to it
			continue
		}
		for _, sql := range []string{
			"TRUNCATE %s", "DROP TABLE %s CASCADE", "ALTER TABLE %s DISABLE TRIGGER ALL", "ALTER TABLE %s ADD COLUMN mine integer",
			"ALTER TABLE %s RENAME TO mine", "ALTER TABLE %s OWNER TO CURRENT_USER", "ALTER TABLE %s ENABLE ROW LEVEL SECURITY",
			"CREATE TRIGGER mine BEFORE INSERT ON %s EXECUTE FUNCTION refuse_change('mine')", "CREATE RULE mine AS ON INSERT TO %s DO INSTEAD NOTHING",
			"CREATE INDEX mine ON %s ((1))", "COMMENT ON TABLE %s IS ''",
		} {
			refused(fmt.Sprintf(sql, table))
		}
	}
	for _, sql := range names(`SELECT format('DROP TRIGGER %I ON %I', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal`) {
		refused(sql)
	}
	for _, sql := range names(`SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0`) {
		refused(sql)
	}
	for _, function := range names("SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace") {
		refused("ALTER FUNCTION " + function + " RESET ALL")
		refused("DROP FUNCTION " + function + " CASCADE")
	}
	for _, sql := range []string{
		"UPDATE event SET actor = ''", "DELETE FROM event", "DELETE FROM event_chain", "INSERT INTO event_counter VALUES (true, 1)",
		"DELETE FROM event_anchor", "INSERT INTO activation VALUES ('shop', 1, 2, '[now,)')", "DELETE FROM activation",
		"UPDATE generation_move SET to_state = 'live'", "INSERT INTO promotion_move VALUES ('aborted', 'baking')", "UPDATE schema_migrations SET dirty = true",
		"DO $$ BEGIN LOCK TABLE event IN ACCESS EXCLUSIVE MODE; END $$", "DO $$ BEGIN LOCK TABLE activation IN SHARE MODE; END $$",
		"CREATE TABLE mine ()", "CREATE SCHEMA mine", "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
		"CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION refuse_change()",
		"SET session_replication_role = replica", "SELECT set_config('session_replication_role', 'replica', false)", "SET ROLE postgres",
		"SELECT grant_service('postgres')", "GRANT ALL ON event TO CURRENT_USER", "ALTER ROLE CURRENT_USER SUPERUSER", "CREATE ROLE mine",
		"GRANT pg_write_all_data TO CURRENT_USER", "ALTER SYSTEM SET fsync = off", "COPY event FROM PROGRAM 'true'", "SELECT pg_read_file('PG_VERSION')",
		"CREATE EXTENSION adminpack", "DO LANGUAGE plpgsql $$ BEGIN EXECUTE 'ALTER TABLE event DISABLE TRIGGER ALL'; END $$",
	} {
		if strings.HasPrefix(sql, "GRANT ALL") { // a grant of what one has not is a warning, and grants nothing
			_, _ = conn.Exec(t.Context(), sql)
			continue
		}
		refused(sql)
	}
	var may bool
	w.must(conn.QueryRow(t.Context(), "SELECT has_table_privilege('event', 'UPDATE, DELETE, TRUNCATE')").Scan(&may))
	if may {
		t.Error("it has given itself what it had not")
	}
}
