package controller

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
)

// A configured node that was never reached is missed from the start; when it comes it is taken in.
func TestFleet_NeverReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		late := y.machines[1]
		late.setAway(true)
		spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web"}], "routers": ["edge"]}`))
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		if _, err := y.service.CreateEnvironment(t.Context(), rollout.PutCommand{Name: "shop", Spec: spec}, nil); err != nil {
			t.Fatal(err)
		}
		y.register("shop", 1)
		<-time.After(time.Minute)
		if ok, why := y.environment().StagedEverywhere(1, time.Now()); ok || !strings.Contains(why, "node e2 of router edge has not staged it, and cannot be reached") {
			t.Errorf("staged %v: %s", ok, why)
		}
		if n := len(y.environment().Nodes); n != 2 {
			t.Errorf("%d nodes are known", n)
		}
		if c, ok := y.service.Contacts.Of("edge", "e2"); !ok || c.Error != errAway.Error() || c.Incarnation != "" {
			t.Errorf("the last contact: %+v", c)
		}
		late.setAway(false)
		y.until(time.Second+3*time.Second, "ready", func() bool { return y.state(1) == rollout.Ready })
	})
}

// Two replicas watch the same fleet, and their heartbeats do not add up. When the holder of the lease ends, the other
// goes on under a new term, and what the first one still wanted is refused.
func TestFleet_TwoReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		other := startReplica(t, y.store, newNode("n2"), "first", nil, y.fleets)
		defer other.stop()
		<-time.After(10 * time.Second)
		y.store.mu.Lock()
		y.store.beats = 0
		y.store.mu.Unlock()
		<-time.After(60 * time.Second)
		y.store.mu.Lock()
		beats, term := y.store.beats, y.store.leases["shop"].Term
		y.store.mu.Unlock()
		if beats < 2*60 || beats > 2*60*5/2 {
			t.Errorf("%d heartbeats of 2 nodes in a minute", beats)
		}
		out, err := other.service.PromoteGeneration(t.Context(), "shop", rollout.PromoteCommand{Generation: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		other.await(out.Revision, WaitApplied) // by the other replica, which holds the lease
		y.stop()
		y.until(5*time.Second, "the lease has gone on", func() bool {
			y.store.mu.Lock()
			defer y.store.mu.Unlock()
			return y.store.leases["shop"].Term > term
		})
		back, err := other.service.Rollback(t.Context(), "shop", rollout.RollbackCommand{From: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		other.await(back.Revision, WaitApplied)
		if !serve(1, y.machines...) {
			t.Error("not applied by the heir")
		}
	})
}

// The lease is lost while a node hangs: what was under way ends with it, and an older term writes nothing any more,
// neither to the node nor to the database.
func TestFleet_LeaseLostMidWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		slow := y.machines[1]
		goOn := slow.hang()
		revision := y.promote(2).Revision
		y.until(time.Second, "one of two", func() bool { return serve(2, y.machines[0]) })
		y.store.mu.Lock() // somebody else has it now, as after a long pause of this replica
		lease := y.store.leases["shop"]
		lease.Term++
		lease.ExpiresAt = time.Now().Add(time.Hour)
		y.store.leases["shop"], y.store.holder["shop"] = lease, "another"
		y.store.mu.Unlock()
		for _, m := range y.machines {
			m.mu.Lock()
			m.term = lease.Term
			m.mu.Unlock()
		}
		goOn()
		<-time.After(10 * time.Second)
		if e := y.environment(); e.Switch.Status != rollout.Committed || e.Revision != revision {
			t.Errorf("switch %d is %s without a lease", e.Revision, e.Switch.Status)
		}
		if !serve(1, slow) {
			t.Error("a node took what an older term wrote")
		}
		before := slow.counts("apply") + slow.counts("stage")
		<-time.After(time.Minute)
		if after := slow.counts("apply") + slow.counts("stage"); after != before {
			t.Errorf("%d writes were tried after the lease had ended", after-before)
		}
		y.store.mu.Lock()
		lease.ExpiresAt = time.Now()
		y.store.leases["shop"] = lease
		y.store.mu.Unlock()
		y.until(5*time.Second, "applied under a new term", func() bool { return y.status() == rollout.Applied && serve(2, y.machines...) })
	})
}

// A worker that cannot renew lets go of the nodes before its lease can be another's, whatever hangs.
func TestFleet_StopsBeforeItsLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		slow := y.machines[1]
		defer slow.hang()()
		y.promote(2)
		y.store.mu.Lock()
		y.store.down = true
		end := y.store.leases["shop"].ExpiresAt
		y.store.mu.Unlock()
		<-time.After(time.Until(end))
		slow.mu.Lock()
		cut := slow.cutAt
		slow.mu.Unlock()
		writes := func() (n int) {
			for _, m := range y.machines {
				n += m.counts("apply") + m.counts("stage") + m.counts("observe")
			}
			return n
		}
		before := writes()
		if cut.IsZero() || !cut.Before(end) {
			t.Errorf("a call to a node went on until %s, and the lease ended at %s", cut, end)
		}
		<-time.After(time.Minute)
		if after := writes(); after != before {
			t.Errorf("%d calls to nodes without a lease", after-before)
		}
	})
}

// A switch that was committed by another replica waits for a hint, not for a poll; and not for a registry that hangs.
func TestFleet_HintIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 1, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		elsewhere := y.service.Options
		elsewhere.Hub = NewHub()
		out, err := NewService(elsewhere).PromoteGeneration(t.Context(), "shop", rollout.PromoteCommand{Generation: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		y.service.Hub.Hint("shop")
		synctest.Wait()
		if at, ok := y.machines[0].appliedAt(out.Revision); !ok || at != start {
			t.Errorf("applied %v after %s", ok, at.Sub(start))
		}
	})
}

// With an error, a pause or a hang at every line that an attendant passes, everything is reached in the end.
func TestFleet_ErrorAtEveryFailpoint(t *testing.T) {
	for _, name := range []failpoint.Name{failpoint.StageBefore, failpoint.StageActed, failpoint.StageRecorded, failpoint.ApplyPersisted,
		failpoint.ApplyRecorded, failpoint.RemoveBefore, failpoint.RemoveActed, failpoint.RemoveRecorded, failpoint.SettleDecided, failpoint.SettleCommitted} {
		for _, action := range []string{"error@1", "error@2", "error@3", "sleep(300ms)", "hang@1", "hang@2"} {
			t.Run(string(name)+"="+action, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					fp, err := failpoint.New(string(name) + "=" + action)
					if err != nil {
						t.Fatal(err)
					}
					y := newYard(t, rollout.RequiredAll, 2, fp)
					defer y.stop()
					y.shop()
					for _, number := range []int{1, 2} {
						y.promote(number)
						y.until(time.Minute, "applied", func() bool { return y.status() == rollout.Applied && serve(number, y.machines...) })
					}
					y.rollback(2)
					y.until(time.Minute, "rolled back", func() bool { return y.status() == rollout.Applied && serve(1, y.machines...) })
					if _, err := y.service.RetireGeneration(t.Context(), "shop", rollout.RetireCommand{Generation: 2}, nil); err != nil {
						t.Fatal(err)
					}
					y.until(2*time.Minute, "retired", func() bool { return y.state(2) == rollout.Retired })
				})
			})
		}
	}
}

// A node that takes its time to check a candidate keeps no rollback waiting, and stages the candidate afterwards.
func TestFleet_RollbackInterruptsStaging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		y.await(y.promote(2).Revision, WaitApplied)
		for _, m := range y.machines {
			m.slow = 4 * time.Second
		}
		y.register("shop", 3)
		<-time.After(time.Second) // they are at it
		start := time.Now()
		y.await(y.rollback(2), WaitApplied)
		if took := time.Since(start); took > 0 || !serve(1, y.machines...) {
			t.Errorf("the rollback took %s", took)
		}
		y.until(20*time.Second, "ready all the same", func() bool { return y.state(3) == rollout.Ready })
	})
}

// While it checks a candidate, a node is looked at all the same.
func TestFleet_HandEditDuringStaging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 1, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		y.await(y.promote(2).Revision, WaitApplied)
		m := y.machines[0]
		m.slow = 4 * time.Second
		y.register("shop", 3)
		<-time.After(time.Second)
		m.edit(func(r *rollout.Route, _ *[]int) { r.Revision, r.Weights, r.Live = 1, rollout.Weights{1: 100}, 1 })
		y.until(time.Second, "the newest route is back", func() bool { return serve(2, m) })
		y.until(20*time.Second, "ready all the same", func() bool { return y.state(3) == rollout.Ready })
	})
}

// A generation for which a node has no place waits for longer than it may take to be staged, and gets the place of one
// that is retired meanwhile.
func TestFleet_NoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		y.machines[1].slots = 2
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		y.register("shop", 3)
		<-time.After(time.Hour)
		if g, _ := y.environment().Generation(3); g.State != rollout.Registered || g.Waiting != rollout.NoSlot || !strings.Contains(g.Reason, "waits for a place") {
			t.Errorf("generation 3 is %s, waiting %q: %s", g.State, g.Waiting, g.Reason)
		}
		if _, err := y.service.RetireGeneration(t.Context(), "shop", rollout.RetireCommand{Generation: 2}, nil); err != nil {
			t.Fatal(err)
		}
		y.until(time.Minute, "ready in the place of generation 2", func() bool { return y.state(2) == rollout.Retired && y.state(3) == rollout.Ready })
	})
}

// A router that this replica does not have in its configuration is missed, and nothing on it counts as done.
func TestFleet_NotConfiguredHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 1, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		y.replica.stop()
		bare := startReplica(t, y.store, newNode("n2"), "first", nil)
		defer bare.stop()
		<-time.After(5 * time.Second)
		out, err := bare.service.PromoteGeneration(t.Context(), "shop", rollout.PromoteCommand{Generation: 2}, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		e := bare.environment()
		if e.Revision != out.Revision || e.Switch.Status != rollout.Committed || !serve(1, y.machines...) {
			t.Errorf("switch %d is %s", e.Revision, e.Switch.Status)
		}
		if r, _ := e.Receipt(e.Nodes[0]); !strings.Contains(r.Error, "does not have this node in its configuration") {
			t.Errorf("the receipt does not say that nobody drives the node: %+v", r)
		}
	})
}

// A spec names only routers that the installation has.
func TestService_RefusesUnknownRouters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 1, nil)
		defer y.stop()
		spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web"}], "routers": ["builtin", "edgy"]}`))
		if err != nil {
			t.Fatal(err)
		}
		cmd := rollout.PutCommand{Name: "shop", Spec: spec}
		_, created := y.service.CreateEnvironment(t.Context(), cmd, nil)
		_, put := y.service.PutEnvironment(t.Context(), cmd, nil)
		for _, err := range []error{created, put} {
			if err == nil || !strings.Contains(err.Error(), `no router "edgy" is configured`) {
				t.Errorf("accepted, or refused with %v", err)
			}
		}
	})
}

// A node that stays away is tried ever more rarely, and costs the database nothing.
func TestFleet_AwayForAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		bad := y.machines[1]
		bad.setAway(true)
		<-time.After(time.Minute)
		before := bad.counts("observe") + bad.counts("apply") + bad.counts("stage")
		version := y.environment().Version
		<-time.After(time.Hour)
		if tries := bad.counts("observe") + bad.counts("apply") + bad.counts("stage") - before; tries > 3*3600/5 {
			t.Errorf("%d tries in an hour on a node that is away", tries)
		}
		if changes := y.environment().Version - version; changes > 3*3600/2 { // its health readings alone are one in two seconds
			t.Errorf("%d changes of the environment in an hour in which nothing happened", changes)
		}
	})
}

// A node that is away is asked more often than one that answers, so that little time passes between its return and its
// route.
func TestPatrol_AsksWhoIsAwayMoreOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 1, nil)
		defer y.stop()
		y.shop()
		m := y.machines[0]
		asked := func() int {
			before := m.counts("pulse")
			<-time.After(20 * time.Second)
			return m.counts("pulse") - before
		}
		there := asked()
		m.setAway(true)
		<-time.After(time.Second)
		if away := asked(); away < 3*there || away > 5*there || there == 0 {
			t.Errorf("in 20 s asked %d times while it is away, and %d times while it is there", away, there)
		}
		m.setAway(false)
		before := time.Now()
		y.until(time.Second, "heard of", func() bool { c, _ := y.service.Contacts.Of("edge", m.name); return c.Error == "" })
		if took := time.Since(before); took > 150*time.Millisecond {
			t.Errorf("heard of after %v", took)
		}
	})
}
