package store_test

import (
	"fmt"
	"testing"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// BenchmarkTransact measures a switch: the whole transaction, with its key, events and checks.
func BenchmarkTransact(b *testing.B) {
	w := newWorld(b)
	w.shop()
	revision := int64(1)
	b.ResetTimer()
	for i := range b.N {
		cmd := controller.Command{Environment: "shop", Key: keyed(fmt.Sprint(i), "b")}
		w.must2(w.Transact(b.Context(), cmd, weights(1+i%50, revision)))
		revision++
	}
}

// BenchmarkRecord measures a receipt that says something new, and readings that do not.
func BenchmarkRecord(b *testing.B) {
	w := newWorld(b)
	w.shop()
	e, _, err := w.Environment(b.Context(), "shop")
	w.must(err)
	b.Run("receipt", func(b *testing.B) {
		r := receiptOf(e)
		for i := range b.N {
			r.InFlight = map[int]int{2: i + 1}
			w.record("shop", rollout.Facts{Receipts: []rollout.Receipt{r}})
		}
	})
	b.Run("reading", func(b *testing.B) {
		for range b.N {
			w.record("shop", rollout.Facts{Readings: []rollout.Reading{{Generation: 1, Service: "web", Healthy: 2, Total: 2}}})
		}
	})
}

// BenchmarkFloor is two transactions of nothing: a lock and an update, in two round trips each.
func BenchmarkFloor(b *testing.B) {
	w := newWorld(b)
	w.shop()
	conn := w.raw()
	b.ResetTimer()
	for range b.N {
		_, err := conn.Exec(b.Context(), "BEGIN; SELECT version FROM environment WHERE name = 'shop' FOR UPDATE")
		w.must(err)
		_, err = conn.Exec(b.Context(), "UPDATE environment SET version = version + 1 WHERE name = 'shop'; COMMIT")
		w.must(err)
	}
}

func (w *world) must2(_ controller.Outcome, err error) {
	w.Helper()
	w.must(err)
}
