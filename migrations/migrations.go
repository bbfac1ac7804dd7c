package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

//go:embed *.sql
var files embed.FS

// lockTimeout is long, since ctx ends a start that nobody waits for: another
// starter may be busy with a slow migration.
const lockTimeout = 24 * time.Hour

// answerTimeout bounds making a connection to one server, unless the URL says
// connect_timeout, and one question to it: a server that accepts and then hangs
// must not hang a start.
const answerTimeout = 5 * time.Second

// DirtyError says that the recorded schema version is marked as half applied,
// and that somebody must look before anything else is done.
type DirtyError struct{ Version uint }

func (e *DirtyError) Error() string {
	return fmt.Sprintf("the database schema is marked dirty at version %d: look whether the changes of that migration are there, "+
		"then run `viridian migrate force %d` if they are, or `viridian migrate force %d` if not", e.Version, e.Version, max(e.Version, 1)-1)
}

// Up brings the schema to Latest. Any number of callers may do so at once: one
// migrates, the others wait for it. A schema that is newer already is left as
// it is and is no error, since schemas stay usable for the binary before them.
// It returns *DirtyError when a repair is needed.
func Up(ctx context.Context, databaseURL string) error { return up(ctx, files, databaseURL) }

// To brings the schema to the given version, up or down; 0 removes everything.
// The version must be one of the embedded ones.
func To(ctx context.Context, databaseURL string, version uint) error {
	return to(ctx, files, databaseURL, version)
}

// Force records that the schema is at version, 0 to Latest, and no longer
// dirty. It changes nothing else.
func Force(ctx context.Context, databaseURL string, version uint) error {
	return force(ctx, files, databaseURL, version)
}

// Latest returns the newest version this binary knows.
func Latest() uint { return latest(files) }

// Version returns the recorded version of the schema, 0 for an empty database,
// and whether it is dirty. It only reads.
func Version(ctx context.Context, databaseURL string) (version uint, dirty bool, err error) {
	config, err := parse(databaseURL)
	if err != nil {
		return 0, false, fmt.Errorf("read the schema version: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return 0, false, fmt.Errorf("read the schema version: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var recorded int64
	// Not prepared: this is asked through poolers, too.
	err = conn.QueryRow(ctx, "SELECT version, dirty FROM schema_migrations", pgx.QueryExecModeExec).Scan(&recorded, &dirty)
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows), errors.As(err, &refused) && refused.Code == "42P01": // undefined_table
		return 0, false, nil
	case errors.As(err, &refused) && refused.Code == "42501": // insufficient_privilege
		return 0, false, &RightsError{Role: config.User}
	case err != nil:
		return 0, false, fmt.Errorf("read the schema version: %w", err)
	}
	return uint(max(recorded, 0)), dirty, nil
}

// RightsError says that there is a schema, and that the role was not let in.
type RightsError struct{ Role string }

func (e *RightsError) Error() string {
	return fmt.Sprintf("role %[1]s may not use the tables: let it in by `viridian migrate up --grant-to %[1]s`, run as the role that owns them", e.Role)
}

func parse(url string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(url)
	if err == nil && config.ConnectTimeout == 0 {
		config.ConnectTimeout = answerTimeout
	}
	return config, err
}

func up(ctx context.Context, files fs.FS, url string) error {
	done, err := settled(ctx, files, url)
	if done || err != nil {
		return err
	}
	m, err := open(ctx, files, url)
	if err != nil {
		return err
	}
	err = finish(ctx, m, m.Up())
	if errors.Is(err, fs.ErrNotExist) {
		// While we waited a newer binary may have gone past what we know.
		done, settledErr := settled(ctx, files, url)
		if done || settledErr != nil {
			return settledErr
		}
	}
	return err
}

// settled tells whether there is nothing to do for Up.
func settled(ctx context.Context, files fs.FS, url string) (bool, error) {
	version, dirty, err := Version(ctx, url)
	if err != nil {
		return false, err
	}
	if dirty {
		return false, &DirtyError{Version: version}
	}
	return version >= latest(files), nil
}

func to(ctx context.Context, files fs.FS, url string, version uint) error {
	m, err := open(ctx, files, url)
	if err != nil {
		return err
	}
	if version == 0 {
		return finish(ctx, m, m.Down())
	}
	return finish(ctx, m, m.Migrate(version))
}

func force(ctx context.Context, files fs.FS, url string, version uint) error {
	if version > latest(files) {
		return fmt.Errorf("version %d is not known, the latest is %d", version, latest(files))
	}
	m, err := open(ctx, files, url)
	if err != nil {
		return err
	}
	recorded := int(version)
	if recorded == 0 {
		recorded = -1 // golang-migrate's word for an empty database
	}
	return finish(ctx, m, m.Force(recorded))
}

func open(ctx context.Context, files fs.FS, url string) (*migrate.Migrate, error) {
	source, err := iofs.New(files, ".")
	if err != nil {
		return nil, fmt.Errorf("read the embedded migrations: %w", err)
	}
	driver, err := connect(ctx, url)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to migrate: %w", err), source.Close())
	}
	m, err := migrate.NewWithInstance("embedded", source, "postgres", driver)
	if err != nil {
		return nil, errors.Join(err, source.Close(), driver.Close())
	}
	m.LockTimeout = lockTimeout
	return m, nil
}

// finish closes and translates what golang-migrate returned.
func finish(ctx context.Context, m *migrate.Migrate, err error) error {
	sourceErr, databaseErr := m.Close()
	var dirty migrate.ErrDirty
	switch {
	case ctx.Err() != nil && err != nil:
		return fmt.Errorf("migrate: %w", ctx.Err())
	case errors.Is(err, migrate.ErrNoChange):
		err = nil
	case errors.As(err, &dirty):
		err = &DirtyError{Version: uint(max(dirty.Version, 0))}
	case err != nil:
		err = fmt.Errorf("migrate: %w", err)
	}
	return errors.Join(err, sourceErr, databaseErr)
}

func latest(files fs.FS) uint {
	names, _ := fs.Glob(files, "*.up.sql")
	var highest uint64
	for _, name := range names {
		number, _, _ := strings.Cut(name, "_")
		if version, err := strconv.ParseUint(number, 10, 31); err == nil {
			highest = max(highest, version)
		}
	}
	return uint(highest)
}
