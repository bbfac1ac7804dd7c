package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"viridian/rollout"
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
