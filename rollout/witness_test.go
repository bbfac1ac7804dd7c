package rollout

import "testing"

// The copy has receipts of a run that goes on; what the run does now is taken in although it may look like less.
func TestWitnessed_GoesBeforeTheRecord(t *testing.T) {
	t.Parallel()
	w := past(t)
	n := w.e.Nodes[0]
	forgot := Receipt{Router: n.Router, Node: n.Name, Incarnation: n.Incarnation, Hash: Route{}.Hash(), Grade: GradeFenced}
	w.e = w.e.Witnessed(n, forgot, []int{2})
	w.decides(on("a", ActApply, 0), on("a", ActStage, 1), Action{Kind: ActSettle}) // what was confirmed of 1 counts no more

	w = past(t)
	fresh := w.e.Nodes[0]
	fresh.Incarnation = "a2"
	w.e.Nodes[0] = fresh
	if _, known := w.e.Witnessed(fresh, forgot, nil).Receipt(fresh); known {
		t.Error("a run that was told nothing counts as told")
	}
	ahead := w.future(0, 6, 5)
	ahead.Incarnation = "a2"
	w.e = w.e.Witnessed(fresh, ahead, []int{1, 2, 5})
	w.decides(on("a", ActStage, 2), on("a", ActStage, 1), Action{Kind: ActSettle})
}
