package store_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/store"
	"viridian/store/storetest"
)

func TestListen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := &world{TB: t, url: w.url, Store: w.open()}
	ctx, cancel := context.WithCancel(t.Context())
	heard := make(chan string, 100)
	ended := make(chan error, 1)
	go func() { ended <- w.Listen(ctx, func(environment string) { heard <- environment }) }()
	want := func(environment string) {
		t.Helper()
		select {
		case got := <-heard:
			if got != environment {
				t.Fatalf("heard %q, want %q", got, environment)
			}
		case <-time.After(time.Minute):
			t.Fatalf("did not hear %q", environment)
		}
	}
	want("")
	w.do("own", create("own", spec(t, webSpec))) // whoever changed it knows, so this is not heard
	other.do("shop", create("shop", spec(t, webSpec)))
	want("shop")
	w.must(w.Heartbeat(t.Context(), edge, 0))
	w.must(w.SignOff(t.Context(), edge))
	want("")
	w.record("shop", rollout.Facts{})
	w.do("own", lock)
	other.do("shop", lock)
	want("shop")
	if n := w.count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query = 'LISTEN viridian' AND datname = current_database()"); n != 1 {
		t.Fatalf("%d listeners", n)
	}
	want("") // it is back
	other.do("shop", unlock)
	want("shop")
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
}

// Through a pooler nothing is heard: that is said, with what to do, and once.
func TestListen_ThroughAPooler(t *testing.T) {
	t.Parallel()
	if !storetest.Pooled() {
		t.Skip("only with VIRIDIAN_TEST_PGBOUNCER=1")
	}
	var log lockedText
	w := newWorld(t)
	s := w.open(func(o *store.Options) {
		o.ListenURL = ""
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	ctx, cancel := context.WithCancel(t.Context())
	heard, ended := make(chan string, 10), make(chan error, 1)
	go func() { ended <- s.Listen(ctx, func(environment string) { heard <- environment }) }()
	select {
	case <-heard: // the start
	case <-time.After(time.Minute):
		t.Fatal("it does not begin")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if text := log.String(); strings.Count(text, "set listen_database_url") != 1 {
		t.Errorf("it logs: %s", text)
	}
}

type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
