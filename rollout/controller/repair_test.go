package controller

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"viridian/rollout"
)

// deploy registers the next generation, promotes it and waits until the node serves it.
func (r *replica) deploy() int {
	r.t.Helper()
	number := r.environment().LastNumber + 1
	r.register("shop", number)
	within(r.t, 15*time.Second, "ready", func() bool { return r.state(number) == rollout.Ready })
	r.await(r.promote(number).Revision, WaitApplied)
	within(r.t, time.Second, "served", func() bool { return slices.Equal(r.node.serves("shop"), []int{number}) })
	return number
}

// inOrder says whether the node does what the database says.
func (r *replica) inOrder() bool {
	e := r.environment()
	for _, n := range e.Nodes {
		if e.ReceiptState(n, time.Now()) != rollout.InSync {
			return false
		}
	}
	return len(e.Nodes) > 0 && e.Switch != nil && e.Switch.Status == rollout.Applied
}

func TestRepair_EditedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.deploy()
		r.node.edit("shop", 1)
		within(t, time.Second+100*time.Millisecond, "noticed and mended", func() bool {
			return r.store.kinds()[rollout.EventRouteDrifted] == 1 && r.inOrder() && slices.Equal(r.node.serves("shop"), []int{2})
		})
		if s := r.environment().Switch; s.Kind != rollout.SwitchHeal || s.Revision != 3 {
			t.Errorf("switch %+v", s)
		}
		// A hand that edits again and again makes no storm.
		before := len(r.store.kinds())
		for range 600 {
			r.node.edit("shop", 1)
			<-time.After(time.Second)
		}
		if s := r.environment().Switch; s.Revision > 3+25 {
			t.Errorf("%d heals in ten minutes", s.Revision-2)
		}
		within(t, 2*time.Minute, "mended in the end", r.inOrder)
		if kinds := r.store.kinds(); kinds[rollout.EventRouteDrifted] > 40 {
			t.Errorf("events %v, %d kinds before", kinds, before)
		}
	})
}

// A caller that waits for its promote to be applied is answered when the heal that keeps its route is.
func TestRepair_AwaitGoesThroughAHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.node.mu.Lock()
		r.node.fail = errors.New("stuck")
		r.node.mu.Unlock()
		r.register("shop", 2)
		within(t, 15*time.Second, "ready", func() bool { return r.state(2) == rollout.Ready || r.state(2) == rollout.Registered })
		r.node.mu.Lock()
		r.node.fail = nil
		r.node.mu.Unlock()
		within(t, 15*time.Second, "ready", func() bool { return r.state(2) == rollout.Ready })
		r.node.mu.Lock()
		r.node.fail = errors.New("stuck")
		route := r.environment().Route()
		route.Revision, route.Weights, route.Live = 2, rollout.Weights{1: 100}, 1
		r.node.routes["shop"] = route // somebody has been there before us
		r.node.mu.Unlock()
		revision := r.promote(2).Revision
		awaited := make(chan rollout.Environment, 1)
		go func() {
			e, reached, err := r.service.Await(t.Context(), "shop", revision, WaitApplied, time.Minute)
			if err != nil || !reached {
				t.Errorf("reached %v, %v", reached, err)
			}
			awaited <- e
		}()
		within(t, 10*time.Second, "healed", func() bool { return r.environment().Revision == revision+1 })
		select {
		case e := <-awaited:
			t.Fatalf("answered before anything was applied: %+v", e.Switch)
		default:
		}
		r.node.mu.Lock()
		r.node.fail = nil
		r.node.mu.Unlock()
		if e := <-awaited; e.Switch.Status != rollout.Applied || e.Switch.Revision != revision+1 {
			t.Errorf("answered with %+v", e.Switch)
		}
	})
}

// restored is a replica whose database is the copy of five switches ago: generation 1 is live there, the node serves 6.
func restored(t *testing.T, change func(*replica)) (r *replica, copied *memory) {
	t.Helper()
	r = world(t, nil)
	within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
	r.await(r.promote(1).Revision, WaitApplied)
	copied = r.store.backup()
	for range 5 {
		r.deploy()
	}
	if change != nil {
		change(r)
	}
	return r, copied
}

// wantRecovered looks at what a recover must have come to: above what the nodes held, and back on generation 1.
func (r *replica) wantRecovered(t *testing.T) {
	t.Helper()
	within(t, 20*time.Second, "recovered", func() bool { return r.inOrder() && slices.Equal(r.node.serves("shop"), []int{1}) })
	e := r.environment()
	if e.Switch.Kind != rollout.SwitchRecover || e.Revision != 7 || e.Live != 1 || e.LastNumber != 6 || e.Hold == nil {
		t.Errorf("revision %d, live %d, last number %d, hold %v, switch %+v", e.Revision, e.Live, e.LastNumber, e.Hold, e.Switch)
	}
	if n := r.store.kinds()[rollout.EventRouteAhead]; n != 1 {
		t.Errorf("told %d times", n)
	}
	within(t, 5*time.Second, "what is unknown is gone from the node", func() bool {
		r.node.mu.Lock()
		defer r.node.mu.Unlock()
		return slices.Equal(r.node.staged["shop"], []int{1})
	})
	if got := r.deploy(); got != 7 {
		t.Errorf("the next generation is %d", got)
	}
}

func TestRepair_DatabaseRestoredUnderARunningReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, copied := restored(t, nil)
		defer r.stop()
		r.store.restore(copied)
		within(t, time.Second+100*time.Millisecond, "noticed", func() bool { return r.store.kinds()[rollout.EventRouteAhead] == 1 })
		r.wantRecovered(t)
	})
}

func TestRepair_DatabaseRestoredAndReplicaRestarted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, copied := restored(t, nil)
		r.stop()
		again := startReplica(t, copied, r.node, "second", nil)
		defer again.stop()
		again.wantRecovered(t)
	})
}

// The generation that the copy says is live is dead: the traffic stays where it is, until somebody decides.
func TestRepair_HeldWhileTheTargetIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, copied := restored(t, func(r *replica) {
			r.reg.mu.Lock()
			r.reg.dead = 1
			r.reg.mu.Unlock()
		})
		defer r.stop()
		r.store.restore(copied)
		within(t, 15*time.Second, "held", func() bool { return r.store.kinds()[rollout.EventRecoveryHeld] == 1 })
		<-time.After(time.Minute)
		e := r.environment()
		if got := r.node.serves("shop"); !slices.Equal(got, []int{6}) || e.ReceiptState(e.Nodes[0], time.Now()) != rollout.Ahead {
			t.Fatalf("the node serves %v and is %s", got, e.ReceiptState(e.Nodes[0], time.Now()))
		}
		if n := r.store.kinds()[rollout.EventRecoveryHeld]; n != 1 {
			t.Errorf("told %d times", n)
		}
		if got := r.deploy(); got != 7 { // the way out: what serves is registered and promoted anew
			t.Errorf("deployed generation %d", got)
		}
		if e := r.environment(); e.Switch.Kind != rollout.SwitchRecover || e.Live != 7 {
			t.Errorf("live %d by %+v", e.Live, e.Switch)
		}
	})
}

// The copy is of before a removal that the running node has carried out: its word counts, not the copy's.
func TestRepair_TheNodeHasForgottenWhatTheCopySays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.deploy()
		copied := r.store.backup()
		if _, err := r.service.DeleteEnvironment(t.Context(), "shop", rollout.DeleteCommand{Force: true}, nil); err != nil {
			t.Fatal(err)
		}
		within(t, time.Minute, "forgotten", func() bool { return len(r.node.Environments()) == 0 })
		r.store.restore(copied)
		within(t, 5*time.Second, "served again", func() bool { return slices.Equal(r.node.serves("shop"), []int{2}) && r.inOrder() })
		out, err := r.service.Rollback(t.Context(), "shop", rollout.RollbackCommand{From: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.await(out.Revision, WaitApplied)
		if got := r.node.serves("shop"); !slices.Equal(got, []int{1}) {
			t.Errorf("the node serves %v", got)
		}
	})
}

// Nothing was switched since the copy: the node does what the copy says, and knows a number that the copy does not.
func TestRepair_OnlyAGenerationWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		copied := r.store.backup()
		r.register("shop", 2)
		within(t, 15*time.Second, "ready", func() bool { return r.state(2) == rollout.Ready })
		r.store.restore(copied)
		within(t, 2*time.Second, "noticed", func() bool { return r.environment().LastNumber == 2 })
		within(t, 2*time.Second, "dropped", func() bool {
			r.node.mu.Lock()
			defer r.node.mu.Unlock()
			return slices.Equal(r.node.staged["shop"], []int{1})
		})
		if got := r.deploy(); got != 3 || r.environment().Revision != 2 || r.store.kinds()[rollout.EventRouteAhead] != 1 {
			t.Errorf("deployed generation %d at revision %d, events %v", got, r.environment().Revision, r.store.kinds())
		}
	})
}

// The number of a lost generation is given out again before anybody has seen that it is taken: what the node has under
// it gives way, and never serves under the new one's name.
func TestRepair_ANumberGivenOutTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, copied := restored(t, nil)
		r.stop()
		other := startReplica(t, copied, newNode("n2"), "first", nil)
		copied.mu.Lock()
		copied.nodes = slices.DeleteFunc(copied.nodes, func(n rollout.Node) bool { return n.Name == "n1" }) // taken out
		copied.mu.Unlock()
		for range 6 { // 2 to 7, with other instances than before
			number := other.environment().LastNumber + 1
			out, err := other.service.RegisterGeneration(t.Context(), "shop", rollout.RegisterCommand{Version: "w", Groups: []rollout.Group{
				{Service: "web", Instances: []rollout.Instance{{ID: "b", Address: "10.0.0.1", Port: 9000 + number}}}}}, nil)
			if err != nil || out.Generation != number {
				t.Fatalf("generation %d: %v", out.Generation, err)
			}
			within(t, 15*time.Second, "ready", func() bool { return other.state(number) == rollout.Ready })
			other.await(other.promote(number).Revision, WaitApplied)
		}
		back := startReplica(t, copied, r.node, "second", nil)
		defer back.stop()
		defer other.stop()
		within(t, 15*time.Second, "both in order", func() bool { return len(back.environment().Nodes) == 2 && back.inOrder() })
		if got := back.node.serves("shop"); !slices.Equal(got, []int{7}) || back.node.ports["shop7"] != 9007 || back.node.ports["shop6"] != 9006 {
			t.Errorf("the node serves %v by %v", got, back.node.ports)
		}
	})
}

// A database that loses its last changes between two polls, as a standby may that takes over, is found behind its node:
// its version is the one that was last polled.
func TestRestore_BetweenTwoPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, time.Minute, "generation 1 is ready", func() bool { return r.state(1) == rollout.Ready })
		if _, err := r.service.PromoteGeneration(t.Context(), "shop", rollout.PromoteCommand{Generation: 1}, nil); err != nil {
			t.Fatal(err)
		}
		r.register("shop", 2)
		within(t, time.Minute, "generation 2 is ready", func() bool { return r.state(2) == rollout.Ready })
		<-time.After(2 * DefaultPoll) // which has polled
		synctest.Wait()
		copied := r.store.backup()
		if _, err := r.service.PromoteGeneration(t.Context(), "shop", rollout.PromoteCommand{Generation: 2}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := r.node.serves("shop"); !slices.Equal(got, []int{2}) {
			t.Fatalf("the node serves %v", got)
		}
		r.store.restore(copied)
		within(t, time.Minute, "the route is put above the node's", func() bool {
			return r.environment().Switch.Kind == rollout.SwitchRecover && slices.Equal(r.node.serves("shop"), []int{1})
		})
	})
}
