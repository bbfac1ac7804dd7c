package pglocal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServer_KeepsDataAndURLOverStopAndStart(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := dataDir(t)
	first := start(t, Options{DataDir: dir, Durable: true})
	if first.DataDir() != dir {
		t.Fatalf("data lies in %s, want %s", first.DataDir(), dir)
	}
	info, err := os.Stat(first.folder.cluster())
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("cluster folder: mode %v, error %v, want 0700", info.Mode(), err)
	}
	for range 2 {
		if err := first.CreateDatabase(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
	}
	query(t, first.URL("shop"), "CREATE TABLE kept ()")
	for range 2 {
		if err := first.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if first.PID() != 0 || exists(first.socketDir) {
		t.Fatalf("after Stop: pid %d, socket folder there: %v", first.PID(), exists(first.socketDir))
	}

	second := start(t, Options{DataDir: dir, Durable: true})
	query(t, first.URL("shop"), "SELECT FROM kept")
	if second.URL("shop") != first.URL("shop") {
		t.Fatalf("URL changed from %s to %s", first.URL("shop"), second.URL("shop"))
	}
	if !exists(second.folder.log()+".1") || strings.Contains(second.folder.logTail(), "shutting down") {
		t.Fatal("the log of the first start was not put aside")
	}
}

func TestServer_RestartAfterKill(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	s := start(t, Options{DataDir: dataDir(t)})
	url := s.URL("postgres")
	query(t, url, "CREATE TABLE kept ()")
	for range 3 {
		busy(t, url)
		s.Kill()
		if s.PID() != 0 {
			t.Fatal("still runs after Kill")
		}
		if err := s.Restart(within(t, time.Minute)); err != nil {
			t.Fatal(err)
		}
		query(t, url, "SELECT FROM kept")
	}
	old := s.PID()
	if err := s.Restart(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	if s.PID() == old {
		t.Fatal("Restart of a running server left it as it was")
	}
	query(t, url, "SELECT FROM kept")
}

func TestServer_StopThatMayNotWait(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	s := start(t, Options{DataDir: dataDir(t)})
	process := s.process
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Stopped, Postgres cannot obey an orderly shutdown.
	process.signal(syscall.SIGSTOP)
	resumed := time.AfterFunc(100*time.Millisecond, func() { process.signal(syscall.SIGCONT) })
	defer resumed.Stop()
	if err := s.Stop(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Stop: %v, want the context's error", err)
	}
	if process.running() {
		t.Fatal("still runs")
	}
}

func TestStart_FolderInUse(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	s := start(t, Options{DataDir: dataDir(t)})
	_, err := Start(t.Context(), Options{DataDir: s.DataDir()})
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.Holder != os.Getpid() || inUse.Postmaster != s.PID() {
		t.Fatalf("second start: %v, want held by %d with Postgres %d", err, os.Getpid(), s.PID())
	}

	// A server without a holder, as one started by hand.
	if err := s.lock.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = Start(ctx, Options{DataDir: s.DataDir()})
	if !errors.As(err, &inUse) || inUse.Holder != 0 || inUse.Postmaster != s.PID() || !strings.Contains(err.Error(), "kill -INT") {
		t.Fatalf("start beside a Postgres without holder: %v", err)
	}
	query(t, s.URL("postgres"), "SELECT 1")
}

func TestStart_OtherMajorVersion(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := dataDir(t)
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(t.Context(), Options{DataDir: dir})
	var version *VersionError
	if !errors.As(err, &version) || version.Data != "9" {
		t.Fatalf("start: %v, want a VersionError", err)
	}
	for _, part := range []string{"PostgreSQL 9", "PostgreSQL " + version.Installed, binEnv, "move the folder away"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q lacks %q", err, part)
		}
	}
}

func TestStart_InterruptedInit(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := dataDir(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		_ = poll(ctx, 10*time.Second, func() bool {
			half, _ := filepath.Glob(filepath.Join(dir, "initdb-*", "base"))
			return len(half) > 0
		})
	}()
	if _, err := Start(ctx, Options{DataDir: dir}); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted start: %v", err)
	}
	if exists(filepath.Join(dir, "data")) {
		t.Fatal("a half-made cluster lies where a whole one should be")
	}
	// What a killed process leaves behind.
	left := filepath.Join(dir, "initdb-left")
	if err := os.MkdirAll(filepath.Join(left, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := start(t, Options{DataDir: dir})
	query(t, s.URL("postgres"), "SELECT 1")
	if exists(left) {
		t.Fatal("the rest of the interrupted start is still there")
	}
}

func TestStart_FailureShowsLog(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	s := start(t, Options{DataDir: dataDir(t)})
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(s.folder.cluster(), "postgresql.conf")
	if err := os.WriteFile(conf, []byte("no_such_setting = 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), Options{DataDir: s.DataDir()}); err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Fatalf("start with a broken configuration: %v", err)
	}
}
