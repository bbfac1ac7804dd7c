package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/audit"
	"viridian/rollout"
)

const (
	// MinAuditKeep is the least that events are kept; the schema refuses to delete younger ones.
	MinAuditKeep = 30 * 24 * time.Hour
	// pruneBatch is how many events go in one transaction, which holds up the environment's commands meanwhile.
	pruneBatch = 500
	// pruneSlack is how much older than its time the oldest event is before a chain is pruned, so that the record of it
	// is one event a day and not one an hour.
	pruneSlack = 24 * time.Hour
)

// pruneAudit deletes events that are older than they are to be kept, chain by chain, for as long as there is time; what
// is left is for the next time. Of each chain at least the last event stays.
func (s *Store) pruneAudit(ctx context.Context) error {
	if s.auditKeep == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.pruneTime)
	defer cancel()
	var due []string
	err := s.view(ctx, func(b *batch) {
		due = nil
		b.each(`SELECT c.environment FROM event_chain c CROSS JOIN LATERAL (
				SELECT at FROM event e WHERE e.environment = c.environment ORDER BY position LIMIT 1) oldest
			WHERE oldest.at < clock_timestamp() - $1::interval ORDER BY oldest.at`, func(row pgx.CollectableRow) error {
			var environment string
			err := row.Scan(&environment)
			due = append(due, environment)
			return err
		}, s.auditKeep+pruneSlack)
	})
	for _, environment := range due {
		more := true
		for more && err == nil {
			more, err = s.pruneChain(ctx, environment)
		}
		var refusal *rollout.Refusal
		if errors.As(err, &refusal) && refusal.Code == rollout.EnvironmentBusy {
			err = nil // its turn comes again
		}
	}
	if ctx.Err() != nil {
		err = nil // what was begun is whole, and the rest is for the next time
	}
	return err
}

// pruneChain deletes the oldest events of a chain, a batch of them at most, and records that in the chain.
func (s *Store) pruneChain(ctx context.Context, environment string) (more bool, err error) {
	var end chain
	var oldest []audit.Anchor
	_, err = s.take(ctx, turn{definite: true, load: func(b *batch) {
		if environment == "" {
			lockChain(b, &end)
		} else {
			b.exec(`SELECT FROM environment WHERE name = $1 FOR UPDATE`, environment)
			queueChain(b, &end, environment)
		}
		oldest = nil
		b.each(`SELECT position, id, at, hash FROM event WHERE environment = $1 ORDER BY position LIMIT $2`, func(row pgx.CollectableRow) error {
			var a audit.Anchor
			err := row.Scan(&a.Position, &a.Event, &a.At, &a.Hash)
			oldest = append(oldest, a)
			return err
		}, environment, pruneBatch+1)
	}, decide: func(now time.Time, w *writes) error {
		n := 0
		for n < len(oldest)-1 && oldest[n].At.Before(now.Add(-s.auditKeep)) {
			n++
		}
		if more = n == pruneBatch; n == 0 {
			return nil
		}
		anchor := oldest[n-1]
		w.exec(`SELECT prune_events($1, $2)`, environment, anchor.Position)
		data := anchor.Data()
		data["events"] = n
		w.chain, w.answer = end, answer{}
		w.events = []rollout.Event{{Environment: environment, Kind: audit.Pruned, Actor: rollout.System.String(), At: now, Data: data}}
		return nil
	}})
	return more, err
}
