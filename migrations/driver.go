package migrations

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// driver is golang-migrate's for Postgres, except that a migration and its
// version are one transaction. The original writes "version N, dirty" first
// and "clean" afterwards, so that a kill or an error in between blocks every
// later start until somebody repairs it by hand.
type driver struct {
	database.Driver
	table    string // quoted
	pending  int    // version the announced migration leads to
	recorded bool   // Run has written pending
}

// connect returns a driver whose connection breaks when ctx ends;
// golang-migrate itself takes no context.
func connect(ctx context.Context, url string) (*driver, error) {
	config, err := parse(url)
	if err != nil {
		return nil, err
	}
	dial := config.DialFunc
	config.DialFunc = func(dialCtx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(dialCtx, network, address)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	}
	db := stdlib.OpenDB(*config)
	settings := &migratepgx.Config{}
	inner, err := migratepgx.WithInstance(db, settings)
	if err != nil {
		_ = db.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	table := pgx.Identifier{settings.SchemaName, settings.MigrationsTable}.Sanitize()
	return &driver{Driver: inner, table: table}, nil
}

// SetVersion with dirty announces a migration, and only remembers its version.
// Afterwards golang-migrate calls it again without dirty; by then Run has
// written the version, unless the migration had no file.
func (d *driver) SetVersion(version int, dirty bool) error {
	if dirty {
		d.pending, d.recorded = version, false
		return nil
	}
	if d.recorded && d.pending == version {
		return nil
	}
	return d.Driver.SetVersion(version, false)
}

// Run sends the file and the statements that record its version as one
// message, which Postgres carries out in one transaction.
func (d *driver) Run(migration io.Reader) error {
	body, err := io.ReadAll(migration)
	if err != nil {
		return err
	}
	record := "\n;\nDELETE FROM " + d.table + ";"
	if d.pending >= 0 {
		record += fmt.Sprintf("\nINSERT INTO %s (version, dirty) VALUES (%d, false);", d.table, d.pending)
	}
	if err := d.Driver.Run(strings.NewReader(string(body) + record)); err != nil {
		return err
	}
	d.recorded = true
	return nil
}
