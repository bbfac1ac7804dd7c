package store_test

import (
	"fmt"
	"time"

	"viridian/rollout"
	"viridian/store"
)

const (
	setGeneration = "UPDATE generation SET state_changed_at = now(), "
	newSwitch     = `INSERT INTO switch (environment, revision, kind, status, degraded, weights, actor, reason, warnings, committed_at) `
	newEvent      = `INSERT INTO event (id, environment, position, kind, actor, at, revision, generation, data, prev_hash, hash) `
)

// guards are the invariants that the schema keeps by itself.
var guards = []guard{
	{name: "S1 a revision grows by one and is one switch", attacks: []attack{
		{"UPDATE environment SET revision = 0, version = version + 1", "environment_counters"},
		{"UPDATE environment SET revision = NULL, version = version + 1", ""},
		{"UPDATE environment SET revision = 2", "environment_counters"},
		{"UPDATE environment SET revision = 2, version = version + 1", "route_without_switch"},
		{newSwitch + `VALUES ('shop', 1, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now())`, "switch_pkey"},
		{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now())`, "switch_above_revision"},
		{newSwitch + `VALUES ('shop', 3, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now());
			UPDATE environment SET revision = 3, version = version + 1`, "revision_skipped"},
		{newSwitch + `VALUES ('shop', 3, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now());
			UPDATE environment SET revision = 2, version = version + 1; UPDATE environment SET revision = 3, version = version + 1`, "revision_passed_over"},
		{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now()), ('shop', 3, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now());
			UPDATE environment SET revision = 2, version = version + 1; UPDATE environment SET revision = 3, version = version + 1`, "switch_in_the_past"},
		{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{}', '', '', '{}', now());
			UPDATE environment SET revision = 2, version = version + 1`, "route_differs_from_switch"},
		{`UPDATE environment SET weights = '{"1": 90, "2": 10}', version = version + 1`, "route_differs_from_switch"},
		{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 90, "2": 10}', '', '', '{}', now());
			UPDATE environment SET revision = 2, weights = '{"1": 90, "2": 10}', version = version + 1`, "route_weight"},
		{"UPDATE environment SET live = NULL, version = version + 1", "live_without_switch"},
		{"UPDATE environment SET live = 2, version = version + 1; " + setGeneration + "state = 'standby' WHERE number = 1; " +
			setGeneration + "state = 'live' WHERE number = 2", "live_without_switch"},
	}},
	{name: "S1 only a recover switch skips", prepare: func(w *world) {
		// This is allowed, and leaves numbers that are never used.
		_, err := w.raw().Exec(w.Context(), newSwitch+`VALUES ('shop', 10, 'recover', 'committed', false, '{"1": 100}', '', '', '{}', now());
			UPDATE environment SET revision = 10, version = version + 1`)
		w.must(err)
	}, attacks: []attack{
		{newSwitch + `VALUES ('shop', 5, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now())`, "switch_in_the_past"},
		{newSwitch + `VALUES ('shop', 5, 'recover', 'committed', false, '{"1": 100}', '', '', '{}', now()); UPDATE environment SET version = version + 1`, "switch_in_the_past"},
		{"UPDATE environment SET revision = 5, version = version + 1", "environment_counters"},
		{newSwitch + `VALUES ('shop', 12, 'heal', 'committed', false, '{"1": 100}', '', '', '{}', now());
			UPDATE environment SET revision = 12, version = version + 1`, "revision_skipped"},
	}},
	{name: "S2 live and previous are generations of the environment", prepare: func(w *world) {
		w.do("other", create("other", spec(w, webSpec)))
	}, attacks: []attack{
		{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now());
			UPDATE environment SET live = 9, revision = 2, version = version + 1 WHERE name = 'shop'`, "environment_live_fkey"},
		{newSwitch + `VALUES ('other', 1, 'manual', 'committed', false, '{}', '', '', '{}', now());
			UPDATE environment SET live = 1, revision = 1, version = version + 1 WHERE name = 'other'`, "environment_live_fkey"},
		{"UPDATE environment SET previous = 9, version = version + 1 WHERE name = 'shop'", "environment_previous_fkey"},
		{"UPDATE environment SET previous = 2, version = version + 1 WHERE name = 'other'", "environment_previous_fkey"},
		{"UPDATE environment SET previous = 1, version = version + 1 WHERE name = 'shop'", "environment_previous"},
		{"INSERT INTO instance VALUES ('shop', 9, 'web', 9, 'x', '10.0.0.9', 80, '{}')", "instance_environment_number_fkey"},
	}},
	{name: "S3 one live generation, one open promotion", attacks: []attack{
		{setGeneration + "state = 'live' WHERE number = 2", "generation_one_live"},
		{"INSERT INTO promotion VALUES ('shop', 2, 2, 1, 'baking', '', '', 2, now(), NULL), ('shop', 3, 2, 1, 'baking', '', '', 2, now(), NULL)", "promotion_one_open"},
		{"INSERT INTO promotion VALUES ('shop', 2, 2, 1, 'paused', '', '', 2, now(), NULL), ('shop', 3, 2, 1, 'shifting', '', '', 2, now(), NULL)", "promotion_one_open"},
		{"INSERT INTO instance_claim VALUES ('10.0.0.1', 80, 'shop', 2)", "instance_claim_pkey"},
		{"INSERT INTO host_claim VALUES ('shop.localhost', 'shop')", "host_claim_pkey"},
	}},
	{name: "S4 never two live at once, in history either", prepare: func(w *world) {
		w.do("shop", promote(2))
		w.apply("shop")
	}, attacks: []attack{
		{"INSERT INTO activation VALUES ('shop', 3, 1, '[now,)')", "activation_history"},
		{"INSERT INTO activation VALUES ('shop', 1, 1, '[2020-01-01, 2020-01-02)')", "activation_history"},
		{"UPDATE activation SET during = '[2020-01-01,)' WHERE revision = 1", "activation_history"},
		{"UPDATE activation SET during = tstzrange(lower(during), now()) WHERE revision = 1", "activation_history"},
		{"UPDATE activation SET during = tstzrange(lower(during), lower(during)) WHERE revision = 2", "activation_history"},
		{"UPDATE activation SET during = tstzrange(lower(during), now()) WHERE revision = 2", "activation_of_live"},
		{"UPDATE activation SET generation = 1 WHERE revision = 2", "activation_history"},
		{"UPDATE activation SET revision = 7 WHERE revision = 2", "activation_history"},
		{"DELETE FROM activation", "activation_history"},
		{"TRUNCATE activation", "activation_history"},
		{`ALTER TABLE activation DISABLE TRIGGER activation_guard; INSERT INTO activation VALUES ('shop', 3, 1, '[now,)')`, "activation_one_live"},
		{`ALTER TABLE activation DISABLE TRIGGER activation_guard; UPDATE activation SET during = tstzrange(lower(during), NULL)`, "activation_one_live"},
		{`ALTER TABLE activation DISABLE TRIGGER activation_guard; UPDATE activation SET during = tstzrange(lower(during), now() + '1 h') WHERE revision = 1`, "activation_one_live"},
		{`ALTER TABLE activation DISABLE TRIGGER activation_guard; UPDATE activation SET during = 'empty' WHERE revision = 1`, "activation_during"},
		{`ALTER TABLE activation DISABLE TRIGGER activation_guard; UPDATE activation SET revision = 9 WHERE revision = 1`, "activation_environment_revision_fkey"},
	}},
	{name: "S5 what was declared never changes", attacks: []attack{
		{"UPDATE environment SET name = 'b', version = version + 1", "environment_counters"},
		{"UPDATE environment SET last_number = 1, version = version + 1", "environment_counters"},
		{"UPDATE environment SET last_promotion = 0, version = version + 1", "environment_counters"},
		{"UPDATE environment SET spec_version = 0, version = version + 1", "environment_counters"},
		{"DELETE FROM environment", "environment_kept"},
		{"TRUNCATE environment CASCADE", ""},
		{"UPDATE spec_version SET spec = '{}'", "spec_version_immutable"},
		{"DELETE FROM spec_version", "spec_version_immutable"},
		{"TRUNCATE spec_version", "spec_version_immutable"},
		{setGeneration + "version = '2' WHERE number = 1", "generation_immutable"},
		{setGeneration + "metadata = '{\"a\": \"b\"}' WHERE number = 1", "generation_immutable"},
		{setGeneration + "artifact = '{}' WHERE number = 1", "generation_immutable"},
		{setGeneration + "sizes = '{\"web\": 3}' WHERE number = 1", "generation_immutable"},
		{setGeneration + "colour = 'green' WHERE number = 1", "generation_immutable"},
		{setGeneration + "created_at = now() WHERE number = 1", "generation_immutable"},
		{setGeneration + "created_by = 'me' WHERE number = 1", "generation_immutable"},
		{setGeneration + "number = 7 WHERE number = 1", "generation_immutable"},
		{"DELETE FROM generation WHERE number = 2", "generation_immutable"},
		{"UPDATE instance SET port = 90", "instance_immutable"},
		{"DELETE FROM instance", "instance_immutable"},
		{"TRUNCATE instance", "instance_immutable"},
		{"INSERT INTO instance VALUES ('shop', 1, 'web', 9, 'x', '10.0.0.9', 80, '{}')", "instance_immutable"},
		{setGeneration + "reason = 'mine' WHERE number = 1; INSERT INTO instance VALUES ('shop', 1, 'web', 9, 'x', '10.0.0.9', 80, '{}')", "instance_immutable"},
		{setGeneration + `adopts = '{"web": {}}'`, "generation_immutable"},
		{setGeneration + "adopted = true", "generation_immutable"},
		{"UPDATE promotion SET generation = 2", "promotion_immutable"},
		{"UPDATE promotion SET actor = 'me'", "promotion_immutable"},
		{"UPDATE promotion SET revision = 0", "promotion_immutable"},
		{"DELETE FROM promotion", "promotion_immutable"},
		{"UPDATE switch SET weights = '{}'", "switch_immutable"},
		{"UPDATE switch SET kind = 'rollback'", "switch_immutable"},
		{"UPDATE switch SET actor = 'me'", "switch_immutable"},
		{"UPDATE switch SET reason = 'none'", "switch_immutable"},
		{"UPDATE switch SET status = 'committed', applied_at = NULL", "switch_immutable"},
		{"UPDATE switch SET applied_at = now()", "switch_immutable"},
		{"UPDATE switch SET revision = 7", "switch_immutable"},
		{"DELETE FROM switch", "switch_immutable"},
		{"UPDATE token SET role = 'viewer'", "token_immutable"},
		{"UPDATE token SET environments = '{*}'", "token_immutable"},
		{"UPDATE token SET hash = sha256('x')", "token_immutable"},
		{"DELETE FROM token", "token_immutable"},
	}},
	{name: "S6 what is retired is neither live nor previous", prepare: func(w *world) {
		w.do("shop", promote(2)) // 2 live, 1 previous
		w.apply("shop")
		w.ready("shop", "10.0.0.3", 80, 81)
		_, err := w.raw().Exec(w.Context(), setGeneration+"state = 'retiring' WHERE number = 3; "+setGeneration+"state = 'retired' WHERE number = 3")
		w.must(err)
	}, attacks: []attack{
		{setGeneration + "state = 'retired' WHERE number = 2", "generation_move"},
		{setGeneration + "state = 'rejected' WHERE number = 2", "route_live"},
		{setGeneration + "state = 'standby' WHERE number = 2", "route_live"},
		{setGeneration + "state = 'rejected' WHERE number = 2; " + setGeneration + "state = 'retiring' WHERE number = 2; " + setGeneration + "state = 'retired' WHERE number = 2", "route_live"},
		{setGeneration + "state = 'retiring' WHERE number = 1", "route_previous"},
		{setGeneration + "state = 'retiring' WHERE number = 1; " + setGeneration + "state = 'retired' WHERE number = 1", "route_previous"},
		{"UPDATE environment SET previous = 3, version = version + 1", "route_previous"},
		{newSwitch + `VALUES ('shop', 3, 'manual', 'committed', false, '{"3": 100}', '', '', '{}', now());
			UPDATE environment SET live = 3, revision = 3, weights = '{"3": 100}', version = version + 1`, "route_live"},
		{setGeneration + "state = 'live' WHERE number = 3", "generation_move"},
		{setGeneration + "state = 'validating' WHERE number = 3", "generation_move"},
		{"INSERT INTO generation_move VALUES ('retired', 'ready'); " + setGeneration + "state = 'ready' WHERE number = 3", "generation_retired"},
		{"INSERT INTO generation SELECT environment, 4, version, artifact, metadata, sizes, colour, created_at, created_by, 'ready', state_changed_at, reason, promote, waiting, announced, checked, keep_until, unweighted_revision, quiet_at, succeeded FROM generation WHERE number = 2", "generation_begin"},
	}},
	// A node may be ahead of the database, which was restored from a copy then: that is recorded and is no confirmation.
	{name: "S7 what a node confirmed never falls", prepare: func(w *world) {
		w.do("shop", promote(2))
		w.apply("shop")
		for _, sql := range []string{
			"UPDATE receipt SET revision = 7",                      // ahead
			"UPDATE receipt SET revision = 1, grade = 'read_back'", // read without its fence
			"UPDATE receipt SET revision = 0, grade = 'read_back'", // read again
			"INSERT INTO receipt SELECT environment, router, 'read', incarnation, 3, spec_version, hash, weights, in_flight, at, 'read_back', error FROM receipt",
			"UPDATE receipt SET revision = 2 WHERE node = 'read'",
		} {
			_, err := w.raw().Exec(w.Context(), sql)
			w.must(err)
		}
	}, attacks: []attack{
		{"UPDATE receipt SET revision = 6, grade = 'fenced' WHERE node <> 'read'", "receipt_confirmed"},
		{"UPDATE receipt SET revision = 1, grade = 'fenced' WHERE node = 'read'", "receipt_never_back"},
		{"UPDATE receipt SET confirmed = 0, revision = 6, grade = 'fenced' WHERE node <> 'read'", "receipt_confirmed"},
		{"UPDATE receipt SET revision = -1", "receipt_revision"},
		{"UPDATE receipt SET grade = 'good'", "receipt_grade"},
		{"DELETE FROM receipt", "receipt_kept"},
		{"TRUNCATE receipt", "receipt_kept"},
		{"DELETE FROM node", "node_kept"},
		{"UPDATE node SET changes = changes - 1", "node_counters"},
		{"UPDATE node SET name = 'other'", "node_counters"},
	}},
	{name: "S8 a key is answered once", prepare: func(w *world) {
		w.must(w.SaveResponse(w.Context(), *keyed("token", ""), 201, []byte("{}")))
	}, attacks: []attack{
		{"INSERT INTO idempotency SELECT * FROM idempotency", "idempotency_pkey"},
		{"INSERT INTO idempotency (caller, key, created_at) VALUES ('1', 'k', now())", ""},
		{"INSERT INTO idempotency (caller, key, body_hash, created_at) VALUES ('1', 'k', '', now())", "idempotency_body_hash"},
		{"INSERT INTO idempotency (caller, key, body_hash, created_at) VALUES ('1', 'k', sha256('x'), now() - interval '23 h')", "idempotency_time"},
		{"INSERT INTO idempotency (caller, key, body_hash, created_at) VALUES ('1', 'k', sha256('x'), 'infinity')", "idempotency_time"},
		{"UPDATE idempotency SET answer = '{}'", "idempotency_write_once"},
		{"UPDATE idempotency SET answer = NULL", "idempotency_write_once"},
		{"UPDATE idempotency SET body_hash = sha256('x')", "idempotency_write_once"},
		{"UPDATE idempotency SET status = 500 WHERE caller = 'ci'", "idempotency_write_once"},
		{"UPDATE idempotency SET response = 'x' WHERE caller = 'ci'", "idempotency_write_once"},
		{"UPDATE idempotency SET status = NULL, response = NULL WHERE caller = 'ci'", "idempotency_write_once"},
		{"UPDATE idempotency SET status = 200 WHERE caller <> 'ci'", "idempotency_answered"},
		{"UPDATE idempotency SET created_at = now() - interval '25 h'", "idempotency_time"},
		{"UPDATE idempotency SET created_at = now()", "idempotency_write_once"},
		{"UPDATE idempotency SET key = 'other'", "idempotency_write_once"},
		{"DELETE FROM idempotency", "idempotency_write_once"},
		{"DELETE FROM idempotency WHERE caller = '~store'", "idempotency_write_once"},
		{"TRUNCATE idempotency", "idempotency_write_once"},
	}},
	// S9, at most one automatic rollback for a promotion and one decision for an alert, has nothing to guard yet: see
	// TestSchema_NothingDecidesOnAlerts.
	{name: "S10 the audit log has no gaps, and every event its hash", attacks: []attack{
		{"UPDATE event SET actor = 'nobody' WHERE id = 1", "event_append_only"},
		{"UPDATE event SET hash = prev_hash", "event_append_only"},
		{"DELETE FROM event WHERE id = 1", "event_append_only"},
		{"DELETE FROM event WHERE position = (SELECT max(position) FROM event)", "event_append_only"},
		{"TRUNCATE event", "event_append_only"},
		{"UPDATE event_counter SET last = last - 1", "event_append_only"},
		{"UPDATE event_counter SET last = last + 1", "event_counted"},
		{"DELETE FROM event_counter", "event_append_only"},
		{"INSERT INTO event_counter VALUES (false, 1)", "event_counter_one"},
		{"UPDATE event_chain SET length = length - 1", "event_append_only"},
		{"UPDATE event_chain SET length = length + 1", "event_chained"},
		{"UPDATE event_chain SET environment = 'x', length = length + 1", "event_append_only"},
		{"DELETE FROM event_chain", "event_append_only"},
		{"INSERT INTO event_chain VALUES ('x', 1, 'x')", "event_chained"},
		{"INSERT INTO event_chain VALUES ('x', 0, 'x')", "event_chained"},
		{newEvent + "SELECT id + 1000, environment, position, kind, actor, at, revision, generation, data, prev_hash, hash FROM event WHERE id = 1", "event_chain_position"},
		{newEvent + "SELECT id + 1000, environment, position + 1000, kind, actor, at, revision, generation, data, prev_hash, hash FROM event WHERE id = 1", "event_chain_link"},
		{newEvent + "SELECT id + 1000, 'none', position, kind, actor, at, revision, generation, data, prev_hash, hash FROM event WHERE id = 1", "event_place"},
		{next(1, "length + 1", "head", right), "event_place"},                                                // not counted, and not in the chain
		{"UPDATE event_counter SET last = last + 1; " + next(0, "length + 1", "head", right), "event_place"}, // not in the chain
		{extend(right) + next(1, "length", "before", right), "event_place"},                                  // with a number that was not given
		{"UPDATE event_counter SET last = last + 1; " + extend(wrong) + next(0, "length", "before", wrong), "event_chained"},
		{"UPDATE event_counter SET last = last + 1; " + extend(right) + next(0, "length", "sha256('x')", right), ""},
		{"UPDATE event_counter SET last = last + 2; " + extend(right) + next(0, "length", "before", right), "event_counted"},
		{"INSERT INTO event_anchor VALUES ('shop', 3, 3, now(), 'x', now())", "event_anchor"},
		{"INSERT INTO event_anchor SELECT environment, position, id, at, hash, now() FROM event WHERE environment = 'shop' AND position = 3", "event_anchor"},
		{"SELECT prune_events('shop', 3)", "event_anchor"},
		{"SELECT prune_events('shop', (SELECT length FROM event_chain WHERE environment = 'shop'))", "event_anchor"},
	}},
	{name: "S10 pruning is recorded, and spares what is young and what is last", prepare: func(w *world) {
		w.do("old", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
			return create("old", spec(w, webSpec))(e, now.Add(-90*day))
		})
		w.longAgo("old", 3, 80*day)
		w.longAgo("old", 3, 20*day)
		w.do("dead", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
			return create("dead", spec(w, webSpec))(e, now.Add(-90*day))
		})
	}, attacks: []attack{
		{"SELECT prune_events('old', 8)", "event_anchor"},  // younger than a month
		{"SELECT prune_events('dead', 1)", "event_anchor"}, // the last one
		{"SELECT prune_events('none', 1); DELETE FROM event WHERE id = 1", "event_append_only"},
		{"SELECT prune_events('old', 4)", "event_anchor"}, // and nothing in the chain that says so
		{"INSERT INTO event_anchor SELECT environment, position, id, at, hash, now() FROM event WHERE environment = 'old' AND position = 4", "event_anchor"},
		{"INSERT INTO event_anchor SELECT environment, position, id, at, 'x', now() FROM event WHERE environment = 'old' AND position = 4", "event_anchor"},
		{"INSERT INTO event_anchor SELECT environment, position, id, at, hash, now() FROM event WHERE environment = 'old' AND position = 4; DELETE FROM event WHERE environment = 'old' AND position <= 5", "event_append_only"},
		{"INSERT INTO event_anchor SELECT environment, position, id, at, hash, now() FROM event WHERE environment = 'old' AND position = 4; DELETE FROM event WHERE environment = 'dead'", "event_append_only"},
		{"INSERT INTO event_anchor SELECT environment, position, id, at, hash, now() FROM event WHERE environment = 'old' AND position = 4; DELETE FROM event WHERE environment = 'old' AND position <= 4", "event_anchor"},
	}},
	{name: "S10 an anchor stays", prepare: func(w *world) {
		w.do("old", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
			return create("old", spec(w, webSpec))(e, now.Add(-90*day))
		})
		w.longAgo("old", 3, 80*day)
		w.longAgo("old", 1, 0)
		w.must(w.open(func(o *store.Options) { o.AuditKeep = 60 * day }).Prune(w.Context()))
	}, attacks: []attack{
		{"UPDATE event_anchor SET position = 6", "event_anchor"},
		{"UPDATE event_anchor SET hash = ''", "event_anchor"},
		{"UPDATE event_anchor SET pruned_at = now()", "event_anchor"},
		{"DELETE FROM event_anchor", "event_anchor"},
		{"TRUNCATE event_anchor", "event_anchor"},
		{newEvent + `SELECT event, environment, position, 'k', 'a', at, 0, 0, '{}', 'x', event_hash('x', environment, position, 'k', 'a', at, 0, 0, '{}') FROM event_anchor`, "event_place"},
		{newEvent + `SELECT event, '', 1, 'k', 'a', at, 0, 0, '{}', '', event_hash('', '', 1, 'k', 'a', at, 0, 0, '{}') FROM event_anchor`, ""},
	}},
	{name: "S11 the term of a lease only grows", prepare: func(w *world) {
		_, err := w.ClaimLeases(w.Context(), "holder", time.Hour)
		w.must(err)
		w.do("over", create("over", spec(w, webSpec)))
		_, err = w.ClaimLeases(w.Context(), "other", time.Microsecond)
		w.must(err)
	}, attacks: []attack{
		{"UPDATE lease SET holder = 'other' WHERE environment = 'shop'", "lease_term_grows"},
		{"UPDATE lease SET holder = 'other', term = term + 1 WHERE environment = 'shop'", "lease_held"},
		{"UPDATE lease SET term = -1", "lease_term_grows"},
		{"UPDATE lease SET term = term - 1 WHERE environment = 'shop'", "lease_term_grows"},
		{"UPDATE lease SET expires_at = now() + interval '1 h' WHERE environment = 'over'", "lease_over"},
		{"UPDATE lease SET holder = 'holder', expires_at = now() + interval '1 h' WHERE environment = 'over'", "lease_term_grows"},
		{"DELETE FROM lease", "lease_term_grows"},
		{"TRUNCATE lease", "lease_term_grows"},
	}},
	{name: "values are what they mean", attacks: []attack{
		{"UPDATE environment SET reason = ''", ""},
		{"UPDATE environment SET deleted_at = now(), version = version + 1", "environment_deleted"},
		{`UPDATE environment SET weights = '{"1": 99}', version = version + 1`, "environment_weights"},
		{`UPDATE environment SET weights = '{"1": 101, "2": -1}', version = version + 1`, "environment_weights"},
		{`UPDATE environment SET weights = '{"1": 99.5, "2": 0.5}', version = version + 1`, "environment_weights"},
		{`UPDATE environment SET weights = '{"1": "100"}', version = version + 1`, "environment_weights"},
		{`UPDATE environment SET weights = '{"one": 100}', version = version + 1`, "environment_weights"},
		{`UPDATE environment SET weights = '{"01": 100}', version = version + 1`, "environment_weights"},
		{`UPDATE environment SET weights = '[100]', version = version + 1`, "environment_weights"},
		{`UPDATE environment SET weights = '{"1": null}', version = version + 1`, "environment_weights"},
		{newSwitch + `VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 1}', '', '', '{}', now())`, "switch_weights"},
		{newSwitch + `VALUES ('shop', 2, 'whim', 'committed', false, '{"1": 100}', '', '', '{}', now())`, "switch_kind"},
		{newSwitch + `VALUES ('shop', 2, 'manual', 'applied', false, '{"1": 100}', '', '', '{}', now())`, "switch_applied"},
		{setGeneration + "state = 'gone' WHERE number = 1", "generation_move"},
		{"INSERT INTO instance VALUES ('shop', 1, 'web', 9, 'x', '10.0.0.9', 0, '{}')", "instance_port"},
		{"INSERT INTO instance VALUES ('shop', 1, 'web', 9, 'x', '10.0.0.9', 70000, '{}')", "instance_port"},
		{"UPDATE promotion SET state = 'baking', ended_at = NULL", "promotion_move"},
		{"UPDATE promotion SET ended_at = NULL", "promotion_ended"},
		{"INSERT INTO promotion VALUES ('shop', 2, 2, 1, 'succeeded', '', '', 2, now(), now())", "promotion_begin"},
		{"INSERT INTO promotion VALUES ('shop', 2, 2, 1, 'done', '', '', 2, now(), NULL)", "promotion_ended"},
		{"UPDATE reading SET healthy = 3", "reading_counts"},
		{"UPDATE reading SET healthy = -1", "reading_counts"},
		{"INSERT INTO token VALUES ('9', 'n', 'king', '{*}', sha256('x'), now(), '')", "token_role"},
		{"INSERT INTO token VALUES ('9', 'n', 'admin', '{}', sha256('x'), now(), '')", "token_environments"},
		{"INSERT INTO token VALUES ('9', 'n', 'admin', '{*}', 'x', now(), '')", "token_hash"},
		{"SELECT expect_one(0, 'x')", "expect_one"},
		{"SELECT expect_one(2, 'x')", "expect_one"},
	}},
}

// What an event of the attacks on S10 is hashed from: itself, or something else.
const (
	right = "'{}'"
	wrong = "'{ }'"
)

// extend makes room for one event at the end of the chain of shop, whose hash is over data.
func extend(data string) string {
	return `UPDATE event_chain SET length = length + 1,
		head = event_hash(head, environment, length + 1, 'k', 'a', '2026-01-01', 0, 0, ` + data + `) WHERE environment = 'shop'; `
}

// next adds an event to the chain of shop, with a number so far ahead of the counter.
func next(ahead int, position, prevHash, data string) string {
	prevHash = map[string]string{"head": "head", "before": "(SELECT hash FROM event e WHERE e.environment = 'shop' ORDER BY position DESC LIMIT 1)",
		"sha256('x')": "encode(sha256('x'), 'hex')"}[prevHash]
	return newEvent + fmt.Sprintf(`SELECT last + %d, environment, %[2]s, 'k', 'a', '2026-01-01', 0, 0, '{}', %[3]s,
		event_hash(%[3]s, environment, %[2]s, 'k', 'a', '2026-01-01', 0, 0, %[4]s) FROM event_chain, event_counter WHERE environment = 'shop'`,
		ahead, position, prevHash, data)
}
