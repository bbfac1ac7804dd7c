package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"viridian/rollout"
	"viridian/store"
)

const (
	setGeneration = "UPDATE generation SET state_changed_at = now(), "
	newSwitch     = `INSERT INTO switch (environment, revision, kind, status, degraded, weights, actor, reason, warnings, committed_at) `
)

// attacks are statements of the tables' owner on the environment of world.shop, each with what must refuse it.
var attacks = []struct{ sql, constraint string }{
	// Revisions and routes.
	{"UPDATE environment SET revision = 0, version = version + 1", "environment_counters"},
	{"UPDATE environment SET last_number = 1, version = version + 1", "environment_counters"},
	{"UPDATE environment SET last_promotion = 0, version = version + 1", "environment_counters"},
	{"UPDATE environment SET spec_version = 0, version = version + 1", "environment_counters"},
	{"UPDATE environment SET reason = ''", ""},
	{"UPDATE environment SET revision = 2", "environment_counters"},
	{"UPDATE environment SET revision = 2, version = version + 1", "route_without_switch"},
	{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now())`, "switch_above_revision"},
	{newSwitch + `VALUES ('shop', 3, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now());
		UPDATE environment SET revision = 3, version = version + 1`, "revision_skipped"},
	{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{}', '', '', '{}', now());
		UPDATE environment SET revision = 2, version = version + 1`, "route_differs_from_switch"},
	{`UPDATE environment SET weights = '{"1": 90, "2": 10}', version = version + 1`, "route_differs_from_switch"},
	{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 90, "2": 10}', '', '', '{}', now());
		UPDATE environment SET revision = 2, weights = '{"1": 90, "2": 10}', version = version + 1`, "route_weight"},
	{"UPDATE environment SET live = 2, version = version + 1", "route_live"},
	{"UPDATE environment SET live = NULL, version = version + 1", "route_live"},
	{"UPDATE environment SET live = 9, version = version + 1", "environment_live_fkey"},
	{"UPDATE environment SET previous = 9, version = version + 1", "environment_previous_fkey"},
	{"UPDATE environment SET previous = 1, version = version + 1", "environment_previous"},
	{"UPDATE environment SET previous = 2, version = version + 1", "route_previous"},
	{"UPDATE environment SET name = 'b', version = version + 1", "environment_counters"},
	{"UPDATE environment SET deleted_at = now(), version = version + 1", "environment_deleted"},
	{"DELETE FROM environment", "environment_kept"},
	{"TRUNCATE environment CASCADE", ""},
	{"UPDATE spec_version SET spec = '{}'", "spec_version_immutable"},
	{"DELETE FROM spec_version", "spec_version_immutable"},
	// Weights.
	{`UPDATE environment SET weights = '{"1": 99}', version = version + 1`, "environment_weights"},
	{`UPDATE environment SET weights = '{"1": 101, "2": -1}', version = version + 1`, "environment_weights"},
	{`UPDATE environment SET weights = '{"1": 99.5, "2": 0.5}', version = version + 1`, "environment_weights"},
	{`UPDATE environment SET weights = '{"1": "100"}', version = version + 1`, "environment_weights"},
	{`UPDATE environment SET weights = '{"one": 100}', version = version + 1`, "environment_weights"},
	{`UPDATE environment SET weights = '{"01": 100}', version = version + 1`, "environment_weights"},
	{`UPDATE environment SET weights = '[100]', version = version + 1`, "environment_weights"},
	{`UPDATE environment SET weights = '{"1": null}', version = version + 1`, "environment_weights"},
	{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 1}', '', '', '{}', now())`, "switch_weights"},
	// Generations and instances.
	{setGeneration + "state = 'live' WHERE number = 2", "generation_one_live"},
	{setGeneration + "state = 'standby' WHERE number = 1", "route_live"},
	{setGeneration + "state = 'retired' WHERE number = 1", "generation_move"},
	{setGeneration + "state = 'gone' WHERE number = 1", "generation_move"},
	{setGeneration + "version = '2' WHERE number = 1", "generation_immutable"},
	{setGeneration + "metadata = '{\"a\": \"b\"}' WHERE number = 1", "generation_immutable"},
	{setGeneration + "artifact = '{}' WHERE number = 1", "generation_immutable"},
	{setGeneration + "sizes = '{\"web\": 3}' WHERE number = 1", "generation_immutable"},
	{setGeneration + "colour = 'green' WHERE number = 1", "generation_immutable"},
	{setGeneration + "created_at = now() WHERE number = 1", "generation_immutable"},
	{setGeneration + "created_by = 'me' WHERE number = 1", "generation_immutable"},
	{setGeneration + "number = 7 WHERE number = 1", "generation_immutable"},
	{"DELETE FROM generation WHERE number = 2", "generation_immutable"},
	{"INSERT INTO generation SELECT environment, 3, version, artifact, metadata, sizes, colour, created_at, created_by, 'ready', state_changed_at, reason, promote, waiting, announced, checked, keep_until, unweighted_revision, quiet_at, succeeded FROM generation WHERE number = 2", "generation_begin"},
	{"UPDATE instance SET port = 90", "instance_immutable"},
	{"DELETE FROM instance", "instance_immutable"},
	{"TRUNCATE instance", "instance_immutable"},
	{"INSERT INTO instance VALUES ('shop', 1, 'web', 9, 'x', '10.0.0.9', 80, '{}')", "instance_immutable"},
	{"INSERT INTO instance VALUES ('shop', 9, 'web', 9, 'x', '10.0.0.9', 80, '{}')", "instance_environment_number_fkey"},
	{"INSERT INTO instance VALUES ('shop', 1, 'web', 9, 'x', '10.0.0.9', 0, '{}')", "instance_port"},
	{"INSERT INTO instance VALUES ('shop', 1, 'web', 9, 'x', '10.0.0.9', 70000, '{}')", "instance_port"},
	{"INSERT INTO instance_claim VALUES ('10.0.0.1', 80, 'shop', 2)", "instance_claim_pkey"},
	{"INSERT INTO host_claim VALUES ('shop.localhost', 'shop')", "host_claim_pkey"},
	// Promotions and switches.
	{"UPDATE promotion SET state = 'baking', ended_at = NULL", "promotion_move"},
	{"UPDATE promotion SET ended_at = NULL", "promotion_ended"},
	{"UPDATE promotion SET generation = 2", "promotion_immutable"},
	{"UPDATE promotion SET revision = 0", "promotion_immutable"},
	{"DELETE FROM promotion", "promotion_immutable"},
	{"INSERT INTO promotion VALUES ('shop', 2, 2, 1, 'succeeded', '', '', 2, now(), now())", "promotion_begin"},
	{"INSERT INTO promotion VALUES ('shop', 2, 2, 1, 'baking', '', '', 2, now(), NULL), ('shop', 3, 2, 1, 'baking', '', '', 2, now(), NULL)", "promotion_one_open"},
	{"INSERT INTO promotion VALUES ('shop', 2, 2, 1, 'done', '', '', 2, now(), NULL)", "promotion_ended"},
	{"UPDATE switch SET weights = '{}'", "switch_immutable"},
	{"UPDATE switch SET kind = 'rollback'", "switch_immutable"},
	{"UPDATE switch SET actor = 'me'", "switch_immutable"},
	{"UPDATE switch SET status = 'committed', applied_at = NULL", "switch_immutable"},
	{"UPDATE switch SET applied_at = now()", "switch_immutable"},
	{"UPDATE switch SET revision = 7", "switch_immutable"},
	{"DELETE FROM switch", "switch_immutable"},
	{newSwitch + `VALUES ('shop', 2, 'whim', 'committed', false, '{"1": 100}', '', '', '{}', now())`, "switch_kind"},
	{newSwitch + `VALUES ('shop', 2, 'manual', 'applied', false, '{"1": 100}', '', '', '{}', now())`, "switch_applied"},
	// What is known of the world.
	{"UPDATE receipt SET revision = 0", "receipt_never_back"},
	{"UPDATE receipt SET grade = 'good'", "receipt_grade"},
	{"UPDATE reading SET healthy = 3", "reading_counts"},
	{"UPDATE reading SET healthy = -1", "reading_counts"},
	{"UPDATE node SET changes = changes - 1", "node_counters"},
	{"DELETE FROM node", "node_kept"},
	{"UPDATE lease SET holder = 'other'", "lease_term_grows"},
	{"UPDATE lease SET term = -1", "lease_term_grows"},
	{"DELETE FROM lease", "lease_term_grows"},
	// The audit log.
	{"UPDATE event SET actor = 'nobody' WHERE id = 1", "event_append_only"},
	{"DELETE FROM event WHERE id = 1", "event_append_only"},
	{"TRUNCATE event", "event_append_only"},
	{"UPDATE event_counter SET last = last - 1", "event_append_only"},
	{"DELETE FROM event_counter", "event_append_only"},
	{"INSERT INTO event_counter VALUES (false, 1)", "event_counter_one"},
	{"UPDATE event_chain SET length = length - 1", "event_append_only"},
	{"DELETE FROM event_chain", "event_append_only"},
	{"INSERT INTO event SELECT id + 1000, environment, position, kind, actor, at, revision, generation, data, prev_hash, hash FROM event WHERE id = 1", "event_chain_position"},
	{"INSERT INTO event SELECT id + 1000, environment, position + 1000, kind, actor, at, revision, generation, data, prev_hash, hash FROM event WHERE id = 1", "event_chain_link"},
	// Access.
	{"INSERT INTO idempotency (caller, key, body_hash, created_at) VALUES ('1', 'k', '', now())", "idempotency_body_hash"},
	{"UPDATE idempotency SET answer = '{}'", "idempotency_write_once"},
	{"UPDATE idempotency SET created_at = now()", "idempotency_write_once"},
	{"UPDATE token SET role = 'viewer'", "token_immutable"},
	{"UPDATE token SET hash = sha256('x')", "token_immutable"},
	{"DELETE FROM token", "token_immutable"},
	{"INSERT INTO token VALUES ('9', 'n', 'king', '{*}', sha256('x'), now(), '')", "token_role"},
	{"INSERT INTO token VALUES ('9', 'n', 'admin', '{}', sha256('x'), now(), '')", "token_environments"},
	{"INSERT INTO token VALUES ('9', 'n', 'admin', '{*}', 'x', now(), '')", "token_hash"},
	{"SELECT expect_one(0, 'x')", "expect_one"},
	{"SELECT expect_one(2, 'x')", "expect_one"},
}

func TestSchema_RefusesWhatMustNotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	_, _, err := w.CreateToken(t.Context(), store.NewToken{Actor: alice, ID: "a", Name: "a", Role: "admin", Environments: []string{"*"}, Hash: make([]byte, 32)}, nil)
	w.must(err)
	before := dump(t, w)
	conn := w.raw()
	for _, attack := range attacks {
		_, err := conn.Exec(t.Context(), attack.sql)
		switch {
		case err == nil:
			t.Fatalf("%s: it was done", attack.sql)
		case attack.constraint != "" && !strings.Contains(fmt.Sprintf("%+v", constraint(err)), attack.constraint):
			t.Errorf("%s: refused by %q (%v), want %q", attack.sql, constraint(err), err, attack.constraint)
		}
	}
	if diff := cmp.Diff(before, dump(t, w)); diff != "" {
		t.Errorf("refused statements changed the database:\n%s", diff)
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
