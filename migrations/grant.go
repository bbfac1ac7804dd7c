package migrations

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Grant gives a role, which must exist, the rights that the service needs and no others. The caller must own the
// schema, which must be at Latest.
func Grant(ctx context.Context, databaseURL, role string) error {
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return fmt.Errorf("grant rights to role %s: %w", role, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "SELECT grant_service($1)", role); err != nil {
		return fmt.Errorf("grant rights to role %s: %w", role, err)
	}
	return nil
}
