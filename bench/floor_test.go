package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"viridian/audit"
	"viridian/rollout"
)

// floor is the least that does a promote's work: the rows that a promote writes, in two bare transactions of one round
// trip each, and between them one file, synced. It asks nothing and decides nothing. Its tables are the product's; bare
// ones, with their columns and indexes but no constraints and triggers, show what those cost.
type floor struct {
	pool    *pgxpool.Pool
	file    string
	content []byte

	mu       sync.Mutex
	revision int64
	event    int64  // id and place of the last one
	head     string // and its hash
}

// playFloor serves POST /promote.
func playFloor(ctx context.Context, t task, in *json.Decoder, out *json.Encoder) error {
	config, err := pgxpool.ParseConfig(t.Database)
	if err != nil {
		return err
	}
	if t.Bare {
		config.ConnConfig.RuntimeParams["search_path"] = "bare"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	f := &floor{pool: pool, file: filepath.Join(t.Dir, "state.json"), content: bytes.Repeat([]byte("x"), t.FileSize)}
	if err := f.prepare(ctx, t.Bare); err != nil {
		return fmt.Errorf("prepare the floor's tables: %w", err)
	}
	mux := chi.NewRouter()
	mux.Post("/promote", func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Reason string }
		err := json.NewDecoder(r.Body).Decode(&body)
		var s switched
		if err == nil {
			s, err = f.promote(r.Context(), body.Reason)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s) // the client sees what is missing
	})
	return serve(&http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, in, out)
}

// prepare makes the tables, when they are bare, and the rows before the first promote: generation 1 live, 2 ready.
func (f *floor) prepare(ctx context.Context, bare bool) error {
	tables := ``
	if bare {
		tables = `
			CREATE SCHEMA bare;
			CREATE TABLE environment (LIKE public.environment INCLUDING INDEXES);
			CREATE TABLE generation (LIKE public.generation INCLUDING INDEXES);
			CREATE TABLE promotion (LIKE public.promotion INCLUDING INDEXES);
			CREATE TABLE switch (LIKE public.switch INCLUDING INDEXES);
			CREATE TABLE receipt (LIKE public.receipt INCLUDING INDEXES INCLUDING DEFAULTS);
			CREATE TABLE idempotency (LIKE public.idempotency INCLUDING INDEXES);
			CREATE TABLE event (LIKE public.event INCLUDING INDEXES);
			CREATE TABLE event_chain (LIKE public.event_chain INCLUDING INDEXES);
			CREATE TABLE event_counter (LIKE public.event_counter INCLUDING INDEXES);
			INSERT INTO event_counter (one, last) VALUES (true, 0);`
	}
	f.revision = 1
	_, err := f.pool.Exec(ctx, tables+`
		INSERT INTO environment (name, spec, spec_version, created_at, updated_at, last_number, last_promotion, revision, weights, version)
			VALUES ('bench', '{"name": "bench"}', 1, now(), now(), 2, 0, 0, '{}', 1);
		INSERT INTO generation (environment, number, version, metadata, sizes, colour, created_at, created_by, state, state_changed_at,
				reason, promote, waiting, announced, checked, unweighted_revision, succeeded)
			SELECT 'bench', n, 'v' || n, '{}', '{"web": 1}', 'blue', now(), 'bench', 'registered', now(), '', false, '', true, '{}', 0, false
			FROM generate_series(1, 2) n;
		UPDATE generation SET state = 'validating';
		UPDATE generation SET state = 'ready';
		UPDATE generation SET state = 'live' WHERE number = 1;
		INSERT INTO switch (environment, revision, kind, status, degraded, to_number, weights, actor, reason, warnings, committed_at)
			VALUES ('bench', 1, 'manual', 'committed', false, 1, '{"1": 100}', 'bench', '', '{}', now());
		UPDATE environment SET live = 1, revision = 1, weights = '{"1": 100}', version = 2;
		INSERT INTO event_chain (environment, length, head) VALUES ('bench', 0, '')`, pgx.QueryExecModeSimpleProtocol)
	return err
}

func (f *floor) promote(ctx context.Context, reason string) (s switched, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.revision++
	to := 2 - int(f.revision%2)
	if err := f.commit(ctx, to, reason, &s); err != nil {
		return s, err
	}
	if err := f.write(); err != nil {
		return s, err
	}
	return s, f.record(ctx, to, &s)
}

// commit is the first transaction.
func (f *floor) commit(ctx context.Context, to int, reason string, s *switched) error {
	b := &pgx.Batch{}
	b.Queue(`BEGIN`)
	b.Queue(`INSERT INTO idempotency (caller, key, body_hash, answer, created_at) VALUES ('bench', $1, $2, '{"changed": true}', now())`,
		fmt.Sprint(f.revision), make([]byte, 32))
	b.Queue(`UPDATE environment SET updated_at = clock_timestamp(), revision = $1, last_promotion = $1, weights = $2, live = $3,
		previous = $4, version = version + 1 WHERE name = 'bench'`, f.revision, weights(to), to, 3-to)
	for number, state := range map[int]string{to: "live", 3 - to: "standby"} {
		b.Queue(`UPDATE generation SET state = $2, state_changed_at = clock_timestamp(), reason = $3, unweighted_revision = $4
			WHERE environment = 'bench' AND number = $1`, number, state, reason, f.revision)
	}
	b.Queue(`INSERT INTO promotion (environment, id, generation, from_number, state, reason, actor, revision, started_at)
		VALUES ('bench', $1, $2, $3, 'baking', $4, 'token bench', $1, clock_timestamp())`, f.revision, to, 3-to, reason)
	b.Queue(`INSERT INTO switch (environment, revision, kind, status, degraded, from_number, to_number, weights, actor, reason, promotion,
			warnings, committed_at) VALUES ('bench', $1, 'promote', 'committed', false, $2, $3, $4, 'token bench', $5, $1, '{}', clock_timestamp())
		RETURNING revision, committed_at`, f.revision, 3-to, to, weights(to), reason).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.Revision, &s.CommittedAt)
	})
	f.queueEvents(b, to, "generation.standby", "generation.live", "promotion.started", "switch.committed")
	b.Queue(`COMMIT`)
	return f.pool.SendBatch(ctx, b).Close()
}

// record is the second transaction.
func (f *floor) record(ctx context.Context, to int, s *switched) error {
	b := &pgx.Batch{}
	b.Queue(`BEGIN`)
	b.Queue(`INSERT INTO receipt AS r (environment, router, node, incarnation, revision, spec_version, hash, weights, in_flight, at, grade, error)
		VALUES ('bench', 'builtin', 'bench', '1', $1, 1, '0123456789abcdef0123456789abcdef', $2, '{}', clock_timestamp(), 'fenced', '')
		ON CONFLICT (environment, router, node) DO UPDATE SET revision = excluded.revision, weights = excluded.weights, at = excluded.at`,
		f.revision, weights(to))
	b.Queue(`UPDATE switch SET status = 'applied', applied_at = clock_timestamp(), drained_at = clock_timestamp()
		WHERE environment = 'bench' AND revision = $1 RETURNING applied_at`, f.revision).QueryRow(func(row pgx.Row) error {
		return row.Scan(&s.AppliedAt)
	})
	b.Queue(`UPDATE promotion SET state = 'succeeded', ended_at = clock_timestamp() WHERE environment = 'bench' AND id = $1`, f.revision)
	b.Queue(`UPDATE generation SET succeeded = true WHERE environment = 'bench' AND number = $1`, to)
	b.Queue(`UPDATE generation SET quiet_at = clock_timestamp() WHERE environment = 'bench' AND number = $1`, 3-to)
	b.Queue(`UPDATE environment SET updated_at = clock_timestamp(), version = version + 1 WHERE name = 'bench'`)
	f.queueEvents(b, to, "switch.applied", "switch.drained", "promotion.ended")
	b.Queue(`COMMIT`)
	return f.pool.SendBatch(ctx, b).Close()
}

func weights(to int) map[int]int { return map[int]int{to: 100, 3 - to: 0} }

// queueEvents adds events in one statement, each with the hash that the schema wants of it.
func (f *floor) queueEvents(b *pgx.Batch, generation int, kinds ...string) {
	before, at := f.event, time.Now().Truncate(time.Microsecond)
	events := make([]audit.Event, len(kinds))
	for i, kind := range kinds {
		events[i].Event = rollout.Event{Environment: "bench", Kind: kind, Actor: "token bench", At: at, Revision: f.revision, Generation: generation,
			Raw: []byte(eventData)}
	}
	f.event += int64(len(kinds))
	f.head = audit.Seal(events, before, f.head)
	prevs, hashes := make([]string, len(kinds)), make([]string, len(kinds))
	for i, e := range events {
		prevs[i], hashes[i] = e.PrevHash, e.Hash
	}
	b.Queue(`UPDATE event_counter SET last = $1`, f.event)
	b.Queue(`UPDATE event_chain SET length = $1, head = $2 WHERE environment = 'bench'`, f.event, f.head)
	b.Queue(`INSERT INTO event (id, environment, position, kind, actor, at, revision, generation, data, prev_hash, hash)
		SELECT $1::bigint + n, 'bench', $1::bigint + n, kind, 'token bench', $2, $3, $4, $5, prev_hash, hash
		FROM unnest($6::text[], $7::text[], $8::text[]) WITH ORDINALITY AS e (kind, prev_hash, hash, n)`,
		before, at, f.revision, generation, eventData, kinds, prevs, hashes)
}

const eventData = `{"kind": "promote", "from": 1, "to": 2, "weights": {"1": 0, "2": 100}, "reason": "bench"}`

// write replaces the file as a node replaces its state file.
func (f *floor) write() error {
	temp, err := os.OpenFile(f.file+".tmp", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = temp.Write(f.content); err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err != nil {
		return err
	}
	return os.Rename(f.file+".tmp", f.file)
}
