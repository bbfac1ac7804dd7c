package controller

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
)

// yard is an installation with a fleet named "edge" of machines e1, e2 …, and an environment on it.
type yard struct {
	*replica
	machines []*machine
	fleets   func(*Options)
}

func newYard(t *testing.T, policy rollout.Required, size int, fp *failpoint.Set) *yard {
	t.Helper()
	y := &yard{}
	nodes := map[string]Remote{}
	for i := range size {
		m := newMachine(fmt.Sprintf("e%d", i+1))
		y.machines = append(y.machines, m)
		nodes[m.name] = m
	}
	y.fleets = func(o *Options) {
		o.Fleets = map[string]Fleet{"edge": {Driver: "fake", Required: policy, Nodes: nodes}}
		o.Contacts = NewContacts()
	}
	store := newMemory(fp)
	store.required = map[string]rollout.Required{"edge": policy}
	y.replica = startReplica(t, store, newNode("n1"), "first", fp, y.fleets)
	return y
}

// shop creates the environment, and brings generations 1 and 2 to ready.
func (y *yard) shop() {
	y.t.Helper()
	spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web"}], "routers": ["edge"], "retention": {"keep_for": "1h", "drain": "5s"}}`))
	if err != nil {
		y.t.Fatal(err)
	}
	if _, err := y.service.CreateEnvironment(y.t.Context(), rollout.PutCommand{Name: "shop", Spec: spec}, nil); err != nil {
		y.t.Fatal(err)
	}
	y.register("shop", 1)
	y.register("shop", 2)
	y.until(15*time.Second, "ready", func() bool { return y.state(1) == rollout.Ready && y.state(2) == rollout.Ready })
}

func (y *yard) until(limit time.Duration, what string, holds func() bool) {
	y.t.Helper()
	within(y.t, limit, what, holds)
}

// serve says whether the machines serve exactly that generation.
func serve(number int, machines ...*machine) bool {
	return !slices.ContainsFunc(machines, func(m *machine) bool { return !slices.Equal(m.serves("shop"), []int{number}) })
}

func (y *yard) rollback(from int) int64 {
	y.t.Helper()
	out, err := y.service.Rollback(y.t.Context(), "shop", rollout.RollbackCommand{From: from}, nil)
	if err != nil {
		y.t.Fatalf("roll back from %d: %v", from, err)
	}
	return out.Revision
}

func (y *yard) status() rollout.SwitchStatus { return y.environment().Switch.Status }

// receipt is what is recorded of the machine, and how that compares to the route.
func (y *yard) receipt(m *machine) (rollout.Receipt, rollout.ReceiptState) {
	e := y.environment()
	for _, n := range e.Nodes {
		if n.Name == m.name {
			r, _ := e.Receipt(n)
			return r, e.ReceiptState(n, time.Now())
		}
	}
	return rollout.Receipt{}, ""
}

func TestFleet_MainJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 3, nil)
		defer y.stop()
		y.shop()
		for _, number := range []int{1, 2} {
			start := time.Now()
			y.await(y.promote(number).Revision, WaitApplied)
			if took := time.Since(start); took != 0 || !serve(number, y.machines...) {
				t.Errorf("generation %d: applied after %s, want at once and everywhere", number, took)
			}
		}
		if got := y.node.serves("shop"); len(got) != 0 {
			t.Errorf("the builtin router, which the spec does not name, serves %v", got)
		}
		y.await(y.rollback(2), WaitDrained)
		if !serve(1, y.machines...) {
			t.Error("the rollback is applied, and not everywhere")
		}
		if _, err := y.service.RetireGeneration(t.Context(), "shop", rollout.RetireCommand{Generation: 2}, nil); err != nil {
			t.Fatal(err)
		}
		y.until(time.Minute, "retired", func() bool { return y.state(2) == rollout.Retired })
		for _, m := range y.machines {
			if o, _ := m.Observe(t.Context(), "shop"); slices.Contains(o.Staged, 2) {
				t.Errorf("%s still knows generation 2", m.name)
			}
		}
		if _, err := y.service.DeleteEnvironment(t.Context(), "shop", rollout.DeleteCommand{Force: true}, nil); err != nil {
			t.Fatal(err)
		}
		y.until(time.Minute, "deleted, and forgotten by all", func() bool {
			e := y.environment()
			return e.DeletedAt != nil && len(e.Receipts) == 0 && serveNothing(y.machines...)
		})
	})
}

func serveNothing(machines ...*machine) bool {
	return !slices.ContainsFunc(machines, func(m *machine) bool {
		m.node.mu.Lock()
		defer m.node.mu.Unlock()
		return len(m.routes) > 0 || len(m.staged["shop"]) > 0
	})
}

// What hangs or is away on one node delays neither a switch nor a rollback on the others.
func TestFleet_OneNodeHoldsUpNoOther(t *testing.T) {
	for _, policy := range []rollout.Required{rollout.RequiredAll, rollout.RequiredQuorum} {
		for _, ill := range []string{"hangs", "away"} {
			t.Run(string(policy)+" "+ill, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					y := newYard(t, policy, 3, nil)
					defer y.stop()
					y.shop()
					y.await(y.promote(1).Revision, WaitApplied)
					bad := y.machines[2]
					cure := func() { bad.setAway(false) }
					if ill == "hangs" {
						cure = bad.hang()
					} else {
						bad.setAway(true)
					}
					y.until(time.Minute, "the node counts as unreachable", func() bool { _, state := y.receipt(bad); return state == rollout.Unreachable })
					for _, do := range []func() int64{func() int64 { return y.promote(2).Revision }, func() int64 { return y.rollback(2) }} {
						start := time.Now()
						revision := do()
						synctest.Wait()
						for _, m := range y.machines[:2] {
							if at, ok := m.appliedAt(revision); !ok || at.Sub(start) > 0 {
								t.Errorf("%s did not get revision %d at once: %v %s", m.name, revision, ok, at.Sub(start))
							}
						}
						s := y.environment().Switch
						if want := policy == rollout.RequiredQuorum; (s.Status == rollout.Applied) != want || s.Degraded != want {
							t.Errorf("with one node that %s, switch %d is %s, degraded %v", ill, s.Revision, s.Status, s.Degraded)
						}
					}
					cure()
					y.until(time.Second, "the node that is back has the newest route", func() bool {
						_, state := y.receipt(bad)
						return serve(1, y.machines...) && state == rollout.InSync && y.status() == rollout.Applied
					})
					if _, skipped := bad.appliedAt(2); skipped {
						t.Error("the node that came back was told an older revision first")
					}
				})
			})
		}
	}
}

// A node that restarted is noticed within a second, and gets back what it has forgotten.
func TestFleet_Restart(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		t.Run(fmt.Sprintf("quiet %v", quiet), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				y := newYard(t, rollout.RequiredAll, 2, nil)
				defer y.stop()
				for _, m := range y.machines {
					m.quiet = quiet
				}
				y.shop()
				y.await(y.promote(1).Revision, WaitApplied)
				for range 5 {
					<-time.After(1234 * time.Millisecond)
					bad := y.machines[1]
					bad.restart(true)
					y.until(time.Second, "the new run serves and knows both generations", func() bool {
						o, _ := bad.node.Observe(t.Context(), "shop")
						r, state := y.receipt(bad)
						ok, _ := y.environment().StagedEverywhere(2, time.Now())
						return serve(1, bad) && len(o.Staged) == 2 && ok && state == rollout.InSync && r.Incarnation == bad.incarnation()
					})
				}
			})
		})
	}
}

// What somebody changed on a node by hand is noticed within a second, without a restart. What is lost or older than
// recorded comes back; other weights at the same revision are shown as drift.
func TestFleet_HandEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		y.await(y.promote(2).Revision, WaitApplied)
		m := y.machines[0]
		m.edit(func(_ *rollout.Route, staged *[]int) { *staged = []int{2} })
		y.until(time.Second, "the lost generation is back", func() bool {
			o, _ := m.node.Observe(t.Context(), "shop")
			return slices.Contains(o.Staged, 1)
		})
		m.edit(func(r *rollout.Route, _ *[]int) { r.Revision, r.Weights, r.Live = 1, rollout.Weights{1: 100}, 1 })
		y.until(time.Second, "the newest route is back", func() bool { return serve(2, m) })
		m.edit(func(r *rollout.Route, staged *[]int) { *r, *staged = rollout.Route{}, nil })
		y.until(time.Second, "all of it is back", func() bool {
			_, state := y.receipt(m)
			return serve(2, m) && state == rollout.InSync
		})
		m.edit(func(r *rollout.Route, _ *[]int) { r.Weights, r.Live = rollout.Weights{1: 100}, 1 })
		y.until(time.Second, "the drift is recorded", func() bool { _, state := y.receipt(m); return state == rollout.Drifted })
	})
}

// What was rolled back from may be validated again: it is mended like the rest. What retires is not put back.
func TestFleet_HandEditOfWhatDoesNotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 1, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		y.await(y.promote(2).Revision, WaitApplied)
		y.await(y.rollback(2), WaitApplied)
		m := y.machines[0]
		stagedThere := func(number int) bool {
			o, _ := m.node.Observe(t.Context(), "shop")
			return slices.Contains(o.Staged, number)
		}
		m.edit(func(_ *rollout.Route, staged *[]int) { *staged = []int{1} })
		y.until(time.Second, "the rejected generation is back", func() bool { return stagedThere(2) })
		if _, err := y.service.RetireGeneration(t.Context(), "shop", rollout.RetireCommand{Generation: 2}, nil); err != nil {
			t.Fatal(err)
		}
		m.edit(func(_ *rollout.Route, staged *[]int) { *staged = []int{1} })
		stages := m.counts("stage")
		y.until(time.Minute, "retired", func() bool { return y.state(2) == rollout.Retired })
		if stagedThere(2) || m.counts("stage") != stages {
			t.Error("a retiring generation was put back")
		}
	})
}

// A hand that takes an older revision to a node which then refuses every write: the record tells the truth all the same.
func TestFleet_GoesBackAndStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 1, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		y.await(y.promote(2).Revision, WaitApplied)
		m := y.machines[0]
		m.node.mu.Lock()
		m.fail = fmt.Errorf("read-only")
		m.node.mu.Unlock()
		m.edit(func(r *rollout.Route, _ *[]int) { r.Revision, r.Weights, r.Live = 1, rollout.Weights{1: 100}, 1 })
		y.until(time.Second, "recorded as behind", func() bool {
			r, state := y.receipt(m)
			return state == rollout.Behind && strings.Contains(r.Error, "read-only") && r.Grade == rollout.GradeReadBack
		})
		m.node.mu.Lock()
		m.fail = nil
		m.node.mu.Unlock()
		y.until(10*time.Second, "brought back", func() bool {
			r, state := y.receipt(m)
			return state == rollout.InSync && r.Error == "" && r.Grade == rollout.GradeFenced
		})
	})
}

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
