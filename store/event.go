package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/audit"
	"viridian/rollout"
)

// chain is the end of one hash chain.
type chain struct {
	environment string
	length      int64
	head        string
}

// queueChain reads the end of an environment's chain. It is stable under the lock of the environment.
func queueChain(b *batch, c *chain, environment string) {
	*c = chain{environment: environment}
	b.each(`SELECT length, head FROM event_chain WHERE environment = $1`, func(row pgx.CollectableRow) error {
		return row.Scan(&c.length, &c.head)
	}, environment)
}

// lockChain locks the chain of what belongs to no environment.
func lockChain(b *batch, c *chain) {
	*c = chain{}
	b.row(`SELECT length, head FROM event_chain WHERE environment = '' FOR UPDATE`, func(row pgx.Row) error {
		return row.Scan(&c.length, &c.head)
	})
}

// queueEvents adds events to the end of a chain. It must be the last statement before the commit: from there to the
// end of the commit all others wait for the counter.
func queueEvents(b *batch, c chain, events []rollout.Event) error {
	if len(events) == 0 {
		return nil
	}
	n := len(events)
	kinds, actors, ats := make([]string, n), make([]string, n), make([]time.Time, n)
	revisions, generations := make([]int64, n), make([]int64, n)
	data, prevs, hashes := make([]string, n), make([]string, n), make([]string, n)
	sealed := make([]audit.Event, n)
	for i, e := range events {
		raw, err := eventData(e.Data)
		if err != nil {
			return err
		}
		e.Environment, e.Raw = c.environment, raw
		sealed[i].Event = e
	}
	head := audit.Seal(sealed, c.length, c.head)
	for i, e := range sealed {
		kinds[i], actors[i], ats[i], revisions[i], generations[i] = e.Kind, e.Actor, e.At, e.Revision, int64(e.Generation)
		data[i], prevs[i], hashes[i] = string(e.Raw), e.PrevHash, e.Hash
	}
	b.exec(`WITH counter AS (
			UPDATE event_counter SET last = last + $1 RETURNING last - $1 AS base
		), extended AS (
			INSERT INTO event_chain AS c (environment, length, head) VALUES ($2, $3 + $1, $4)
			ON CONFLICT (environment) DO UPDATE SET length = excluded.length, head = excluded.head
			WHERE c.length = $3 AND c.head = $5
			RETURNING 1
		), added AS (
			INSERT INTO event (id, environment, position, kind, actor, at, revision, generation, data, prev_hash, hash)
			SELECT counter.base + e.n, $2, $3 + e.n, e.kind, e.actor, e.at, e.revision, e.generation, e.data::json, e.prev_hash, e.hash
			FROM counter, unnest($6::text[], $7::text[], $8::timestamptz[], $9::bigint[], $10::bigint[], $11::text[], $12::text[], $13::text[])
				WITH ORDINALITY AS e (kind, actor, at, revision, generation, data, prev_hash, hash, n)
		)
		SELECT expect_one(count(*), 'event_chain') FROM extended`,
		int64(n), c.environment, c.length, head, c.head, kinds, actors, ats, revisions, generations, data, prevs, hashes)
	return nil
}

func eventData(data map[string]any) ([]byte, error) {
	if data == nil {
		return []byte(`{}`), nil
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	return raw, nil
}

// EventFilter says which events are wanted. Environments are globs, in which * stands for any characters; only "*"
// also takes in what belongs to no environment. Empty fields do not restrict, except that no globs mean no events.
type EventFilter struct {
	Environments []string
	Environment  string
	Kind         string
	After        int64 // only higher ids
	Limit        int   // 1 to MaxLimit; 0 means DefaultLimit
}

// Events lists events by id, lowest first. Ids have no gaps and are given in the order of commits, so that asking
// again after the highest id seen misses nothing, except what was pruned meanwhile.
func (s *Store) Events(ctx context.Context, f EventFilter) ([]rollout.Event, error) {
	var out []rollout.Event
	err := s.view(ctx, func(b *batch) {
		out = nil
		b.each(`SELECT `+auditColumns+` FROM event
			WHERE id > $1 AND environment LIKE ANY ($2::text[]) AND ($3 = '' OR environment = $3) AND ($4 = '' OR kind = $4)
			ORDER BY id LIMIT $5`, func(row pgx.CollectableRow) error {
			e, err := scanEvent(row)
			out = append(out, e)
			return err
		}, f.After, patterns(f.Environments), f.Environment, f.Kind, limit(f.Limit))
	})
	return out, err
}

// LastEventID is the id of the newest event, 0 before the first.
func (s *Store) LastEventID(ctx context.Context) (int64, error) {
	var last int64
	err := s.view(ctx, func(b *batch) {
		b.row(`SELECT last FROM event_counter`, func(row pgx.Row) error { return row.Scan(&last) })
	})
	return last, err
}

func scanEvent(row pgx.CollectableRow) (rollout.Event, error) {
	e, err := scanAudit(row)
	if err == nil {
		if err = json.Unmarshal(e.Raw, &e.Data); err != nil {
			err = errors.Join(fmt.Errorf("event %d", e.ID), err)
		}
	}
	return e.Event, err
}
