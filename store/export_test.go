package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"viridian/audit"
)

// VerifyAuditOn is VerifyAudit with its statements on one connection, so that it sees what a transaction there has
// changed and not committed.
func VerifyAuditOn(ctx context.Context, conn *pgx.Conn, scope AuditScope, noted []string) (audit.Report, error) {
	return auditReader{func(ctx context.Context, queue func(b *batch)) error {
		b := &batch{}
		queue(b)
		return conn.SendBatch(ctx, &b.Batch).Close()
	}}.verify(ctx, scope, noted)
}
