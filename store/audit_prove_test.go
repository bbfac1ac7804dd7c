package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"viridian/audit"
	"viridian/store"
	"viridian/store/storetest"
)

// tampering is one kind of change by somebody with all rights. beside means that it rewrites what the database notes
// beside the events as well, so that only a hash that was noted elsewhere shows it.
type tampering struct {
	name   string
	beside bool
	sql    func(r *rand.Rand, l *tampered) string
}

// tampered is the log that is changed.
type tampered struct {
	lengths map[string]int64
	chains  []string
}

func (l *tampered) place(r *rand.Rand) (chain string, position int64) {
	chain = l.chains[r.IntN(len(l.chains))]
	return chain, 1 + r.Int64N(l.lengths[chain])
}

func at(chain string, position int64) string {
	return fmt.Sprintf(" WHERE environment = '%s' AND position = %d", chain, position)
}

// rehash makes everything behind a place right again, with the end of the chain.
func rehash(chain string, position int64) string {
	return fmt.Sprintf(`DO $$ DECLARE e event; before text := (SELECT coalesce((SELECT hash FROM event WHERE environment = '%[1]s' AND position = %[2]d - 1), ''));
		BEGIN FOR e IN SELECT * FROM event WHERE environment = '%[1]s' AND position >= %[2]d ORDER BY position LOOP
			UPDATE event SET prev_hash = before, hash = event_hash(before, environment, position, kind, actor, at, revision, generation, data::text)
			WHERE id = e.id RETURNING hash INTO before;
		END LOOP;
		UPDATE event_chain SET head = before WHERE environment = '%[1]s'; END $$`, chain, position)
}

var edits = []string{
	"kind = kind || '.x'", "kind = 'switch.applied_'", "actor = 'token ' || actor", "actor = ''", "at = at + interval '1 microsecond'",
	"at = at - interval '1 day'", "revision = revision + 1", "revision = -revision - 1", "generation = generation + 1",
	"data = '{}  '", `data = replace(data::text, '{', '{ ')::json`, `data = '{"reason": "nothing happened"}'`,
	"prev_hash = encode(sha256(hash::bytea), 'hex')", "hash = encode(sha256(hash::bytea), 'hex')",
	"(prev_hash, hash) = (hash, CASE prev_hash WHEN '' THEN encode(sha256('x'), 'hex') ELSE prev_hash END)",
	"position = position + 1000", "position = -position", "environment = environment || 'x'", "id = id + 100000", "id = -id",
}

var tamperings = []tampering{
	{name: "edit", sql: func(r *rand.Rand, l *tampered) string {
		return "UPDATE event SET " + edits[r.IntN(len(edits))] + at(l.place(r))
	}},
	{name: "edit with its hash", sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return "UPDATE event SET actor = actor || 'x'" + at(chain, position) +
			"; UPDATE event SET hash = event_hash(prev_hash, environment, position, kind, actor, at, revision, generation, data::text)" + at(chain, position)
	}},
	{name: "deletion", sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return fmt.Sprintf("DELETE FROM event WHERE environment = '%s' AND position BETWEEN %d AND %d", chain, position, position+r.Int64N(4))
	}},
	{name: "deletion that closes the gap", sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return "DELETE FROM event" + at(chain, position) +
			fmt.Sprintf("; UPDATE event SET position = position - 1 WHERE environment = '%s' AND position > %d", chain, position)
	}},
	{name: "swap of contents", sql: func(r *rand.Rand, l *tampered) string {
		return swap(r, l, "kind", "actor", "at", "revision", "generation", "data")
	}},
	{name: "swap of places", sql: func(r *rand.Rand, l *tampered) string { return swap(r, l, "position") }},
	{name: "swap of numbers", sql: func(r *rand.Rand, l *tampered) string { return swap(r, l, "id") }},
	{name: "swap of chains", sql: func(r *rand.Rand, l *tampered) string { // with everything that says where it belongs
		a, b := r.IntN(len(l.chains)), r.IntN(len(l.chains)-1)
		if b >= a {
			b++
		}
		return swapOf(l.chains[a], 1+r.Int64N(l.lengths[l.chains[a]]), l.chains[b], 1+r.Int64N(l.lengths[l.chains[b]]),
			"kind", "actor", "at", "revision", "generation", "data", "hash", "prev_hash")
	}},
	{name: "addition", sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return fmt.Sprintf(`INSERT INTO event SELECT id + 100000, environment, position + %d, kind, actor, at, revision, generation, data, hash, hash FROM event`,
			r.Int64N(3)*l.lengths[chain]) + at(chain, position)
	}},
	{name: "truncation of the newest", sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return fmt.Sprintf("DELETE FROM event WHERE environment = '%s' AND position >= %d", chain, position)
	}},
	{name: "truncation of the oldest", sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return fmt.Sprintf("DELETE FROM event WHERE environment = '%s' AND position <= %d", chain, position)
	}},
	{name: "truncation of the oldest with an anchor", sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return `INSERT INTO event_anchor SELECT environment, position, id, at, hash, now() FROM event` + at(chain, position) +
			fmt.Sprintf(`; DELETE FROM event WHERE environment = '%s' AND position <= %d`, chain, position)
	}},
	{name: "truncation of the newest with the chain's end", sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return truncate(chain, position)
	}},
	{name: "removal of a chain", sql: func(r *rand.Rand, l *tampered) string {
		chain, _ := l.place(r)
		return fmt.Sprintf("DELETE FROM event WHERE environment = '%[1]s'; DELETE FROM event_chain WHERE environment = '%[1]s'", chain)
	}},
	{name: "another end", sql: func(r *rand.Rand, l *tampered) string {
		chain, _ := l.place(r)
		return fmt.Sprintf("UPDATE event_chain SET %s WHERE environment = '%s'",
			[]string{"length = length + 1", "length = length - 1", "head = encode(sha256('x'), 'hex')", "head = ''", "length = 0"}[r.IntN(5)], chain)
	}},
	{name: "edit, and everything behind it hashed anew", beside: true, sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return "UPDATE event SET actor = 'token mallory'" + at(chain, position) + "; " + rehash(chain, position)
	}},
	{name: "deletion, and everything behind it moved and hashed anew", beside: true, sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return "DELETE FROM event" + at(chain, position) +
			fmt.Sprintf(`; UPDATE event SET position = position - 1 WHERE environment = '%[1]s' AND position > %[2]d;
			UPDATE event_chain SET length = length - 1 WHERE environment = '%[1]s'; UPDATE event_counter SET last = last - 1;
			UPDATE event e SET id = n.n FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM event) n WHERE n.id = e.id; `, chain, position) + rehash(chain, position)
	}},
	{name: "truncation, with all that counts", beside: true, sql: func(r *rand.Rand, l *tampered) string {
		chain, position := l.place(r)
		return truncate(chain, position) + `; UPDATE event_counter SET last = (SELECT count(*) FROM event);
			UPDATE event e SET id = n.n FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM event) n WHERE n.id = e.id`
	}},
}

func truncate(chain string, position int64) string {
	return fmt.Sprintf(`DELETE FROM event WHERE environment = '%[1]s' AND position >= %[2]d;
		UPDATE event_chain SET length = %[2]d - 1, head = coalesce((SELECT hash FROM event WHERE environment = '%[1]s' AND position = %[2]d - 1), '')
		WHERE environment = '%[1]s'`, chain, position)
}

// swap exchanges columns of two events of one chain.
func swap(r *rand.Rand, l *tampered, columns ...string) string {
	chain, a := l.place(r)
	b := 1 + r.Int64N(l.lengths[chain]-1)
	if b >= a {
		b++
	}
	return swapOf(chain, a, chain, b, columns...)
}

func swapOf(chainA string, a int64, chainB string, b int64, columns ...string) string {
	var set []string
	for _, column := range columns {
		set = append(set, column+" = o."+column)
	}
	return fmt.Sprintf(`UPDATE event e SET %s FROM event o
		WHERE (e.environment, e.position, o.environment, o.position) IN (('%[2]s', %[3]d, '%[4]s', %[5]d), ('%[4]s', %[5]d, '%[2]s', %[3]d))`,
		strings.Join(set, ", "), chainA, a, chainB, b)
}

// Whatever somebody with all rights does to the events is found. What is rewritten together with everything that the
// database notes of it is found by the hashes that were noted elsewhere, and by nothing else: that is counted, too.
func TestProveAudit_TamperingIsFound(t *testing.T) {
	t.Parallel()
	if storetest.Pooled() {
		t.Skip("it works on one session of its own")
	}
	rounds := 500
	if os.Getenv("VIRIDIAN_PROVE") == "full" {
		rounds = 10_000
	}
	w := newWorld(t)
	w.shop()
	w.do("other", create("other", spec(t, webSpec)))
	for _, id := range []string{"a", "b", "c", "d"} {
		_, _, err := w.CreateToken(t.Context(), ask(id), nil)
		w.must(err)
		w.do("other", lock)
		w.do("shop", lock)
		w.do("other", unlock)
		w.do("shop", unlock)
	}
	conn := w.raw()
	_, err := conn.Exec(t.Context(), `SET session_replication_role = replica; ALTER TABLE event DROP CONSTRAINT event_pkey;
		ALTER TABLE event DROP CONSTRAINT event_id; ALTER TABLE event DROP CONSTRAINT event_position; ALTER TABLE event DROP CONSTRAINT event_hash;
		ALTER TABLE event DROP CONSTRAINT event_chain_position; ALTER TABLE event DROP CONSTRAINT event_chain_link`)
	w.must(err)
	before := must(store.VerifyAuditOn(t.Context(), conn, whole, nil))
	l := &tampered{lengths: map[string]int64{}}
	var noted []string
	for _, c := range before.Chains {
		l.lengths[c.Environment] = c.Verified.Length
		l.chains, noted = append(l.chains, c.Environment), append(noted, c.Verified.Head)
	}
	if !before.Intact() || len(l.chains) != 3 {
		t.Fatalf("%+v", before)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	counts := map[string]int{}
	unseen := 0
	for round := range rounds {
		kind := tamperings[round%len(tamperings)]
		sql := kind.sql(r, l)
		found := afterTampering(t, conn, sql, nil)
		if kind.beside && found.Intact() {
			unseen++
			found = afterTampering(t, conn, sql, noted)
		}
		if found.Intact() {
			t.Fatalf("%s is not found: %s\n%+v", kind.name, sql, found)
		}
		counts[kind.name]++
	}
	for _, kind := range tamperings {
		t.Logf("%5d of %d: %s", counts[kind.name], rounds, kind.name)
	}
	t.Logf("%d showed against a hash that was noted elsewhere, and in no other way", unseen)
	if after := must(store.VerifyAuditOn(t.Context(), conn, whole, noted)); !after.Intact() {
		t.Fatalf("the log was not left as it was: %+v", after)
	}
}

// afterTampering verifies what a transaction sees that is rolled back.
func afterTampering(t *testing.T, conn *pgx.Conn, sql string, noted []string) audit.Report {
	t.Helper()
	tx := must(conn.Begin(t.Context()))
	defer func() {
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return must(store.VerifyAuditOn(t.Context(), conn, whole, noted))
}
