package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// ownCaller is whose keys those are that the store makes for itself; no token can have this id.
const ownCaller = "~store"

// keyRecord is what is known of an idempotency key. A record counts for 24 hours.
type keyRecord struct {
	bodyHash []byte
	answer   []byte // JSON; nil in the transaction that has just claimed the key
	response *controller.SavedResponse
}

// claim queues taking the key, and reading who has it. A transaction that is about to use the same key is waited for.
func (r *keyRecord) claim(b *batch, key controller.IdempotencyKey) {
	q := b.Queue(`INSERT INTO idempotency AS i (caller, key, body_hash, created_at) VALUES ($1, $2, $3, clock_timestamp())
		ON CONFLICT (caller, key) DO UPDATE
		SET body_hash = excluded.body_hash, created_at = excluded.created_at, answer = NULL, status = NULL, response = NULL
		WHERE i.created_at <= clock_timestamp() - interval '24 hours'`, key.Caller, key.Key, key.BodyHash)
	q.Fn = func(results pgx.BatchResults) error {
		if _, err := results.Exec(); err != nil {
			return &keyBusyError{err}
		}
		return nil
	}
	b.row(`SELECT body_hash, answer::text, status, response FROM idempotency WHERE caller = $1 AND key = $2`, func(row pgx.Row) error {
		var status *int
		var body []byte
		if err := row.Scan(&r.bodyHash, &r.answer, &status, &body); err != nil {
			return err
		}
		if status != nil {
			r.response = &controller.SavedResponse{Status: *status, Body: body}
		}
		return nil
	}, key.Caller, key.Key)
}

// replay returns the record when the key was used before, and refuses a key that was used for something else.
func (r keyRecord) replay(key *controller.IdempotencyKey) (*keyRecord, error) {
	if key == nil || r.answer == nil {
		return nil, nil
	}
	if !bytes.Equal(r.bodyHash, key.BodyHash) {
		return nil, &ownError{rollout.Refuse(rollout.IdempotencyKeyReused, "this key was used for another request", "use a new key for a new request")}
	}
	return &r, nil
}

// read decodes the answer that was kept.
func (r keyRecord) read(answer any) error {
	if err := json.Unmarshal(r.answer, answer); err != nil {
		return fmt.Errorf("read the answer kept under an idempotency key: %w", err)
	}
	return nil
}

// answerKey queues the answer for a key that this transaction has claimed.
func answerKey(b *batch, key controller.IdempotencyKey, answer any) {
	b.exec(`WITH answered AS (UPDATE idempotency SET answer = $3::jsonb WHERE caller = $1 AND key = $2 AND answer IS NULL RETURNING 1)
		SELECT expect_one(count(*), 'idempotency') FROM answered`, key.Caller, key.Key, b.json(answer))
}

func insertKey(b *batch, key controller.IdempotencyKey, answer any) {
	b.exec(`INSERT INTO idempotency (caller, key, body_hash, answer, created_at) VALUES ($1, $2, $3, $4::jsonb, clock_timestamp())`,
		key.Caller, key.Key, key.BodyHash, b.json(answer))
}

// SaveResponse keeps the HTTP answer of the first use of a key for its replays. It does nothing when one is kept
// already, or when nothing is kept under the key because the command was refused.
func (s *Store) SaveResponse(ctx context.Context, key controller.IdempotencyKey, status int, body []byte) error {
	if body == nil {
		body = []byte{}
	}
	return s.write(ctx, func(b *batch) {
		b.exec(`UPDATE idempotency SET status = $4, response = $5
			WHERE caller = $1 AND key = $2 AND body_hash = $3 AND status IS NULL AND answer IS NOT NULL`,
			key.Caller, key.Key, key.BodyHash, status, body)
	})
}

// Prune deletes what nobody needs any more: idempotency records whose time is over (24 hours, and one hour for those of
// the store itself), sessions whose time or token is over, links that sign in, a day after their time, and events that
// are older than [Options.AuditKeep], as many as there is time for. Any number of replicas may do so at once.
func (s *Store) Prune(ctx context.Context) error {
	err := s.write(ctx, func(b *batch) {
		b.exec(`DELETE FROM session s USING token t WHERE t.id = s.token AND (s.expires_at <= clock_timestamp()
			OR t.revoked_at IS NOT NULL OR t.expires_at <= clock_timestamp())`)
		b.exec(`DELETE FROM login_link WHERE expires_at <= clock_timestamp() - interval '1 day'`)
		b.exec(`DELETE FROM idempotency WHERE created_at <= clock_timestamp() - interval '24 hours'
			OR (caller = $1 AND created_at <= clock_timestamp() - interval '1 hour')`, ownCaller)
	})
	if err != nil {
		return err
	}
	return s.pruneAudit(ctx)
}
