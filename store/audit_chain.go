package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/audit"
)

// AuditScope says which chains of the audit log are meant. Environments are globs as in an [EventFilter]; only "*" also
// takes in the chain of what belongs to no environment.
type AuditScope struct {
	Environments []string
	Environment  string // only this one; empty for all that the globs match
}

// known is a chain as the database notes it beside its events.
type known struct {
	environment string
	found       bool // an environment without a chain has lost it
	end         audit.End
	anchor      *audit.Anchor
	stray       bool // there are events before its beginning, or behind its end
}

// overview is what the database notes of all chains in scope, in one snapshot.
type overview struct {
	chains []known
	at     time.Time
	last   int64 // how many events were numbered
	newest int64 // the id of the newest one that is there
	total  int64 // the length of all chains, in scope or not
}

// auditReader reads the audit log by views, each of which is one snapshot.
type auditReader struct {
	view func(ctx context.Context, queue func(b *batch)) error
}

func (r auditReader) overview(ctx context.Context, scope AuditScope) (o overview, err error) {
	err = r.view(ctx, func(b *batch) {
		o = overview{}
		b.each(`SELECT coalesce(c.environment, e.name), c.environment IS NOT NULL, coalesce(c.length, 0), coalesce(c.head, ''),
				a.position, a.event, a.at, a.hash,
				EXISTS (SELECT FROM event v WHERE v.environment = coalesce(c.environment, e.name) AND v.position <= coalesce(a.position, 0))
				OR EXISTS (SELECT FROM event v WHERE v.environment = coalesce(c.environment, e.name) AND v.position > coalesce(c.length, 0))
			FROM event_chain c FULL JOIN environment e ON e.name = c.environment LEFT JOIN event_anchor a ON a.environment = c.environment
			WHERE coalesce(c.environment, e.name) LIKE ANY ($1::text[]) AND ($2 = '' OR coalesce(c.environment, e.name) = $2)
			ORDER BY 1`, func(row pgx.CollectableRow) error {
			var k known
			var position, event *int64
			var at *time.Time
			var hash *string
			err := row.Scan(&k.environment, &k.found, &k.end.Length, &k.end.Head, &position, &event, &at, &hash, &k.stray)
			if position != nil {
				k.anchor = &audit.Anchor{Position: *position, Event: *event, At: *at, Hash: *hash}
			}
			o.chains = append(o.chains, k)
			return err
		}, patterns(scope.Environments), scope.Environment)
		b.row(`SELECT clock_timestamp(), last, (SELECT coalesce(max(id), 0) FROM event), (SELECT coalesce(sum(length), 0)::bigint FROM event_chain)
			FROM event_counter`, func(row pgx.Row) error { return row.Scan(&o.at, &o.last, &o.newest, &o.total) })
	})
	return o, err
}

const auditColumns = `id, environment, position, kind, actor, at, revision, generation, data::text, prev_hash, hash`

// scanAudit reads an event without looking into its data.
func scanAudit(row pgx.CollectableRow) (e audit.Event, err error) {
	err = row.Scan(&e.ID, &e.Environment, &e.Position, &e.Kind, &e.Actor, &e.At, &e.Revision, &e.Generation, &e.Raw, &e.PrevHash, &e.Hash)
	return e, err
}
