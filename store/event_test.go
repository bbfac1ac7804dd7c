package store_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

var everything = store.EventFilter{Environments: []string{"*"}, Limit: store.MaxLimit}

// Readers that resume behind the last id they saw get every event once and in order, while many transactions commit.
func TestEvents_NoGapsUnderConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const environments, rounds = 6, 25
	ctx, stop := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	seen := make([][]int64, 3)
	for i := range seen {
		readers.Go(func() {
			f := everything
			for {
				over := ctx.Err() != nil
				events, err := w.Events(t.Context(), f)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					seen[i] = append(seen[i], e.ID)
					f.After = e.ID
				}
				if over && len(events) == 0 {
					return
				}
			}
		})
	}
	for n := range environments {
		writers.Go(func() {
			name := fmt.Sprintf("env-%d", n)
			w.do(name, create(name, spec(t, webSpec)))
			for range rounds {
				w.do(name, lock)
				_, _ = w.Transact(t.Context(), controller.Command{Environment: name, Create: true}, create(name, spec(t, webSpec))) // refused
				w.do(name, unlock)
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	last := must(w.LastEventID(t.Context()))
	if last != environments*(1+2*rounds) {
		t.Errorf("the last id is %d", last)
	}
	for i, ids := range seen {
		for j, id := range ids {
			if id != int64(j+1) {
				t.Fatalf("reader %d got id %d at place %d", i, id, j+1)
			}
		}
		if int64(len(ids)) != last {
			t.Errorf("reader %d got %d of %d events", i, len(ids), last)
		}
	}
	for n := range environments {
		verify(t, w, fmt.Sprintf("env-%d", n))
	}
}

func lock(e rollout.Environment, now time.Time) (rollout.Transition, error) {
	return e.SetLock(rollout.LockCommand{Actor: alice, Reason: "<why & \"how\">"}, now)
}

func unlock(e rollout.Environment, now time.Time) (rollout.Transition, error) {
	return e.ClearLock(alice, now)
}

func TestEvents_Filter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"shop-a", "shop-b", "shopxb"} {
		w.do(name, create(name, spec(t, webSpec)))
		w.do(name, lock)
	}
	_, _, err := w.CreateToken(t.Context(), store.NewToken{Actor: alice, ID: "a", Name: "a", Role: "admin", Environments: []string{"*"}, Hash: make([]byte, 32)}, nil)
	w.must(err)
	for name, c := range map[string]struct {
		filter store.EventFilter
		want   []int64
	}{
		"all":         {store.EventFilter{Environments: []string{"*"}}, []int64{1, 2, 3, 4, 5, 6, 7}},
		"none":        {store.EventFilter{}, nil},
		"globs":       {store.EventFilter{Environments: []string{"shop-*"}}, []int64{1, 2, 3, 4}},
		"no pattern":  {store.EventFilter{Environments: []string{"shop_b", "shop%"}}, nil},
		"two globs":   {store.EventFilter{Environments: []string{"*-a", "shopxb"}}, []int64{1, 2, 5, 6}},
		"environment": {store.EventFilter{Environments: []string{"*"}, Environment: "shop-b"}, []int64{3, 4}},
		"not theirs":  {store.EventFilter{Environments: []string{"shop-a"}, Environment: "shop-b"}, nil},
		"kind":        {store.EventFilter{Environments: []string{"*"}, Kind: rollout.EventLockSet}, []int64{2, 4, 6}},
		"after":       {store.EventFilter{Environments: []string{"*"}, After: 5}, []int64{6, 7}},
		"limit":       {store.EventFilter{Environments: []string{"*"}, After: 1, Limit: 2}, []int64{2, 3}},
	} {
		var got []int64
		for _, e := range must(w.Events(t.Context(), c.filter)) {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Streams ask for events all the time. However many there are, and however slow, commands find a free connection.
func TestEvents_LeaveConnectionsToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	tx, err := w.raw().Begin(t.Context())
	w.must(err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE event IN ACCESS EXCLUSIVE MODE`)
	w.must(err)
	crowd, leave := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 40 {
		readers.Go(func() {
			for crowd.Err() == nil {
				_, _ = w.Events(store.For(crowd, store.Streams), everything)
			}
		})
	}
	for range 100 {
		if _, _, err := w.Environment(t.Context(), "shop"); err != nil {
			t.Errorf("nobody else is served: %v", err)
			break
		}
	}
	leave()
	w.must(tx.Rollback(t.Context()))
	readers.Wait()
	if _, err := w.Events(t.Context(), everything); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
