package store_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/store"
)

// onFleet is the spec of an environment that the nodes of router "edge" serve.
const onFleet = `{"services": [{"name": "web"}], "routers": ["edge"], "retention": {"drain": "0s"}}`

func fleetNode(name, incarnation string) rollout.Node {
	return rollout.Node{Router: "edge", Name: name, Incarnation: incarnation}
}

// node finds one among all.
func (w *world) node(name string) rollout.Node {
	w.Helper()
	nodes, _, err := w.Nodes(w.Context())
	w.must(err)
	for _, n := range nodes {
		if n.Router == "edge" && n.Name == name {
			return n
		}
	}
	w.Fatalf("no node %s", name)
	return rollout.Node{}
}

func TestEnrol(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.Enrol(ctx, nil))
	w.must(w.Enrol(ctx, []rollout.Node{fleetNode("b", ""), fleetNode("a", "")}))
	if n := w.node("a"); n.EverSeen() || n.Incarnation != "" || n.Removed {
		t.Errorf("enrolled as %+v", n)
	}
	w.do("shop", create("shop", spec(t, onFleet)))
	if e, _, _ := w.Environment(ctx, "shop"); len(e.Nodes) != 2 {
		t.Errorf("the environment has %+v", e.Nodes)
	}
	must(w.RemoveNode(ctx, "edge", "a", alice, nil))
	w.must(w.Pulse(ctx, []rollout.Node{fleetNode("b", "1")}, 0))
	w.must(w.Enrol(ctx, []rollout.Node{fleetNode("a", ""), fleetNode("b", "")}))
	if n := w.node("a"); !n.Removed {
		t.Error("the configuration brought back what an operator took out")
	}
	if n := w.node("b"); !n.EverSeen() || n.Incarnation != "1" {
		t.Errorf("enrolled anew: %+v", n)
	}
	w.must(w.Pulse(ctx, []rollout.Node{fleetNode("a", "7")}, time.Hour))
	if n := w.node("a"); n.Removed || n.Incarnation != "7" || !n.EverSeen() {
		t.Errorf("it answers, and is %+v", n)
	}
}

func TestPulse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.do("shop", create("shop", spec(t, onFleet)))
	version := func() int64 { return must(w.Versions(ctx))["shop"] }
	nodes := []rollout.Node{fleetNode("b", "1"), fleetNode("a", "1")}
	w.must(w.Pulse(ctx, nil, 0))
	w.must(w.Pulse(ctx, nodes, time.Hour))
	first, at := version(), w.node("a").SeenAt
	w.must(w.Pulse(ctx, nodes, time.Hour))
	if n := w.node("a"); !n.SeenAt.Equal(at) || version() != first {
		t.Error("what is fresh was written again")
	}
	w.must(w.Pulse(ctx, nodes, 0))
	if n := w.node("a"); !n.SeenAt.After(at) || version() != first {
		t.Error("a heartbeat was not written, or counts as a change")
	}
	w.must(w.Pulse(ctx, []rollout.Node{fleetNode("a", "2")}, time.Hour)) // a new run is news however fresh the old one is
	if n := w.node("a"); n.Incarnation != "2" || version() <= first {
		t.Errorf("restarted, and known as %+v", n)
	}
}

// Many replicas tell of the same nodes at the same time, in different orders.
func TestPulse_FromMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for round := range 20 {
				nodes := []rollout.Node{fleetNode("a", fmt.Sprint(round)), fleetNode("b", "1"), fleetNode("c", "1")}
				if i%2 == 1 {
					nodes[0], nodes[2] = nodes[2], nodes[0]
				}
				if err := w.Pulse(t.Context(), nodes, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := w.count(`SELECT count(*) FROM node WHERE router = 'edge'`); n != 3 {
		t.Errorf("%d nodes", n)
	}
}

// The policies that the store is opened with are in every environment that it loads.
func TestRequired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *store.Options) { o.Required = map[string]rollout.Required{"edge": rollout.RequiredQuorum} })
	out := w.do("shop", create("shop", spec(t, onFleet)))
	e, _, err := w.Environment(t.Context(), "shop")
	w.must(err)
	recorded := w.record("shop", rollout.Facts{Announced: []int{1}})
	for _, e := range []rollout.Environment{out.Environment, e, recorded} {
		if got := e.RequiredOf("edge"); got != rollout.RequiredQuorum {
			t.Errorf("router edge requires %s", got)
		}
	}
}

// A deleted environment is somebody's work until the nodes of its fleets have forgotten it.
func TestLease_OfADeletedEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	w.do("shop", create("shop", spec(t, onFleet)))
	node := fleetNode("a", "1")
	w.must(w.Pulse(ctx, []rollout.Node{node}, 0))
	w.record("shop", rollout.Facts{Receipts: []rollout.Receipt{{Router: "edge", Node: "a", Incarnation: "1", Weights: rollout.Weights{}, Grade: rollout.GradeFenced}}})
	w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Delete(rollout.DeleteCommand{Actor: alice}, now)
	})
	if e, _, err := w.Environment(ctx, "shop"); err != nil || e.DeletedAt == nil {
		t.Fatalf("not deleted: %v", err)
	}
	leases := must(w.ClaimLeases(ctx, "me", time.Minute))
	if len(leases) != 1 {
		t.Fatalf("leases %v, while node a knows the environment", leases)
	}
	if _, err := w.Record(ctx, "shop", leases[0].Term, rollout.Facts{Forgotten: []rollout.Node{node}}); err != nil {
		t.Fatal(err)
	}
	if leases = must(w.ClaimLeases(ctx, "me", time.Minute)); len(leases) != 0 {
		t.Errorf("leases %v, when nobody knows the environment any more", leases)
	}
}
