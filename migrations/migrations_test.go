package migrations_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/migrations"
	"viridian/store/storetest"
)

func three() fstest.MapFS {
	return fstest.MapFS{
		"0001_a.up.sql":   {Data: []byte("CREATE TABLE a (n int); INSERT INTO a VALUES (1)")},
		"0001_a.down.sql": {Data: []byte("DROP TABLE a;")},
		"0002_b.up.sql":   {Data: []byte("-- nothing but a comment without a line end")},
		"0003_c.up.sql":   {Data: []byte("SELECT pg_sleep(0.1); CREATE TABLE c ()")},
		"0003_c.down.sql": {Data: []byte("DROP TABLE c;")},
	}
}

func wantVersion(t *testing.T, url string, want uint) {
	t.Helper()
	got, dirty, err := migrations.Version(t.Context(), url)
	if err != nil || got != want || dirty {
		t.Fatalf("version %d, dirty %v, error %v, want clean %d", got, dirty, err, want)
	}
}

// TestVersion_OfAServerThatHangs: it takes the connection, and says nothing.
func TestVersion_OfAServerThatHangs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, _, err = migrations.Version(ctx, "postgres://u@"+l.Addr().String()+"/v?sslmode=disable")
	if err == nil || ctx.Err() != nil {
		t.Fatalf("%v, and the caller's patience: %v", err, ctx.Err())
	}
}

func count(t *testing.T, url, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func change(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestUp_FiveStartersAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	wantVersion(t, url, 0)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := migrations.UpFiles(t.Context(), three(), url); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	wantVersion(t, url, 3)
	if n := count(t, url, "SELECT count(*) FROM a"); n != 1 {
		t.Fatalf("the first migration ran %d times", n)
	}
}

func TestUp_FailedFileLeavesNoTrace(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	broken := three()
	broken["0003_c.up.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE c ();\nSELECT 1/0;")}
	for range 2 {
		if err := migrations.UpFiles(t.Context(), broken, url); err == nil || !strings.Contains(err.Error(), "division by zero") {
			t.Fatalf("broken file: %v", err)
		}
		wantVersion(t, url, 2)
	}
	if err := migrations.UpFiles(t.Context(), three(), url); err != nil {
		t.Fatalf("corrected file: %v", err)
	}
	wantVersion(t, url, 3)
}

func TestUp_ContextEndsAMigration(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	slow := three()
	slow["0003_c.up.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE c (); SELECT pg_sleep(600)")}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := migrations.UpFiles(ctx, slow, url); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Up: %v, want the context's error", err)
	}
	wantVersion(t, url, 2)
}

func TestUp_NewerSchemaIsLeftAlone(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	if err := migrations.UpFiles(t.Context(), three(), url); err != nil {
		t.Fatal(err)
	}
	older := three()
	delete(older, "0003_c.up.sql")
	delete(older, "0003_c.down.sql")
	if err := migrations.UpFiles(t.Context(), older, url); err != nil {
		t.Fatalf("older binary: %v", err)
	}
	wantVersion(t, url, 3)
}

// The newer binary may come first only after the older one has looked.
func TestUp_NewerBinaryWinsTheRace(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	older := three()
	delete(older, "0003_c.up.sql")
	delete(older, "0003_c.down.sql")
	var all sync.WaitGroup
	for range 4 {
		for _, files := range []fs.FS{older, three()} {
			all.Go(func() {
				if err := migrations.UpFiles(t.Context(), files, url); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	wantVersion(t, url, 3)
}

func TestUp_DirtyNamesTheRepair(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	if err := migrations.ToFiles(t.Context(), three(), url, 2); err != nil {
		t.Fatal(err)
	}
	change(t, url, "UPDATE schema_migrations SET dirty = true")
	err := migrations.UpFiles(t.Context(), three(), url)
	var dirty *migrations.DirtyError
	if !errors.As(err, &dirty) || dirty.Version != 2 || !strings.Contains(err.Error(), "viridian migrate force 2") || !strings.Contains(err.Error(), "viridian migrate force 1") {
		t.Fatalf("dirty schema: %v", err)
	}
	if err := migrations.ForceFiles(t.Context(), three(), url, 4); err == nil {
		t.Fatal("an unknown version was forced")
	}
	if err := migrations.ForceFiles(t.Context(), three(), url, 2); err != nil {
		t.Fatal(err)
	}
	if err := migrations.UpFiles(t.Context(), three(), url); err != nil {
		t.Fatal(err)
	}
	wantVersion(t, url, 3)
}

func TestUp_NothingToDoNeedsNoRights(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	if err := migrations.UpFiles(t.Context(), three(), url); err != nil {
		t.Fatal(err)
	}
	change(t, url, "CREATE ROLE reader LOGIN; GRANT SELECT ON schema_migrations TO reader")
	t.Cleanup(func() {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, "DROP OWNED BY reader; DROP ROLE reader"); err != nil {
			t.Error(err)
		}
	})
	if err := migrations.UpFiles(t.Context(), three(), strings.Replace(url, "postgres@", "reader@", 1)); err != nil {
		t.Fatalf("with a role that may only read: %v", err)
	}
}

func TestTo_DownAndUp(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	for _, version := range []uint{3, 2, 3, 0, 1, 1} {
		if err := migrations.ToFiles(t.Context(), three(), url, version); err != nil {
			t.Fatalf("to version %d: %v", version, err)
		}
		wantVersion(t, url, version)
	}
	if n := count(t, url, "SELECT count(*) FROM pg_class WHERE relname IN ('a', 'c')"); n != 1 {
		t.Fatalf("%d tables at version 1", n)
	}
}
