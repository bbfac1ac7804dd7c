package storetest

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"viridian/store/pglocal"
)

const (
	prefix = "viridian-storetest-"
	// settleTime is how long a new folder may be without its lock.
	settleTime = time.Minute
)

// Server returns a Postgres of the test's own, to Stop, Kill and Restart; its
// URL stays the same. It has no database of ours: see CreateDatabase and
// migrations.Up. It is stopped and removed when the test ends. A start takes
// about a second: prefer Database where that is enough.
func Server(t testing.TB) *pglocal.Server {
	t.Helper()
	return ServerIn(t, Folder(t))
}

// ServerIn is Server with its data in a folder, which the user whom Postgres
// runs as can enter.
func ServerIn(t testing.TB, folder string) *pglocal.Server {
	t.Helper()
	need(t)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	server, err := pglocal.Start(ctx, pglocal.Options{
		DataDir: filepath.Join(folder, "pg"),
		Logger:  slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Folder returns an empty folder that is removed when the test ends, and that
// the user whom Postgres runs as can enter. When root runs the tests, that is
// not so for t.TempDir.
func Folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// need skips on a machine without Postgres, or without the PgBouncer that is
// asked for, and fails where CI=true.
func need(t testing.TB) {
	t.Helper()
	_, err := installed()
	if err == nil && Pooled() {
		_, err = poolerInstalled()
	}
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

func startShared() (*pglocal.Server, error) {
	// Short, because the socket lies in it.
	base := "/tmp"
	if err := sweep(base); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(base, prefix)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return pglocal.Start(ctx, pglocal.Options{
		DataDir:   filepath.Join(dir, "pg"),
		SocketDir: filepath.Join(dir, "s"),
	})
}

func ours(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(stat.Uid) == os.Geteuid()
}

// sweep removes what earlier test processes left behind. Folders in use, and
// those of other users, stay.
func sweep(base string) error {
	leftovers, err := filepath.Glob(filepath.Join(base, prefix+"*"))
	if err != nil {
		return err
	}
	// Whoever is still ending is left to a later run.
	impatient, cancel := context.WithCancel(context.Background())
	cancel()
	for _, dir := range leftovers {
		info, err := os.Lstat(dir)
		if err != nil || !ours(info) || time.Since(info.ModTime()) < settleTime {
			continue
		}
		data := filepath.Join(dir, "pg")
		if _, err := os.Stat(data); err == nil && pglocal.Remove(impatient, data) != nil {
			continue
		}
		_ = os.RemoveAll(dir)
	}
	return nil
}
