package e2e

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// sql runs a statement on the lab's database, as its owner.
func (l *lab) sql(statement string, args ...any) {
	l.Helper()
	if err := l.connected(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement, args...)
		return err
	}); err != nil {
		l.Fatalf("%s: %v", statement, err)
	}
}

// number asks the lab's database for one number.
func (l *lab) number(query string, args ...any) (n int64) {
	l.Helper()
	if err := l.connected(func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, query, args...).Scan(&n)
	}); err != nil {
		l.Fatalf("%s: %v", query, err)
	}
	return n
}

// tryText asks the lab's database for the lines of one column.
func (l *lab) tryText(query string, args ...any) (out []string, err error) {
	err = l.connected(func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	return out, err
}

// connected does something on a connection of its own, past the service.
func (l *lab) connected(do func(ctx context.Context, conn *pgx.Conn) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.Context()), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, l.database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	return do(ctx, conn)
}
