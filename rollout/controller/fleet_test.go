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
// recorded comes back; other weights at the same revision are healed by a switch of their own.
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
		y.until(time.Second, "the drift is healed", func() bool {
			e, _, err := y.store.Environment(t.Context(), "shop")
			_, state := y.receipt(m)
			return err == nil && e.Switch.Kind == rollout.SwitchHeal && e.Revision == 3 && serve(2, m) && state == rollout.InSync
		})
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
