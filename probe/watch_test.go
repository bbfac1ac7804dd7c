package probe

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
)

type seen struct {
	state State
	err   error
}

// watched runs Watch over a server that can be told to fail, with a clock of
// the test's own.
type watched struct {
	clock   *clockwork.FakeClock
	failing atomic.Bool
	reports chan seen
	pauses  chan time.Duration
	ended   chan struct{}
	cancel  context.CancelFunc
}

func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{
		clock: clockwork.NewFakeClock(), reports: make(chan seen, 100), pauses: make(chan time.Duration, 100), ended: make(chan struct{}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if w.failing.Load() {
			rw.WriteHeader(http.StatusInternalServerError)
		}
	}))
	address, port := target(t, server.Listener.Addr())
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	go func() {
		defer close(w.ended)
		Watch(ctx, w.clock, httpHealth(5*time.Second), address, port,
			func(d time.Duration) time.Duration { w.pauses <- d; return d },
			func(s State, err error) { w.reports <- seen{s, err} })
	}()
	t.Cleanup(func() {
		cancel()
		<-w.ended
		server.Close()
	})
	return w
}

func (w *watched) want(t *testing.T, state State, failed bool) {
	t.Helper()
	select {
	case got := <-w.reports:
		if got.state != state || (got.err != nil) != failed {
			t.Fatalf("reported %s, %v, want %s, failed %v", got.state, got.err, state, failed)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was reported")
	}
}

// pass lets time go by once Watch waits for it.
func (w *watched) pass(t *testing.T, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := w.clock.BlockUntilContext(ctx, 1); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(d)
}

func (w *watched) wantPause(t *testing.T, want time.Duration) {
	t.Helper()
	if got := <-w.pauses; got != want {
		t.Fatalf("pause of %s, want %s", got, want)
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	w := watch(t) // interval 1 s, healthy after 2, unhealthy after 3
	w.want(t, Unknown, false)
	w.wantPause(t, 100*time.Millisecond)
	w.pass(t, 100*time.Millisecond)
	w.want(t, Healthy, false)
	w.wantPause(t, 100*time.Millisecond)
	w.wantPause(t, time.Second) // known now: no short pause any more
	w.failing.Store(true)
	for _, state := range []State{Healthy, Healthy, Unhealthy} {
		w.pass(t, time.Second)
		w.want(t, state, true)
		w.wantPause(t, time.Second)
	}
	w.cancel()
	<-w.ended
	if len(w.reports) > 0 {
		t.Fatal("reported after its end")
	}
}

func TestWatch_FirstVerdictUnhealthy(t *testing.T) {
	t.Parallel()
	w := watch(t)
	w.failing.Store(true)
	first := <-w.reports // may have been asked before it was told to fail
	answers := []State{Unknown, Unhealthy}
	if first.err == nil {
		answers = []State{Unknown, Unknown, Unhealthy}
	}
	for _, state := range answers {
		w.pass(t, 100*time.Millisecond)
		w.want(t, state, true)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	health := httpHealth(time.Second)
	for _, tt := range []struct {
		interval       time.Duration
		unknown, known time.Duration
	}{
		{10 * time.Second, time.Second, 10 * time.Second},
		{200 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond},
		{20 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond},
	} {
		health.Interval = rollout.Duration(tt.interval)
		if got := pause(health, Unknown, nil); got != tt.unknown {
			t.Errorf("interval %s, unknown: %s, want %s", tt.interval, got, tt.unknown)
		}
		if got := pause(health, Healthy, nil); got != tt.known {
			t.Errorf("interval %s, known: %s, want %s", tt.interval, got, tt.known)
		}
	}
	for range 1000 {
		if got := Spread(time.Second); got < 900*time.Millisecond || got > 1100*time.Millisecond {
			t.Fatalf("a second became %s", got)
		}
	}
}
