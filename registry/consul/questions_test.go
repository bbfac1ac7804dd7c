package consul

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
)

// listen starts an instance that tells the digest once the gate is open.
func listen(t *testing.T, id string, gate <-chan struct{}) rollout.Instance {
	t.Helper()
	return answering(t, id, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-gate:
			_, _ = w.Write([]byte("sha256:good"))
		case <-r.Context().Done():
		}
	})
}

func answering(t *testing.T, id string, handler http.HandlerFunc) rollout.Instance {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	at, ok := server.Listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no TCP address")
	}
	return rollout.Instance{ID: id, Address: "127.0.0.1", Port: at.Port, Meta: map[string]string{metaNode: "n", metaServiceID: id}}
}

// TestDigests_AreAwaited: a watch begins anew with each change of members, and members that tell at once are not unknown
// in its first report. One that is silent holds it up for a moment only.
func TestDigests_AreAwaited(t *testing.T) {
	t.Parallel()
	open, shut := make(chan struct{}), make(chan struct{})
	close(open)
	a, b := listen(t, "a", open), listen(t, "b", open)
	silent := listen(t, "silent", shut)
	clock := clockwork.NewFakeClock()
	d := newDigests(clock, rollout.Adoption{DigestPath: "/digest"}, "sha256:good")
	ctx, end := context.WithCancel(t.Context())
	defer d.wait()
	defer end()
	d.ask(ctx, []asked{{a, true}, {b, true}, {silent, true}})
	d.await(ctx, []rollout.Instance{a, b})
	for _, in := range []rollout.Instance{a, b} {
		if says, known := d.of(in, nil); says != "" || !known {
			t.Errorf("%s: %q, known %v", in.ID, says, known)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.await(ctx, []rollout.Instance{a, b, silent})
	}()
	if err := clock.BlockUntilContext(ctx, 3); err != nil { // the pauses of a and b, and the wait
		t.Fatal(err)
	}
	clock.Advance(digestGrace)
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("a silent instance holds the watch up")
	}
	if _, known := d.of(silent, nil); known {
		t.Error("something is known of a silent instance")
	}
}

// TestDigests_AskTheOnesThatMatter: what was told by one that is gone, or is at another address now, does not count.
func TestDigests_AskTheOnesThatMatter(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	close(open)
	a, b := listen(t, "a", open), listen(t, "b", open)
	d := newDigests(clockwork.NewFakeClock(), rollout.Adoption{DigestPath: "/digest"}, "sha256:good")
	ctx, end := context.WithCancel(t.Context())
	defer d.wait()
	defer end()
	d.ask(ctx, []asked{{a, true}, {b, true}})
	d.await(ctx, []rollout.Instance{a, b})
	d.ask(ctx, []asked{{a, true}})
	if _, known := d.of(a, nil); !known || len(d.open) != 1 {
		t.Errorf("of a: known %v, and %d are asked", known, len(d.open))
	}
	if _, known := d.of(b, nil); known {
		t.Error("what b told counts though it is gone")
	}
	moved := a
	moved.Port = b.Port
	if _, known := d.of(moved, nil); known {
		t.Error("what a told counts at another address")
	}
}

// TestDigests_AskAnewOnceItPasses: what an instance says while it starts is not held against it.
func TestDigests_AskAnewOnceItPasses(t *testing.T) {
	t.Parallel()
	var started atomic.Bool
	a := answering(t, "a", func(w http.ResponseWriter, _ *http.Request) {
		if !started.Load() {
			http.Error(w, "starting", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("sha256:good"))
	})
	d := newDigests(clockwork.NewFakeClock(), rollout.Adoption{DigestPath: "/digest"}, "sha256:good")
	ctx, end := context.WithCancel(t.Context())
	defer d.wait()
	defer end()
	d.ask(ctx, []asked{{a, false}})
	d.await(ctx, []rollout.Instance{a})
	if says, known := d.of(a, nil); says != "a does not tell what it runs: answered with status 503" || !known {
		t.Errorf("while it starts: %q, known %v", says, known)
	}
	started.Store(true)
	d.ask(ctx, []asked{{a, true}})
	d.await(ctx, []rollout.Instance{a})
	if says, known := d.of(a, nil); says != "" || !known {
		t.Errorf("once it passes: %q, known %v", says, known)
	}
}
