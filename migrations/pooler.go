package migrations

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// PoolerError says that there is something to migrate, and that the connection
// leads through a pooler, which would keep the lock of a migration in a session
// that nobody has any more.
type PoolerError struct{ Version uint }

func (e *PoolerError) Error() string {
	return fmt.Sprintf("the schema is at version %d of %d, and database_url leads through a pooler, where it cannot be migrated: "+
		"set migrate_database_url to the same database by a direct connection", e.Version, Latest())
}

// CheckDirect returns *PoolerError when Up would have something to do on this
// database and the connection is not a direct one: then the session that
// answers is not the one that the connection was given at its start. It only
// reads.
func CheckDirect(ctx context.Context, databaseURL string) error {
	version, dirty, err := Version(ctx, databaseURL)
	if err != nil || dirty || version >= Latest() {
		return err
	}
	config, err := parse(databaseURL)
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var session uint32
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeExec).Scan(&session); err != nil {
		return err
	}
	if session != conn.PgConn().PID() {
		return &PoolerError{Version: version}
	}
	return nil
}
