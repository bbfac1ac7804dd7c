package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/rollout/controller"
)

// ClaimLeases renews the holder's leases and claims those that nobody holds or whose time is over, of all environments
// that are not deleted, or that a node of a fleet has yet to forget. It returns all that the holder has now; trust one
// for ttl from before the call, less a margin. A lease that is claimed anew begins a new term, also when the holder is
// the same as before. Those of the environments in except are not claimed, and given back at once when the holder has
// them.
func (s *Store) ClaimLeases(ctx context.Context, holder string, ttl time.Duration, except ...string) ([]controller.Lease, error) {
	if except == nil {
		except = []string{}
	}
	var out []controller.Lease
	err := s.write(ctx, func(b *batch) {
		out = nil
		// One's own are waited for: a lease that a transaction of the holder is just relying on must not look lost.
		b.each(`WITH own AS (
				SELECT l.environment FROM lease l JOIN environment e ON e.name = l.environment
				WHERE l.holder = $1 AND (e.deleted_at IS NULL OR `+leftOnFleet+`) AND e.name <> ALL ($3::text[]) FOR NO KEY UPDATE OF l
			), free AS (
				SELECT l.environment FROM lease l JOIN environment e ON e.name = l.environment
				WHERE l.holder <> $1 AND l.expires_at <= clock_timestamp() AND (e.deleted_at IS NULL OR `+leftOnFleet+`) AND e.name <> ALL ($3::text[])
				FOR NO KEY UPDATE OF l SKIP LOCKED
			), given_back AS (
				UPDATE lease SET expires_at = '-infinity' WHERE holder = $1 AND environment = ANY ($3::text[]) AND expires_at > clock_timestamp()
			)
			UPDATE lease l SET holder = $1, expires_at = clock_timestamp() + make_interval(secs => $2),
				term = CASE WHEN l.holder = $1 AND l.expires_at > clock_timestamp() THEN l.term ELSE l.term + 1 END
			FROM (SELECT environment FROM own UNION SELECT environment FROM free) due
			WHERE l.environment = due.environment
			RETURNING l.environment, l.term, l.expires_at`, func(row pgx.CollectableRow) error {
			var l controller.Lease
			err := row.Scan(&l.Environment, &l.Term, &l.ExpiresAt)
			out = append(out, l)
			return err
		}, holder, ttl.Seconds(), except)
	})
	return out, err
}

// leftOnFleet says of environment e that a node which is no replica still knows it. Replicas forget without a lease.
const leftOnFleet = `EXISTS (SELECT FROM receipt r JOIN node n ON n.router = r.router AND n.name = r.node
	WHERE r.environment = e.name AND r.router <> 'builtin' AND NOT n.removed)`

// ReleaseLeases ends the holder's leases at once, so that others need not wait for their time to pass.
func (s *Store) ReleaseLeases(ctx context.Context, holder string) error {
	return s.write(ctx, func(b *batch) {
		b.exec(`UPDATE lease SET expires_at = '-infinity' WHERE holder = $1`, holder)
	})
}

// queueLease reads whether the lease of an environment has the term and time left, and keeps others from claiming it
// until the end of the transaction.
func queueLease(b *batch, holds *bool, environment string, term int64) {
	*holds = false
	b.each(`SELECT term = $2 AND expires_at > clock_timestamp() FROM lease WHERE environment = $1 FOR SHARE`,
		func(row pgx.CollectableRow) error { return row.Scan(holds) }, environment, term)
}
