package server

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"viridian/store/storetest"
)

// sql does to the database what time or an operator would.
func (w *world) sql(statement string) {
	w.t.Helper()
	if _, err := w.connection().Exec(w.t.Context(), statement); err != nil {
		w.t.Fatal(err)
	}
}

// fingerprint is a hash of every row of the tables that commands write.
func (w *world) fingerprint() string {
	w.t.Helper()
	conn := w.connection()
	sum := sha256.New()
	for _, query := range []string{`SELECT e::text FROM environment e ORDER BY 1`, `SELECT v::text FROM spec_version v ORDER BY 1`,
		`SELECT g::text FROM generation g ORDER BY 1`, `SELECT i::text FROM instance i ORDER BY 1`, `SELECT s::text FROM switch s ORDER BY 1`,
		`SELECT p::text FROM promotion p ORDER BY 1`, `SELECT e::text FROM event e ORDER BY 1`, `SELECT i::text FROM idempotency i ORDER BY 1`,
		`SELECT n::text FROM node n ORDER BY 1`, `SELECT (id, name, role, environments, revoked_at)::text FROM token ORDER BY 1`} {
		rows, err := conn.Query(w.t.Context(), query)
		if err != nil {
			w.t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			w.t.Fatal(err)
		}
		sum.Write([]byte(query + strings.Join(list, "\n")))
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// connection is the test's own, past the store.
func (w *world) connection() *pgx.Conn {
	w.t.Helper()
	if w.conn == nil {
		conn, err := pgx.Connect(w.t.Context(), storetest.Direct(w.database))
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = conn.Close(context.Background()) })
		w.conn = conn
	}
	return w.conn
}
