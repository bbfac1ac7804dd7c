package store_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"viridian/rollout"
	"viridian/store"
)

// guard is one thing that must never be, with statements that try it.
type guard struct {
	name string
	// prepare brings world.shop to where the statements do their harm.
	prepare func(w *world)
	// attacks are statements of the tables' owner, each with the constraint that refuses it; "" for any error.
	attacks []attack
}

type attack struct{ sql, constraint string }

// guarded is world.shop, with a token and a key, where the guard's statements begin.
func guarded(t *testing.T, g guard) *world {
	w := newWorld(t)
	w.shop()
	_, _, err := w.CreateToken(t.Context(), ask("a"), keyed("token", ""))
	w.must(err)
	if g.prepare != nil {
		g.prepare(w)
	}
	return w
}

// Every guard refuses its attacks, whoever makes them: the owner of the tables, whom only the schema can stop, and the
// role of the service, which has fewer rights as well.
func TestSchema_Guards(t *testing.T) {
	t.Parallel()
	for _, g := range slices.Concat(guards, valueGuards) {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			w := guarded(t, g)
			before := dump(t, w)
			owner, service := w.raw(), w.service(t)
			for _, attack := range g.attacks {
				_, err := owner.Exec(t.Context(), attack.sql)
				switch {
				case err == nil:
					t.Fatalf("%s: it was done", attack.sql)
				case attack.constraint != "" && constraint(err) != attack.constraint:
					t.Errorf("%s: refused by %q (%v), want %q", attack.sql, constraint(err), err, attack.constraint)
				}
				if _, err := service.Exec(t.Context(), attack.sql); err == nil {
					t.Fatalf("%s: it was done by the service", attack.sql)
				}
			}
			if diff := cmp.Diff(before, dump(t, w)); diff != "" {
				t.Errorf("refused statements changed the database:\n%s", diff)
			}
		})
	}
}

// service is a connection of a role that may do what the service does.
func (w *world) service(t testing.TB) *pgx.Conn {
	t.Helper()
	name := w.serviceRole(t, "service_"+must(pgx.ParseConfig(w.url)).Database)
	u := must(url.Parse(w.direct()))
	u.User = url.User(name)
	conn, err := pgx.Connect(t.Context(), u.String())
	w.must(err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

// serviceRole makes a role, and lets it run the service.
func (w *world) serviceRole(t testing.TB, name string) string {
	t.Helper()
	role := pgx.Identifier{name}.Sanitize()
	_, err := w.raw().Exec(t.Context(), "CREATE ROLE "+role+" LOGIN")
	w.must(err)
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		conn := must(pgx.Connect(ctx, w.direct()))
		defer conn.Close(ctx)
		_, err := conn.Exec(ctx, "DROP OWNED BY "+role+"; DROP ROLE "+role)
		w.must(err)
	})
	for range 2 { // as every replica does at its start
		w.must(store.GrantService(t.Context(), w.direct(), name))
	}
	return name
}

// S9 speaks of decisions on alerts and automatic rollbacks. There are no tables of such yet, and so nothing is guarded:
// whoever makes them finds here that they need their guards (one decision for an alert's episode, one automatic rollback
// for a promotion), and their attacks above.
func TestSchema_NothingDecidesOnAlerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows, err := w.raw().Query(t.Context(), `SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND (table_name ~ 'trigger|alert|deliver|episode|webhook' OR column_name ~ 'alert|episode|trigger')`)
	w.must(err)
	if found := must(pgx.CollectRows(rows, pgx.RowTo[string])); len(found) > 0 {
		t.Errorf("guard S9 by now: %v", found)
	}
}

// A guard looks its tables up where they are. A temporary table of the same name does not stand in for one.
func TestSchema_FunctionsArePinned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rows, err := w.raw().Query(t.Context(), `SELECT p.oid::regprocedure::text FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
		WHERE p.pronamespace = 'public'::regnamespace AND l.lanname IN ('plpgsql', 'sql') AND NOT coalesce('search_path=public, pg_temp' = ANY (p.proconfig), false)`)
	w.must(err)
	if loose := must(pgx.CollectRows(rows, pgx.RowTo[string])); len(loose) > 0 {
		t.Errorf("end the migration with SELECT pin_function(…) for %v", loose)
	}
	w.shop()
	service := w.service(t)
	for _, sql := range []string{
		`CREATE TEMPORARY TABLE generation_move (from_state text, to_state text); INSERT INTO generation_move VALUES ('live', 'retired')`,
		`CREATE TEMPORARY TABLE environment (LIKE public.environment); CREATE TEMPORARY TABLE switch (LIKE public.switch)`,
	} {
		_, err := service.Exec(t.Context(), sql)
		w.must(err)
	}
	_, err = service.Exec(t.Context(), "UPDATE public.generation SET state = 'retired', state_changed_at = now() WHERE number = 1")
	if constraint(err) != "generation_move" {
		t.Errorf("with a table of moves of its own: %v", err)
	}
	_, err = service.Exec(t.Context(), "UPDATE public.environment SET revision = 2, version = version + 1")
	if constraint(err) != "revision_passed_over" && constraint(err) != "route_without_switch" {
		t.Errorf("with an environment of its own: %v", err)
	}
}

// The tables of moves in the schema are those of the domain, pair by pair, and the triggers go by them.
func TestSchema_Moves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	generations, promotions := pairs(rollout.GenerationMoves), pairs(rollout.PromotionMoves)
	for table, want := range map[string][]string{"generation_move": generations, "promotion_move": promotions} {
		rows, err := w.raw().Query(t.Context(), "SELECT from_state || ' ' || to_state FROM "+table)
		w.must(err)
		got := must(pgx.CollectRows(rows, pgx.RowTo[string]))
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-domain +schema):\n%s", table, diff)
		}
	}
	w.do("shop", create("shop", spec(t, webSpec)))
	w.do("shop", register("10.0.0.1", 80))
	conn := w.raw()
	for from := range rollout.GenerationMoves {
		for to := range rollout.GenerationMoves {
			err := tryMove(t, conn, "generation", "", string(from), string(to))
			if want := from == to || from.CanMove(to); (err == nil) != want {
				t.Errorf("generation %s → %s: %v, want allowed %v", from, to, err, want)
			}
		}
	}
	_, err := conn.Exec(t.Context(), "INSERT INTO promotion VALUES ('shop', 1, 1, NULL, 'shifting', '', '', 1, now(), NULL)")
	w.must(err)
	for from := range rollout.PromotionMoves {
		for to := range rollout.PromotionMoves {
			end := ", ended_at = now()"
			if to.Open() {
				end = ", ended_at = NULL"
			}
			err := tryMove(t, conn, "promotion", end, string(from), string(to))
			if want := from == to || from.CanMove(to); (err == nil) != want {
				t.Errorf("promotion %s → %s: %v, want allowed %v", from, to, err, want)
			}
		}
	}
}

func pairs[S ~string](moves map[S][]S) (out []string) {
	for from, all := range moves {
		for _, to := range all {
			out = append(out, string(from)+" "+string(to))
		}
	}
	slices.Sort(out)
	return out
}

// tryMove sets the only row to a state with triggers off, tries the move with triggers on, and takes it all back.
func tryMove(t *testing.T, conn *pgx.Conn, table, end, from, to string) error {
	t.Helper()
	tx := must(conn.Begin(t.Context()))
	defer func() { _ = tx.Rollback(t.Context()) }()
	ended := ""
	if table == "promotion" {
		ended = ", ended_at = CASE WHEN $1 IN ('shifting', 'paused', 'baking') THEN NULL ELSE now() END"
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL session_replication_role = replica"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "UPDATE "+table+" SET state = $1::text"+strings.ReplaceAll(ended, "$1", "$1::text"), from); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SET LOCAL session_replication_role = origin"); err != nil {
		t.Fatal(err)
	}
	_, err := tx.Exec(t.Context(), "UPDATE "+table+" SET state = $1"+end, to)
	return err
}
