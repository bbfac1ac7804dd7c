package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"viridian/audit"
	"viridian/rollout"
)

// exportPage is how many events are read in one transaction, and held in memory.
const exportPage = 500

// ExportAudit hands out the audit log of the chains in scope, as the records of a file that [audit.VerifyFile] verifies:
// the events with higher ids than after, up to the newest one now. An error of each ends it and is returned as it is. A
// scope that names an environment that there is not is refused with not_found.
func (s *Store) ExportAudit(ctx context.Context, scope AuditScope, after int64, each func(audit.Record) error) error {
	r := auditReader{s.view}
	o, err := r.overview(ctx, scope)
	if err != nil {
		return err
	}
	if len(o.chains) == 0 && scope.Environment != "" {
		return rollout.Refuse(rollout.NotFound, "there is no audit log of environment "+scope.Environment, "leave environment out to export everything")
	}
	if err := each(audit.ExportRecord(o.last, after, o.at, len(o.chains))); err != nil {
		return err
	}
	for _, k := range o.chains {
		if err := r.exportChain(ctx, k, after, each); err != nil {
			return err
		}
	}
	return r.exportEvents(ctx, scope, after, o.last, each)
}

// exportChain tells how long a chain is, and where its events in the file begin.
func (r auditReader) exportChain(ctx context.Context, k known, after int64, each func(audit.Record) error) error {
	if err := each(audit.ChainRecord(k.environment, k.end)); err != nil {
		return err
	}
	var start *audit.Anchor
	if after > 0 {
		err := r.view(ctx, func(b *batch) {
			start = nil
			b.each(`SELECT position, id, at, hash FROM event WHERE environment = $1 AND id <= $2 ORDER BY id DESC LIMIT 1`,
				func(row pgx.CollectableRow) error {
					start = &audit.Anchor{}
					return row.Scan(&start.Position, &start.Event, &start.At, &start.Hash)
				}, k.environment, after)
		})
		if err != nil {
			return err
		}
	}
	switch {
	case start != nil:
		return each(audit.AnchorRecord(audit.RecordStart, k.environment, *start))
	case k.anchor != nil:
		return each(audit.AnchorRecord(audit.RecordPruned, k.environment, *k.anchor))
	}
	return nil
}

func (r auditReader) exportEvents(ctx context.Context, scope AuditScope, after, last int64, each func(audit.Record) error) error {
	for {
		page := make([]audit.Event, 0, exportPage)
		err := r.view(ctx, func(b *batch) {
			page = page[:0]
			b.each(`SELECT `+auditColumns+` FROM event
				WHERE id > $1 AND id <= $2 AND environment LIKE ANY ($3::text[]) AND ($4 = '' OR environment = $4)
				ORDER BY id LIMIT $5`, func(row pgx.CollectableRow) error {
				e, err := scanAudit(row)
				page = append(page, e)
				return err
			}, after, last, patterns(scope.Environments), scope.Environment, exportPage)
		})
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := each(audit.EventRecord(e)); err != nil {
				return err
			}
			after = e.ID
		}
		if len(page) < exportPage {
			return nil
		}
	}
}
