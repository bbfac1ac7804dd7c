package storetest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/migrations"
)

func TestDatabase_IsFreshAndMigrated(t *testing.T) {
	t.Parallel()
	for range 3 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			url := Database(t)
			version, dirty, err := migrations.Version(t.Context(), url)
			if err != nil || dirty || version != migrations.Latest() {
				t.Fatalf("version %d, dirty %v, error %v, want %d", version, dirty, err, migrations.Latest())
			}
			// Left open on purpose: the end of the test must drop the database all the same.
			conn, err := pgx.Connect(context.Background(), url)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), "CREATE TABLE mine ()"); err != nil {
				t.Fatalf("not a database of its own: %v", err)
			}
		})
	}
}

func TestDatabase_IsDropped(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("test", func(t *testing.T) { url = EmptyDatabase(t) })
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		_ = conn.Close(t.Context())
		t.Fatal("the database outlives its test")
	}
}

func TestServer_StopKillRestart(t *testing.T) {
	t.Parallel()
	s := Server(t)
	url := s.URL("postgres")
	s.Kill()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(t.Context())
}

func TestSweep(t *testing.T) {
	t.Parallel()
	need(t)
	base := Folder(t)
	folder := func(name string) string {
		dir := filepath.Join(base, name)
		if err := os.MkdirAll(filepath.Join(dir, "pg", "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	left, fresh, foreign := folder(prefix+"left"), folder(prefix+"fresh"), folder("foreign")
	used := folder(prefix + "used")
	if err := os.RemoveAll(filepath.Join(used, "pg")); err != nil {
		t.Fatal(err)
	}
	s := Server(t)
	if err := os.Symlink(s.DataDir(), filepath.Join(used, "pg")); err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour)
	for _, dir := range []string{left, foreign, used} {
		if err := os.Chtimes(dir, past, past); err != nil {
			t.Fatal(err)
		}
	}
	if err := sweep(base); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{left: false, fresh: true, foreign: true, used: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s there: %v, want %v", dir, err == nil, want)
		}
	}
}
