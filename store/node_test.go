package store_test

import (
	"errors"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

func TestNodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	other := rollout.Node{Router: "elsewhere", Name: "x", Incarnation: "1"}
	w.must(w.Heartbeat(t.Context(), other, 0))
	e, _, err := w.Environment(t.Context(), "shop")
	w.must(err)
	if len(e.Nodes) != 1 || e.Nodes[0].Name != edge.Name || time.Since(e.Nodes[0].SeenAt).Abs() > time.Minute {
		t.Fatalf("nodes of the spec's routers: %+v", e.Nodes)
	}
	version := must(w.Versions(t.Context()))["shop"]
	w.must(w.Heartbeat(t.Context(), edge, 0))
	if got := must(w.Versions(t.Context()))["shop"]; got != version {
		t.Error("a heartbeat is no change")
	}
	again := edge
	again.Incarnation = "2@2"
	if err := w.Heartbeat(t.Context(), again, time.Minute); !errors.Is(err, controller.ErrNameTaken) {
		t.Errorf("took the name of a live node: %v", err)
	}
	w.must(w.Heartbeat(t.Context(), again, 0))
	if got := must(w.Versions(t.Context()))["shop"]; got <= version {
		t.Error("a new incarnation is a change")
	}

	w.must(w.SignOff(t.Context(), edge)) // too late: its successor is there
	if e, _, _ = w.Environment(t.Context(), "shop"); len(e.Nodes) != 1 {
		t.Fatal("an earlier run signed its successor off")
	}
	w.must(w.SignOff(t.Context(), again))
	w.must(w.SignOff(t.Context(), again))
	if e, _, _ = w.Environment(t.Context(), "shop"); len(e.Nodes) != 0 {
		t.Fatal("signed off, and still there")
	}
	nodes, _, err := w.Nodes(t.Context())
	w.must(err)
	if len(nodes) != 2 || !nodes[0].Removed || nodes[1].Removed {
		t.Fatalf("all nodes: %+v", nodes)
	}
	w.must(w.Heartbeat(t.Context(), again, 0))
	if e, _, _ = w.Environment(t.Context(), "shop"); len(e.Nodes) != 1 {
		t.Fatal("a heartbeat does not bring it back")
	}
}

func TestRemoveNode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must(w.Heartbeat(t.Context(), edge, 0))
	_, err := w.RemoveNode(t.Context(), edge.Router, edge.Name, alice, nil)
	wantCode(t, err, rollout.Conflict)
	_, err = w.RemoveNode(t.Context(), edge.Router, "nobody", alice, nil)
	wantCode(t, err, rollout.NotFound)

	impatient := w.open(func(o *store.Options) { o.Timing = rollout.Timing{Silence: time.Nanosecond} })
	key := keyed("k", "remove")
	out := must(impatient.RemoveNode(t.Context(), edge.Router, edge.Name, alice, key))
	again := must(impatient.RemoveNode(t.Context(), edge.Router, edge.Name, alice, key))
	if !out.Changed || out.Replayed || !again.Replayed || !again.Changed {
		t.Fatalf("removed: %+v, again: %+v", out, again)
	}
	if out = must(w.RemoveNode(t.Context(), edge.Router, edge.Name, alice, nil)); out.Changed {
		t.Fatal("removed twice")
	}
	events := must(w.Events(t.Context(), everything))
	if len(events) != 1 || events[0].Kind != rollout.EventNodeRemoved || events[0].Environment != "" || events[0].Actor != "token:alice" || events[0].Data["node"] != edge.Name {
		t.Fatalf("events: %+v", events)
	}
	verify(t, w, "")
}
