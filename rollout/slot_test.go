package rollout

import (
	"testing"
	"time"
)

// While a node has no place for it, a generation has all of its time before it; from then on the time counts.
func TestNoSlot(t *testing.T) {
	t.Parallel()
	w := fleet(t, RequiredAll, 1)
	timeout := w.e.Spec.Validation.Timeout.Std()
	n := w.register(false)
	told := 0
	for range 100 {
		w.pass(5 * time.Second)
		tr := w.record(Facts{Announced: []int{n}, Unplaced: []int{n, 99}})
		w.is(n, Registered)
		told += len(tr.Events)
	}
	if g := w.gen(n); g.Waiting != NoSlot || g.Reason == "" || told != 1 {
		t.Errorf("waiting %q (%s), told %d times", g.Waiting, g.Reason, told)
	}
	w.pass(timeout * 9 / 10).settle()
	w.is(n, Registered)
	w.pass(timeout / 10).settle()
	w.is(n, Failed)

	w = fleet(t, RequiredAll, 1)
	n = w.register(false)
	w.record(Facts{Announced: []int{n}, Unplaced: []int{n}})
	w.record(Facts{Staged: w.stagings(n)})
	if g := w.gen(n); g.State != Validating || g.Waiting != "" || g.Reason != "" {
		t.Errorf("placed, and it is %s, waiting %q: %s", g.State, g.Waiting, g.Reason)
	}
}

// One that is validated again after it failed was removed meanwhile, and may find its place taken.
func TestNoSlot_OfOneThatIsValidatedAgain(t *testing.T) {
	t.Parallel()
	w := fleet(t, RequiredAll, 1)
	n := w.register(false)
	w.pass(w.e.Spec.Validation.Timeout.Std()).settle()
	w.is(n, Failed)
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now))
	for range 100 {
		w.pass(10 * time.Second)
		w.record(Facts{Announced: []int{n}, Unplaced: []int{n}})
		w.is(n, Validating)
	}
	w.record(Facts{Staged: w.stagings(n)})
	if g := w.gen(n); g.Waiting != "" || g.Reason != "" {
		t.Errorf("placed, and waiting %q: %s", g.Waiting, g.Reason)
	}
	w.health(n, 2)
	w.is(n, Ready)
}
