package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// GrantService gives a role what the service needs, and no more: it may neither change tables, triggers or functions,
// nor change or delete what is only ever added: old events go by the function prune_events alone. url is that of the role that runs the migrations and owns the tables.
// Run it after each migration.
func GrantService(ctx context.Context, url, role string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return fmt.Errorf("grant to the service's role: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// Postgres refuses grants on one table at once, and replicas start together.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('grant_service'))`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `SELECT grant_service($1)`, pgx.QueryExecModeExec, role)
		return err
	})
	if err != nil {
		return fmt.Errorf("grant to role %s: %w", role, err)
	}
	return nil
}

// RoleOf is the role that a database URL connects as.
func RoleOf(url string) (string, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return "", fmt.Errorf("read the database URL: %w", err)
	}
	return config.User, nil
}
