package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
)

// stalling is a store whose calls, and one clock whose timers, do not come through while the process is stopped.
type stalling struct {
	*memory
	mu      sync.Mutex
	stopped chan struct{} // closed when it goes on; nil while it runs
}

func (s *stalling) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = make(chan struct{})
}

func (s *stalling) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.stopped)
	s.stopped = nil
}

func (s *stalling) wait() {
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
}

// The methods that the loops begin with, and the one that they record with.

func (s *stalling) ClaimLeases(ctx context.Context, holder string, ttl time.Duration, except ...string) ([]Lease, error) {
	s.wait()
	return s.memory.ClaimLeases(ctx, holder, ttl, except...)
}

func (s *stalling) Heartbeat(ctx context.Context, n rollout.Node, quiet time.Duration) error {
	s.wait()
	return s.memory.Heartbeat(ctx, n, quiet)
}

func (s *stalling) Environment(ctx context.Context, name string) (rollout.Environment, time.Time, error) {
	s.wait()
	return s.memory.Environment(ctx, name)
}

func (s *stalling) Record(ctx context.Context, name string, term int64, facts rollout.Facts) (rollout.Environment, error) {
	s.wait()
	return s.memory.Record(ctx, name, term, facts)
}

// late is a clock whose timers never fire by themselves, as in a process that was stopped and has just gone on.
type late struct{ clockwork.Clock }

func (late) AfterFunc(time.Duration, func()) clockwork.Timer { return neverTimer{} }

type neverTimer struct{}

func (neverTimer) Chan() <-chan time.Time   { return nil }
func (neverTimer) Reset(time.Duration) bool { return true }
func (neverTimer) Stop() bool               { return true }

// A replica that dies without a word is followed by another as soon as its lease is over.
func TestWorker_TakesOverFromTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		other := startReplica(t, r.store, newNode("n2"), "first", nil)
		defer other.stop()
		within(t, 15*time.Second, "staged on both", func() bool {
			ok, _ := r.environment().StagedEverywhere(1, time.Now())
			return ok && len(r.environment().Nodes) == 2
		})
		r.store.mu.Lock()
		lease := r.store.leases["shop"]
		r.store.mu.Unlock()
		r.stop()
		r.store.mu.Lock() // as if it had not given it back
		r.store.leases["shop"], r.store.holder["shop"] = lease, "n1/first"
		r.store.mu.Unlock()
		start := time.Now()
		within(t, DefaultLeaseTTL+2*time.Second, "taken over", func() bool {
			r.store.mu.Lock()
			defer r.store.mu.Unlock()
			return r.store.holder["shop"] == "n2/first" && r.store.leases["shop"].Term == lease.Term+1
		})
		if time.Now().Before(lease.ExpiresAt) {
			t.Errorf("taken over %s before the lease was over", time.Until(lease.ExpiresAt))
		}
		other.register("shop", 2)
		within(t, 15*time.Second, "ready", func() bool { return other.state(2) == rollout.Ready })
		t.Logf("taken over after %s", time.Since(start))
	})
}

// A replica that is stopped for longer than its lease and then goes on does no work under it, and nothing that it had
// seen is recorded.
func TestWorker_WakesUpTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newMemory(nil)
		slow := &stalling{memory: shared}
		r := startReplica(t, shared, newNode("n1"), "first", nil, func(o *Options) { o.Store = slow })
		defer r.stop()
		r.create("shop")
		r.register("shop", 1)
		within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		slow.stop()
		other := startReplica(t, shared, newNode("n2"), "first", nil)
		defer other.stop()
		within(t, 15*time.Second, "taken over, and n1 counts as silent", func() bool {
			e := r.environment()
			ok, _ := e.StagedEverywhere(1, time.Now())
			return ok && len(e.Nodes) == 2 && len(e.RequiredNodes(time.Now())) == 1 && shared.term("shop") == 2
		})
		other.register("shop", 2)
		within(t, 15*time.Second, "ready", func() bool { return other.state(2) == rollout.Ready })
		other.await(other.promote(2).Revision, WaitApplied)
		r.reg.mu.Lock()
		calls, watching := r.reg.calls, r.reg.watching
		r.reg.mu.Unlock()
		if watching != 0 {
			t.Errorf("%d watches under a lease that is over", watching)
		}
		slow.resume()
		within(t, 5*time.Second, "n1 has caught up", func() bool { return slices.Equal(r.node.serves("shop"), []int{2}) && r.inOrder() })
		r.reg.mu.Lock()
		defer r.reg.mu.Unlock()
		if r.reg.calls != calls || r.reg.watching != 0 || shared.term("shop") != 2 {
			t.Errorf("it did work: %d calls, %d watches, term %d", r.reg.calls-calls, r.reg.watching, shared.term("shop"))
		}
	})
}

func (m *memory) term(name string) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.leases[name].Term
}

// The clock is looked at before anything is done under a lease: the timer that ends it may come later.
func TestTenure_LooksAtTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory(nil)
		o := Options{Store: store, Clock: late{clockwork.NewRealClock()}, LeaseTTL: DefaultLeaseTTL, CallTimeout: DefaultCallTimeout}
		w := NewWorker(o.quietly())
		tenure := newTenure(t.Context(), w, Lease{Environment: "shop", Term: 1}, time.Now().Add(time.Second))
		if !tenure.alive() || !tenure.prolong(time.Now().Add(2*time.Second)) {
			t.Fatal("over before its time")
		}
		<-time.After(2 * time.Second)
		if tenure.alive() || tenure.ctx.Err() == nil || tenure.prolong(time.Now().Add(time.Second)) {
			t.Error("trusted after its time")
		}
	})
}

// A hint is enough to follow at once; without one the poll finds out.
func TestFollower_HintsSaveThePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		hub := NewHub()
		other := startReplica(t, r.store, newNode("n2"), "first", nil, func(o *Options) { o.Hub = hub })
		defer other.stop()
		within(t, 15*time.Second, "staged on both", func() bool {
			ok, _ := r.environment().StagedEverywhere(1, time.Now())
			return ok && len(r.environment().Nodes) == 2 && r.state(1) == rollout.Ready
		})
		<-time.After(10 * time.Millisecond) // not at the time of a poll
		start := time.Now()
		revision := r.promote(1).Revision
		hub.Hint("shop")
		synctest.Wait()
		if got := other.node.serves("shop"); !slices.Equal(got, []int{1}) || time.Since(start) != 0 {
			t.Errorf("after a hint the other node serves %v, %s later", got, time.Since(start))
		}
		r.await(revision, WaitApplied)
		start = time.Now()
		if _, err := r.service.SetWeights(t.Context(), "shop", rollout.WeightsCommand{Weights: rollout.Weights{1: 100}}, nil); err != nil {
			t.Fatal(err)
		}
		r.register("shop", 2)
		within(t, 15*time.Second, "ready, without a hint", func() bool { return r.state(2) == rollout.Ready })
		r.await(r.promote(2).Revision, WaitApplied)
		if got := other.node.serves("shop"); !slices.Equal(got, []int{2}) {
			t.Errorf("without a hint the other node serves %v after %s", got, time.Since(start))
		}
	})
}

// What a newer version wrote is left to it: no lease, no decision, no crash, and one line in the log of each loop.
func TestForeign_IsLeftToNewerReplicas(t *testing.T) {
	for name, change := range map[string]func(*rollout.Environment){
		"switch kind":      func(e *rollout.Environment) { s := *e.Switch; s.Kind = "canary"; e.Switch = &s },
		"generation state": func(e *rollout.Environment) { e.Generations[1].State = "frozen" },
		"spec":             func(e *rollout.Environment) { e.Spec.Foreign = "unknown field \"freeze\"" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { foreignIsLeft(t, change) })
		})
	}
}

func foreignIsLeft(t *testing.T, change func(*rollout.Environment)) {
	log := &lines{}
	r := startReplica(t, newMemory(nil), newNode("n1"), "first", nil, func(o *Options) { o.Log = log.logger() })
	defer r.stop()
	r.create("shop")
	r.register("shop", 1)
	within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
	r.await(r.promote(1).Revision, WaitApplied)
	r.deploy()
	ours := r.environment()
	r.store.change("shop", change)
	var newer []Lease
	within(t, 2*time.Second, "the lease is given back", func() bool {
		var err error
		newer, err = r.store.ClaimLeases(t.Context(), "newer", time.Hour)
		return err == nil && len(newer) == 1
	})
	// The newer replica switches: the node follows, whatever the switch is called.
	r.store.change("shop", func(e *rollout.Environment) {
		s := *e.Switch
		s.Revision, s.Weights = e.Revision+1, rollout.Weights{1: 100}
		e.Switch, e.Revision, e.Weights, e.Live = &s, s.Revision, s.Weights, 1
	})
	within(t, 2*time.Second, "the node follows", func() bool { return slices.Equal(r.node.serves("shop"), []int{1}) })
	<-time.After(10 * time.Minute)
	e := r.environment()
	if e.Switch.Status == rollout.Applied && ours.Switch.Revision != e.Switch.Revision && e.Switch.AppliedAt != ours.Switch.AppliedAt {
		t.Errorf("it was settled: %+v", e.Switch)
	}
	if got, ok := e.Receipt(e.Nodes[0]); !ok || got.Revision != e.Revision {
		t.Errorf("what the node does is not recorded: %+v", got)
	}
	var refusal *rollout.Refusal
	if _, err := r.service.Rollback(t.Context(), "shop", rollout.RollbackCommand{To: 1}, nil); !errors.As(err, &refusal) || refusal.Code != rollout.Unavailable || len(refusal.Fixes) == 0 {
		t.Errorf("a command is answered with %v", err)
	}
	if _, _, _, err := r.service.PlanPromotion(t.Context(), "shop", rollout.PromoteCommand{Generation: 1}); !errors.As(err, &refusal) || refusal.Code != rollout.Unavailable {
		t.Errorf("a plan is answered with %v", err)
	}
	if n := log.count("newer version"); n != 2 {
		t.Errorf("%d lines in the log:\n%s", n, log.text())
	}
	// It is understood again, and the newer one is gone.
	r.store.change("shop", func(e *rollout.Environment) {
		e.Spec, e.Switch, e.Generations = ours.Spec, ours.Switch, ours.Generations
	})
	if err := r.store.ReleaseLeases(t.Context(), "newer"); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "claimed again", func() bool {
		r.store.mu.Lock()
		defer r.store.mu.Unlock()
		return r.store.holder["shop"] == "n1/first"
	})
}

// An environment that the database has never heard of is served on, and the log says so once.
func TestFollower_ServesWhatTheDatabaseDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.stop()
		log := &lines{}
		again := startReplica(t, newMemory(nil), r.node, "second", nil, func(o *Options) { o.Log = log.logger() })
		defer again.stop()
		<-time.After(time.Minute)
		if got := again.node.serves("shop"); !slices.Equal(got, []int{1}) || log.count("does not know") != 1 {
			t.Errorf("the node serves %v, and the log says\n%s", got, log.text())
		}
		again.create("shop") // of the same name: its node is found ahead, and nothing is taken from it
		<-time.After(time.Minute)
		if got := again.node.serves("shop"); !slices.Equal(got, []int{1}) || again.store.kinds()[rollout.EventRecoveryHeld] != 1 {
			t.Errorf("the node serves %v, events %v", got, again.store.kinds())
		}
		if got := again.deploy(); got != 2 || !again.inOrder() {
			t.Errorf("deployed generation %d", got)
		}
		if s := again.environment().Switch; s.Kind != rollout.SwitchRecover || s.Revision != 2 {
			t.Errorf("switch %+v", s)
		}
	})
}
