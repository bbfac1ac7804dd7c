package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

func keyed(key, body string) *controller.IdempotencyKey {
	sum := sha256.Sum256([]byte(body))
	return &controller.IdempotencyKey{Caller: "ci", Key: key, BodyHash: sum[:]}
}

func TestIdempotency_Replay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	cmd := controller.Command{Environment: "shop", Key: keyed("k", "promote 2")}
	first := must(w.Transact(t.Context(), cmd, promote(2)))
	if !first.Changed || first.Replayed || first.Revision != 2 {
		t.Fatalf("first: %+v", first.Answer)
	}
	again := must(w.Transact(t.Context(), cmd, func(rollout.Environment, time.Time) (rollout.Transition, error) {
		t.Error("a replay decides")
		return rollout.Transition{}, errors.New("no")
	}))
	if !again.Replayed || !again.Changed || again.Revision != 2 || again.Generation != 2 || again.Response != nil || again.Environment.Revision != 2 {
		t.Fatalf("replay: %+v", again)
	}

	w.must(w.SaveResponse(t.Context(), *cmd.Key, 200, []byte("first")))
	w.must(w.SaveResponse(t.Context(), *cmd.Key, 500, []byte("second")))
	w.must(w.SaveResponse(t.Context(), *keyed("refused", ""), 409, nil))
	again = must(w.Transact(t.Context(), cmd, promote(2)))
	if again.Response == nil || again.Response.Status != 200 || !bytes.Equal(again.Response.Body, []byte("first")) {
		t.Fatalf("saved response: %+v", again.Response)
	}
	_, err := w.Transact(t.Context(), controller.Command{Environment: "shop", Key: keyed("k", "promote 3")}, promote(2))
	wantCode(t, err, rollout.IdempotencyKeyReused)
	other := *cmd.Key
	other.Caller = "ops"
	if out := must(w.Transact(t.Context(), controller.Command{Environment: "shop", Key: &other}, promote(2))); out.Replayed || out.Changed {
		t.Fatalf("the same key of another caller: %+v", out)
	}
	if n := w.count("SELECT count(*) FROM switch"); n != 2 {
		t.Fatalf("%d switches", n)
	}
	_, err = w.raw().Exec(t.Context(), "UPDATE idempotency SET response = 'x', status = 1 WHERE caller = 'ci'")
	if constraint(err) != "idempotency_write_once" {
		t.Fatalf("the response is not write-once: %v", err)
	}
}

// A refused command leaves its key free, so that the same request can be sent again when the reason is gone.
func TestIdempotency_RefusedLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	cmd := controller.Command{Environment: "shop", Key: keyed("k", "b")}
	_, err := w.Transact(t.Context(), cmd, promote(2, 9))
	wantCode(t, err, rollout.RevisionMismatch)
	if out := must(w.Transact(t.Context(), cmd, promote(2, 1))); out.Replayed || !out.Changed {
		t.Fatalf("after the refusal: %+v", out.Answer)
	}
}

func TestIdempotency_Expires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	cmd := controller.Command{Environment: "shop", Key: keyed("k", "b")}
	must(w.Transact(t.Context(), cmd, promote(2)))
	age := func() {
		conn := w.raw()
		_, err := conn.Exec(t.Context(), "SET session_replication_role = replica; UPDATE idempotency SET created_at = created_at - interval '25 hours'")
		w.must(err)
	}
	age()
	if out := must(w.Transact(t.Context(), controller.Command{Environment: "shop", Key: keyed("k", "another")}, promote(2))); out.Replayed || out.Changed {
		t.Fatalf("an expired key counts: %+v", out)
	}
	w.must(w.Prune(t.Context()))
	if n := w.count("SELECT count(*) FROM idempotency WHERE caller = 'ci'"); n != 1 {
		t.Fatalf("prune left %d records of the caller, want the fresh one", n)
	}
	age()
	w.must(w.Prune(t.Context()))
	if n := w.count("SELECT count(*) FROM idempotency"); n != 0 {
		t.Fatalf("prune left %d expired records", n)
	}
}

// A key whose command is just being carried out is in flight; its environment is busy.
func TestIdempotency_InFlightAndBusy(t *testing.T) {
	t.Parallel()
	points := must(failpoint.New("promote.decided=hang"))
	w := newWorld(t)
	w.shop()
	slow := w.open(func(o *store.Options) { o.Failpoints = points })
	quick := w.open(func(o *store.Options) { o.LockTimeout = 50 * time.Millisecond })
	ctx, cancel := context.WithCancel(t.Context())
	cmd := controller.Command{Environment: "shop", Key: keyed("k", "b"), Decided: failpoint.PromoteDecided}
	var done sync.WaitGroup
	done.Go(func() { _, _ = slow.Transact(ctx, cmd, promote(2)) })
	select {
	case <-points.Reached(failpoint.PromoteDecided):
	case <-time.After(time.Minute):
		t.Fatal("the command does not begin")
	}
	_, err := quick.Transact(t.Context(), cmd, promote(2))
	wantCode(t, err, rollout.IdempotencyInFlight)
	_, err = quick.Transact(t.Context(), controller.Command{Environment: "shop", Key: keyed("k2", "b")}, promote(2))
	wantCode(t, err, rollout.EnvironmentBusy)
	_, err = quick.Record(t.Context(), "shop", 0, rollout.Facts{})
	wantCode(t, err, rollout.EnvironmentBusy)
	cancel()
	done.Wait()
	if out := must(w.Transact(t.Context(), cmd, promote(2))); out.Replayed || !out.Changed {
		t.Fatalf("after the first one was given up: %+v", out.Answer)
	}
}

func TestIdempotency_SameKeyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	var mu sync.Mutex
	var fresh, same int
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			out, err := w.Transact(t.Context(), controller.Command{Environment: "shop", Key: keyed("k", "b")}, promote(2))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !out.Replayed {
				fresh++
			}
			if out.Revision == 2 && out.Changed {
				same++
			}
		})
	}
	all.Wait()
	if fresh != 1 || same != 16 {
		t.Fatalf("%d of 16 did it, %d got its answer", fresh, same)
	}
}
