package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/migrations"
	"viridian/store/pglocal"
)

// timeout bounds each step; a first start on a busy machine takes seconds.
const timeout = time.Minute

const template = "template_viridian"

var installed = sync.OnceValues(pglocal.Find)

// shared is the Postgres of this test process. Nobody stops it.
var shared = sync.OnceValues(startShared)

var migrated = sync.OnceValue(func() error {
	server, err := shared()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := server.CreateDatabase(ctx, template); err != nil {
		return err
	}
	return migrations.Up(ctx, server.URL(template))
})

var count atomic.Int64

// Database returns the URL of a fresh database with the latest schema, which
// nobody else uses. It is dropped when the test ends, with the connections
// that are still open. Where VIRIDIAN_TEST_PGBOUNCER=1 it leads through a
// PgBouncer in transaction mode; see Direct.
func Database(t testing.TB) string {
	t.Helper()
	need(t)
	if err := migrated(); err != nil {
		t.Fatalf("make the template database: %v", err)
	}
	direct := create(t, template)
	if !Pooled() {
		return direct
	}
	through, err := throughPooler(direct)
	if err != nil {
		t.Fatal(err)
	}
	return through
}

// EmptyDatabase returns the URL of a fresh database without any schema, for
// tests of migrations. It is dropped as Database's is.
func EmptyDatabase(t testing.TB) string {
	t.Helper()
	need(t)
	return create(t, "template1")
}

func create(t testing.TB, from string) string {
	t.Helper()
	server, err := shared()
	if err != nil {
		t.Fatalf("start Postgres for tests: %v", err)
	}
	name := fmt.Sprintf("test_%d", count.Add(1))
	if err := administer(server, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s STRATEGY FILE_COPY", name, from)); err != nil {
		t.Fatalf("make a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := administer(server, fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)); err != nil {
			t.Errorf("drop the database of the test: %v", err)
		}
	})
	return server.URL(name)
}

func administer(server *pglocal.Server, statement string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}
