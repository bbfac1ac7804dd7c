package pglocal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// parentEnv makes the test binary play a program that runs a server on the
// named data folder: it prints the server's URL and process id and waits to be
// killed or interrupted.
const parentEnv = "VIRIDIAN_PGLOCAL_TEST_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		if err := playParent(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func playParent(dir string) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	s, err := Start(ctx, Options{DataDir: dir})
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%d\n", s.URL("postgres"), s.PID())
	<-ctx.Done()
	// The test lets us go on once it has seen that Postgres is untouched.
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return s.Stop(context.Background())
}

// needPostgres skips on a machine without Postgres, and fails where CI=true.
func needPostgres(t *testing.T) {
	t.Helper()
	_, err := Find()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// dataDir returns a folder that the account of Postgres can enter, which
// t.TempDir is not when root runs the tests.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "pg")
}

func within(t *testing.T, patience time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, o Options) *Server {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := Start(within(t, time.Minute), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func query(t *testing.T, url, sql string) {
	t.Helper()
	ctx := within(t, 30*time.Second)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

// busy opens a session that works until the server ends.
func busy(t *testing.T, url string) {
	t.Helper()
	ctx := within(t, time.Minute)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = conn.Exec(ctx, "SELECT pg_sleep(600)")
	}()
	t.Cleanup(func() {
		<-ended
		_ = conn.Close(ctx)
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	if err := poll(t.Context(), 30*time.Second, done); err != nil {
		t.Fatalf("never came true: %s", what)
	}
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	var state string
	if err == nil {
		state = processState(stat)
	}
	return state != "" && state != "Z" && state != "X" && syscall.Kill(pid, 0) != syscall.ESRCH
}
