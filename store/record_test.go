package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"viridian/rollout"
)

// A reading that says the same as before keeps the health fresh, and that is all.
func TestRecord_NothingNew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	reading := rollout.Reading{Generation: 1, Service: "web", Healthy: 2, Total: 2}
	before := w.record("shop", rollout.Facts{Readings: []rollout.Reading{reading}})
	old := dump(t, w)
	after := w.record("shop", rollout.Facts{Readings: []rollout.Reading{reading}, Receipts: []rollout.Receipt{receiptOf(before)}})
	if after.Version != before.Version || !after.Readings[0].At.After(before.Readings[0].At) {
		t.Errorf("version %d → %d, reading at %s → %s", before.Version, after.Version, before.Readings[0].At, after.Readings[0].At)
	}
	stored, _, err := w.Environment(t.Context(), "shop")
	w.must(err)
	sameEnvironment(t, stored, after)
	now := dump(t, w)
	for _, table := range []string{"reading", "receipt"} {
		delete(now, table)
		delete(old, table)
	}
	if diff := cmp.Diff(old, now); diff != "" {
		t.Errorf("more than times was written:\n%s", diff)
	}
	reading.Healthy, reading.Unhealthy, reading.Detail = 1, 1, "refused"
	if e := w.record("shop", rollout.Facts{Readings: []rollout.Reading{reading}}); e.Version <= before.Version {
		t.Error("news does not make a new version")
	}
	before = w.record("shop", rollout.Facts{})
	if e := w.record("shop", rollout.Facts{}); e.Version != before.Version {
		t.Error("nothing makes a new version")
	}
}

// What a node did earlier may arrive late; it never hides what it did since.
func TestRecord_LateReceipt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	early, _, err := w.Environment(t.Context(), "shop")
	w.must(err)
	w.do("shop", promote(2))
	w.apply("shop")
	e := w.record("shop", rollout.Facts{Receipts: []rollout.Receipt{receiptOf(early)}})
	stored, _, err := w.Environment(t.Context(), "shop")
	w.must(err)
	sameEnvironment(t, stored, e)
	if stored.Receipts[0].Revision != 2 {
		t.Fatalf("the receipt went back to revision %d", stored.Receipts[0].Revision)
	}
	restarted := receiptOf(early)
	restarted.Incarnation = "2@2"
	again := edge
	again.Incarnation = restarted.Incarnation
	w.must(w.Heartbeat(t.Context(), again, 0))
	if e = w.record("shop", rollout.Facts{Receipts: []rollout.Receipt{restarted}}); e.Receipts[0].Revision != 1 {
		t.Fatalf("a new incarnation begins where it is, not at %d", e.Receipts[0].Revision)
	}
}
