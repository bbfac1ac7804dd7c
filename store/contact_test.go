package store_test

import (
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

// TestContact: when the database was away, nobody is silent who could not be heard, until there was time to be heard of
// again. Without that the first switch after an outage would count as applied on the one node that came back first.
func TestContact(t *testing.T) {
	t.Parallel()
	const silence = 10 * time.Second
	clock := clockwork.NewFakeClock()
	w := newWorld(t, func(o *store.Options) { o.Clock, o.Timing.Silence = clock, silence })
	w.shop()
	mate := rollout.Node{Router: edge.Router, Name: "edge-2", Incarnation: "1@1"}
	w.must(w.Heartbeat(t.Context(), mate, 0))
	_, err := w.raw().Exec(t.Context(), "UPDATE node SET seen_at = now() - interval '1 min' WHERE name = 'edge-2'")
	w.must(err)
	required := func() bool {
		t.Helper()
		w.must(w.Heartbeat(t.Context(), edge, 0))
		e, now, err := w.Environment(t.Context(), "shop")
		w.must(err)
		all, _, err := w.Aggregates(t.Context(), "shop")
		w.must(err)
		if len(all[0].RequiredNodes(now)) != len(e.RequiredNodes(now)) {
			t.Error("one look says something else than the other")
		}
		var decided int
		_, err = w.Transact(t.Context(), controller.Command{Environment: "shop"}, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
			decided = len(e.RequiredNodes(now))
			return rollout.Transition{}, nil
		})
		w.must(err)
		if decided != len(e.RequiredNodes(now)) {
			t.Error("a decision goes by something else than a look")
		}
		return decided == 2
	}
	if required() {
		t.Fatal("a node that was silent for a minute is required")
	}
	clock.Advance(silence/2 + 1)
	if !required() {
		t.Error("a node is silent that could not be heard")
	}
	if _, err := w.RemoveNode(t.Context(), mate.Router, mate.Name, alice, nil); err == nil {
		t.Error("it was taken out")
	}
	for range 4 {
		clock.Advance(silence / 4)
		if !required() {
			t.Error("it had less than the time to be heard of")
		}
	}
	clock.Advance(time.Second)
	if required() {
		t.Error("a node that is gone is waited for")
	}
}
