package store_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
)

// guardian is a trigger or constraint of the schema, with the statement that takes it away.
type guardian struct{ name, drop string }

// besides are those whose loss no attack can notice by itself, with the reason.
var besides = map[string]string{
	"environment_activation on environment": "it writes the history of who was live, which activation_of_live then wants",
	"generation_state on generation":        "generation_begin and generation_move let no other state come to be",
	"promotion_state on promotion":          "promotion_begin, promotion_ended and promotion_move let no other state come to be",
	"event_hash on event":                   "the hash is compared with that of the chain",
	"event_id on event":                     "event_place compares it with the counter",
	"event_position on event":               "event_place compares it with the length of the chain",
}

// TestSchema_EveryGuardIsAttacked takes each trigger and each constraint away, in a transaction that is rolled back, and
// looks whether an attack ends in another way then: a guard whose loss no attack notices is not tested.
func TestSchema_EveryGuardIsAttacked(t *testing.T) {
	t.Parallel()
	left := map[guardian]bool{}
	for i, g := range slices.Concat(guards, valueGuards) {
		w := guarded(t, g)
		conn := w.raw()
		if i == 0 {
			for _, one := range guardians(t, conn) {
				left[one] = true
			}
		}
		for _, one := range slices.Collect(maps.Keys(left)) {
			if slices.ContainsFunc(g.attacks, func(a attack) bool { return a.constraint != "" && notices(t, conn, one, a) }) {
				delete(left, one)
			}
		}
	}
	unnoticed := map[string]bool{}
	for one := range left {
		unnoticed[one.name] = true
		if besides[one.name] == "" {
			t.Errorf("no attack notices that %s is gone", one.name)
		}
	}
	for name := range besides {
		if !unnoticed[name] {
			t.Errorf("%s is attacked, or is not there any more: it is no exception", name)
		}
	}
}

func guardians(t *testing.T, conn *pgx.Conn) []guardian {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT tgname || ' on ' || tgrelid::regclass, format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)
			FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT conname || ' on ' || conrelid::regclass, format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname)
			FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND contype IN ('c', 'x')
		UNION ALL SELECT indexrelid::regclass || ' on ' || indrelid::regclass, format('DROP INDEX %s', indexrelid::regclass)
			FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE indisunique AND indpred IS NOT NULL AND relnamespace = 'public'::regnamespace
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (g guardian, err error) {
		err = row.Scan(&g.name, &g.drop)
		return g, err
	})
	if err != nil || len(all) < 20 {
		t.Fatalf("%d guards: %v", len(all), err)
	}
	return all
}

// notices says whether the attack is not refused as it should be when the guard is gone.
func notices(t *testing.T, conn *pgx.Conn, g guardian, a attack) bool {
	t.Helper()
	for _, sql := range []string{"BEGIN", g.drop} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", sql, err))
		}
	}
	_, err := conn.Exec(t.Context(), a.sql)
	if err == nil {
		_, err = conn.Exec(t.Context(), "SET CONSTRAINTS ALL IMMEDIATE")
	}
	if _, end := conn.Exec(t.Context(), "ROLLBACK"); end != nil {
		t.Fatal(end)
	}
	return constraint(err) != a.constraint
}
