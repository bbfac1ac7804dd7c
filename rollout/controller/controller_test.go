package controller

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
)

func (r *replica) promote(number int) Outcome {
	r.t.Helper()
	out, err := r.service.PromoteGeneration(r.t.Context(), "shop", rollout.PromoteCommand{Generation: number, Supersede: true}, nil)
	if err != nil {
		r.t.Fatalf("promote %d: %v", number, err)
	}
	return out
}

func (r *replica) await(revision int64, wait WaitFor) {
	r.t.Helper()
	if _, reached, err := r.service.Await(r.t.Context(), "shop", revision, wait, time.Minute); err != nil || !reached {
		r.t.Fatalf("await %d %s: reached %v, %v", revision, wait, reached, err)
	}
}

func TestController_MainJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "generation 1 ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.register("shop", 2)
		within(t, 5*time.Second, "generation 2 ready", func() bool { return r.state(2) == rollout.Ready })
		start := time.Now()
		r.await(r.promote(2).Revision, WaitApplied)
		if took := time.Since(start); took != 0 {
			t.Errorf("a switch waited %s for a poll", took)
		}
		if got := r.node.serves("shop"); len(got) != 1 || got[0] != 2 {
			t.Errorf("the node serves %v", got)
		}
		out, err := r.service.Rollback(t.Context(), "shop", rollout.RollbackCommand{From: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.await(out.Revision, WaitDrained)
		if got := r.node.serves("shop"); len(got) != 1 || got[0] != 1 {
			t.Errorf("the node serves %v", got)
		}
		if _, err := r.service.RetireGeneration(t.Context(), "shop", rollout.RetireCommand{Generation: 2}, nil); err != nil {
			t.Fatal(err)
		}
		if start = time.Now(); r.state(2) != rollout.Retiring {
			t.Errorf("generation 2 is %s", r.state(2))
		}
		within(t, time.Minute, "generation 2 retired", func() bool { return r.state(2) == rollout.Retired })
		grace := rollout.DefaultTiming.Grace + 5*time.Second // and drain
		if took := time.Since(start); took < rollout.DefaultTiming.Grace || took > grace+100*time.Millisecond {
			t.Errorf("retired after %s, not at the end of its grace", took)
		}
		r.reg.mu.Lock()
		defer r.reg.mu.Unlock()
		if r.reg.announced[2] || !r.reg.announced[1] || r.reg.watching != 1 {
			t.Errorf("announced %v, %d watches", r.reg.announced, r.reg.watching)
		}
	})
}

// At every failpoint an error is got over, and the committed route is reached.
func TestController_ErrorAtEveryFailpoint(t *testing.T) {
	for _, name := range failpoint.Names() {
		switch name {
		case failpoint.ApplyBefore, failpoint.ApplySwapped, failpoint.StateFileTemp: // within the builtin router
			continue
		}
		for _, action := range []string{"error@1", "error@2", "sleep(300ms)", "hang@1"} {
			t.Run(string(name)+"="+action, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { errorAt(t, string(name)+"="+action) })
			})
		}
	}
}

func errorAt(t *testing.T, spec string) {
	fp, err := failpoint.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	r := world(t, fp)
	defer r.stop()
	ready := func(number int) {
		within(t, time.Minute, "ready", func() bool { return r.state(number) == rollout.Ready })
	}
	live := func(number int) {
		within(t, time.Minute, "live and applied", func() bool {
			e := r.environment()
			return e.Live == number && e.Switch.Status == rollout.Applied && len(r.node.serves("shop")) == 1 && r.node.serves("shop")[0] == number
		})
	}
	again := func(call func() error) { // as a client would: until it is done
		within(t, time.Minute, "command done", func() bool { return call() == nil })
	}
	promote := func(number int) {
		ready(number)
		again(func() error {
			_, err := r.service.PromoteGeneration(t.Context(), "shop", rollout.PromoteCommand{Generation: number}, nil)
			return err
		})
		live(number)
	}
	promote(1)
	r.register("shop", 2)
	promote(2)
	again(func() error {
		_, err := r.service.Rollback(t.Context(), "shop", rollout.RollbackCommand{From: 2}, nil)
		return err
	})
	live(1)
	again(func() error {
		_, err := r.service.RetireGeneration(t.Context(), "shop", rollout.RetireCommand{Generation: 2}, nil)
		return err
	})
	within(t, 2*time.Minute, "retired", func() bool { return r.state(2) == rollout.Retired })
}

func TestFollower_ComesBackWithAnotherIncarnation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.stop()
		r.node.mu.Lock()
		r.node.routes, r.node.staged = map[string]rollout.Route{}, map[string][]int{} // its state file is lost
		r.node.mu.Unlock()
		again := startReplica(t, r.store, r.node, "second", nil)
		defer again.stop()
		within(t, 3*time.Second, "the route is back", func() bool { return len(r.node.serves("shop")) == 1 })
		if got, _ := again.environment().Receipt(rollout.Node{Router: "builtin", Name: "n1", Incarnation: "second"}); got.Revision != 1 {
			t.Errorf("the receipt of the new incarnation is at %d", got.Revision)
		}
	})
}

func TestFollower_GoesOnWithoutTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.store.mu.Lock()
		r.store.down, r.store.calls = true, 0
		r.store.mu.Unlock()
		<-time.After(time.Hour)
		if got := r.node.serves("shop"); len(got) != 1 {
			t.Errorf("the node serves %v", got)
		}
		r.store.mu.Lock()
		calls := r.store.calls
		r.store.down = false
		r.store.mu.Unlock()
		if calls > 4*3600 {
			t.Errorf("%d calls in an hour without the database", calls)
		}
		r.register("shop", 2)
		within(t, 15*time.Second, "ready", func() bool { return r.state(2) == rollout.Ready })
	})
}

func TestWorker_TakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		other := startReplica(t, r.store, newNode("n2"), "first", nil)
		defer other.stop()
		within(t, 5*time.Second, "staged on both", func() bool {
			ok, _ := r.environment().StagedEverywhere(1, time.Now())
			return ok && len(r.environment().Nodes) == 2
		})
		r.stop() // gives its lease back
		other.register("shop", 2)
		within(t, 15*time.Second, "ready", func() bool { return other.state(2) == rollout.Ready })
		if term := r.store.leases["shop"].Term; term != 2 {
			t.Errorf("the lease is in term %d", term)
		}
	})
}

// A worker that cannot renew stops working before its lease can be another's.
func TestWorker_StopsBeforeItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.store.mu.Lock()
		r.store.down = true
		end := r.store.leases["shop"].ExpiresAt
		r.store.mu.Unlock()
		within(t, DefaultLeaseTTL, "watches ended", func() bool {
			r.reg.mu.Lock()
			defer r.reg.mu.Unlock()
			return r.reg.watching == 0
		})
		if !time.Now().Before(end) {
			t.Errorf("worked on until %s after the end of its lease", time.Since(end))
		}
	})
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.node.mu.Lock()
		r.node.fail = errors.New("stuck")
		r.node.mu.Unlock()
		revision := r.promote(1).Revision
		if _, reached, err := r.service.Await(t.Context(), "shop", revision, WaitApplied, time.Second); reached || err != nil {
			t.Errorf("reached %v, %v while the node is stuck", reached, err)
		}
		if _, _, err := r.service.Await(t.Context(), "shop", revision+1, WaitApplied, time.Second); err == nil {
			t.Error("waited for a switch that does not exist")
		}
		if got, ok := r.environment().Receipt(r.environment().Nodes[0]); !ok || got.Error == "" {
			t.Errorf("the receipt does not tell the error: %+v", got)
		}
		r.node.mu.Lock()
		r.node.fail = nil
		r.node.mu.Unlock()
		r.await(revision, WaitApplied)
	})
}

// TestAwait_Hint: what another replica records ends the wait at once, without a poll.
func TestAwait_Hint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		stick := func(err error) {
			r.node.mu.Lock()
			defer r.node.mu.Unlock()
			r.node.fail = err
		}
		stick(errors.New("stuck"))
		revision := r.promote(1).Revision
		o := r.service.Options
		o.Hub, o.Poll = NewHub(), time.Hour
		answered := make(chan bool, 1)
		go func() {
			_, reached, err := NewService(o).Await(t.Context(), "shop", revision, WaitApplied, 2*time.Hour)
			answered <- reached && err == nil
		}()
		synctest.Wait()
		stick(nil)
		r.await(revision, WaitApplied)
		began := time.Now()
		o.Hub.Hint("shop")
		if !<-answered || time.Since(began) > time.Second {
			t.Errorf("answered %v after the hint", time.Since(began))
		}
	})
}

// A node that was taken out while it was down, and comes back when the environment is gone, does not go on with it.
func TestFollower_ForgetsWhatWasDeletedWithoutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		other := startReplica(t, r.store, newNode("n2"), "first", nil)
		within(t, 5*time.Second, "two nodes", func() bool { return len(r.environment().Nodes) == 2 })
		within(t, 15*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		other.stop()
		if err := r.store.SignOff(t.Context(), rollout.Node{Name: "n2"}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.service.DeleteEnvironment(t.Context(), "shop", rollout.DeleteCommand{Force: true}, nil); err != nil {
			t.Fatal(err)
		}
		within(t, time.Minute, "deleted", func() bool { return r.environment().DeletedAt != nil })
		back := startReplica(t, r.store, other.node, "second", nil)
		defer back.stop()
		within(t, 5*time.Second, "the node has let go", func() bool {
			back.node.mu.Lock()
			defer back.node.mu.Unlock()
			_, knows := back.node.routes["shop"]
			return !knows && len(back.node.staged["shop"]) == 0 && len(r.environment().Receipts) == 0
		})
	})
}

// A new spec is staged anew. A disk that does not take it holds up no rollback.
func TestFollower_RollsBackWithAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "generation 1 ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.register("shop", 2)
		within(t, 5*time.Second, "generation 2 ready", func() bool { return r.state(2) == rollout.Ready })
		r.await(r.promote(2).Revision, WaitApplied)
		r.node.mu.Lock()
		r.node.full = true
		r.node.mu.Unlock()
		spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web", "hosts": ["shop.test"]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.service.PutEnvironment(t.Context(), rollout.PutCommand{Name: "shop", Spec: spec}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := r.service.Rollback(t.Context(), "shop", rollout.RollbackCommand{From: 2}, nil); err != nil {
			t.Fatal(err)
		}
		within(t, 5*time.Second, "back on generation 1", func() bool {
			got := r.node.serves("shop")
			return len(got) == 1 && got[0] == 1
		})
	})
}

// Of two live processes with one name the newcomer gives up, and what it does counts for nothing.
func TestFollower_NameTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		twin := startReplica(t, r.store, newNode("n1"), "twin", nil)
		defer twin.stop()
		r.await(r.promote(1).Revision, WaitApplied)
		if got := twin.node.serves("shop"); len(got) != 0 {
			t.Errorf("the newcomer followed to %v", got)
		}
		within(t, 10*time.Second, "the newcomer has given up", func() bool {
			select {
			case err := <-twin.followed:
				return errors.Is(err, ErrNameTaken)
			default:
				return false
			}
		})
		if got := r.environment().Nodes; len(got) != 1 || got[0].Incarnation != "first" {
			t.Errorf("nodes %+v", got)
		}
	})
}

// A registry that does not take one generation keeps neither the others' health from being known nor its deadline
// from passing.
func TestWorker_RefusedRegistrationHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		r.await(r.promote(1).Revision, WaitApplied)
		r.reg.mu.Lock()
		r.reg.refused = 2
		r.reg.mu.Unlock()
		r.register("shop", 2)
		<-time.After(time.Minute)
		if _, fresh := r.environment().Reading(1, "web", time.Now()); !fresh {
			t.Error("the health of the live generation is not known any more")
		}
		within(t, 5*time.Minute, "given up", func() bool { return r.state(2) == rollout.Failed })
	})
}

// A registration that fails for a moment, as through an election, is tried again and told to nobody; one that goes on
// failing is told.
func TestWorker_TroubleIsToldOnceItLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := world(t, nil)
		defer r.stop()
		within(t, 5*time.Second, "ready", func() bool { return r.state(1) == rollout.Ready })
		told := func() int { return r.store.kinds()[rollout.EventRegistryTroubled] }
		r.reg.mu.Lock()
		r.reg.failing = 3 // tried again after 50, 100 and 200 ms
		r.reg.mu.Unlock()
		r.register("shop", 2)
		within(t, 10*time.Second, "ready", func() bool { return r.state(2) == rollout.Ready })
		if n := told(); n != 0 {
			t.Errorf("a blip was told %d times", n)
		}
		r.reg.mu.Lock()
		r.reg.refused = 3
		r.reg.mu.Unlock()
		r.register("shop", 3)
		within(t, 10*time.Second, "trouble", func() bool { return strings.Contains(r.environment().TroubleText(), "generation 3 is refused") })
		if n := told(); n != 1 {
			t.Errorf("it was told %d times", n)
		}
	})
}
