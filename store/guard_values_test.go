package store_test

import "fmt"

// valueGuards are what columns may hold, and what else never changes.
var valueGuards = []guard{
	{name: "a session is what was signed in", prepare: func(w *world) { w.newSession("s", "secret", "a") }, attacks: []attack{
		{"UPDATE session SET expires_at = expires_at + interval '1 h'", "session_immutable"},
		{"UPDATE session SET token = 'b'", "session_immutable"},
		{"UPDATE session SET hash = sha256('x')", "session_immutable"},
		{"INSERT INTO session SELECT 't', 'x', token, data, address, user_agent, created_at, seen_at, expires_at FROM session", "session_hash_length"},
		{"INSERT INTO login_link VALUES ('x', 'a', now(), now(), NULL)", "login_link_hash"},
	}},
	{name: "an environment begins without a route, and with what it means", attacks: []attack{
		{newEnvironment("Shop", 1, 0, 0, 0, "{}"), "environment_name"},
		{newEnvironment("other", 1, 0, 0, 0, "[]"), "environment_spec"},
		{newEnvironment("other", 0, 0, 0, 0, "{}"), "environment_spec_version"},
		{newEnvironment("other", 1, -1, 0, 0, "{}"), "environment_last_number"},
		{newEnvironment("other", 1, 0, -1, 0, "{}"), "environment_last_promotion"},
		{newEnvironment("other", 1, 0, 0, -1, "{}"), "environment_revision"},
		{newEnvironment("other", 1, 0, 0, 5, "{}") + newSpec("other", 1), "route_without_switch"},
		{newEnvironment("other", 1, 0, 0, 0, "{}") + newSpec("other", 1) + "; INSERT INTO lease VALUES ('other', '', -1, '-infinity')", "lease_term"},
		{"UPDATE environment SET mending = '[]', version = version + 1", "environment_mending"},
		{"UPDATE environment SET registry_trouble = '[]', version = version + 1", "environment_trouble"},
		{newSpec("shop", 0)[1:], "spec_version_version"},
	}},
	{name: "members are of groups that are followed, and never none", prepare: func(w *world) { w.following("team", "10.0.9.1") }, attacks: []attack{
		{setMembers + `groups = '{"web": []}'`, "membership_guard"},
		{setMembers + `groups = '{"web": {}}'`, "membership_guard"},
		{setMembers + `groups = '{}'`, "membership_guard"},
		{setMembers + `groups = '[]'`, ""},
		{setMembers + `groups = groups || '{"api": [{"id": "x", "address": "10.0.0.9", "port": 80}]}'`, "membership_guard"},
		{setMembers + "environment = 'shop'", "membership_guard"},
		{"UPDATE membership SET groups = groups", "membership_guard"},
		{"UPDATE membership SET since = since - interval '1 s'", "membership_guard"},
		{"INSERT INTO membership SELECT 'shop', 1, since, groups FROM membership", "membership_guard"},
		{"INSERT INTO membership SELECT 'team', 1, since, groups FROM membership", "membership_guard"},
		{"INSERT INTO membership SELECT 'team', 9, since, groups FROM membership", "membership_environment_number_fkey"},
		{"UPDATE generation SET reason = 'x' WHERE environment = 'team'; INSERT INTO membership SELECT environment, number, since, groups FROM membership", "membership_pkey"},
		{"UPDATE generation SET state = 'failed' WHERE environment = 'team'; " + setMembers + "groups = groups", "membership_guard"},
		{"DELETE FROM membership", "membership_kept"},
		{"TRUNCATE membership", "membership_kept"},
	}},
	{name: "a generation, a promotion and a switch are what they mean", attacks: []attack{
		{newGeneration("0", "metadata", "sizes", "colour", "0"), "generation_number"},
		{newGeneration("3", "'[]'", "sizes", "colour", "0"), "generation_metadata"},
		{newGeneration("3", "metadata", "'[]'", "colour", "0"), "generation_sizes"},
		{newGeneration("3", "metadata", "sizes", "'red'", "0"), "generation_colour"},
		{newGeneration("3", "metadata", "sizes", "colour", "-1"), "generation_unweighted"},
		{"INSERT INTO generation SELECT environment, 3, version, artifact, metadata, sizes, colour, created_at, created_by, 'registered', now(), " +
			"reason, false, '', false, '{}', keep_until, 0, quiet_at, false, '[]' FROM generation WHERE number = 2", "generation_adopts"},
		{"UPDATE reading SET mismatched = -1", "reading_mismatched"},
		{"UPDATE reading SET mismatched = total + 1", "reading_mismatched"},
		{"INSERT INTO promotion VALUES ('shop', 0, 2, 1, 'baking', '', '', 2, now(), NULL)", "promotion_id"},
		{"INSERT INTO promotion VALUES ('shop', 2, 2, 1, 'baking', '', '', 0, now(), NULL)", "promotion_revision"},
		{newSwitch + `VALUES ('shop', 0, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now())`, "switch_revision"},
		{newSwitch + `VALUES ('shop', 2, 'manual', 'done', false, '{"1": 100}', '', '', '{}', now())`, "switch_status"},
		{`INSERT INTO switch (environment, revision, kind, status, degraded, weights, actor, reason, warnings, committed_at, drained_at)
			VALUES ('shop', 2, 'manual', 'committed', false, '{"1": 100}', '', '', '{}', now(), now())`, "switch_drained"},
		{"INSERT INTO event_chain VALUES ('x', -1, 'x')", "event_chain_length"},
	}},
}

func newEnvironment(name string, spec, number, promotion, revision int, text string) string {
	return fmt.Sprintf(`INSERT INTO environment (name, spec, spec_version, created_at, updated_at, last_number, last_promotion, revision, weights, version)
		VALUES ('%s', '%s', %d, now(), now(), %d, %d, %d, '{}', 1)`, name, text, spec, number, promotion, revision)
}

func newSpec(environment string, version int) string {
	return fmt.Sprintf(`; INSERT INTO spec_version VALUES ('%s', %d, '{}', now(), '')`, environment, version)
}

// newGeneration is like generation 2, but for these.
func newGeneration(number, metadata, sizes, colour, unweighted string) string {
	return fmt.Sprintf(`INSERT INTO generation SELECT environment, %s, version, artifact, %s, %s, %s, created_at, created_by, 'registered', now(),
		reason, false, '', false, '{}', keep_until, %s, quiet_at, false FROM generation WHERE number = 2`, number, metadata, sizes, colour, unweighted)
}

// setMembers begins a change of members that is later than the one before.
const setMembers = "UPDATE membership SET since = since + interval '1 s', "
