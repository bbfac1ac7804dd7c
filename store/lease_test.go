package store_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
)

const ttl = time.Minute

func terms(leases []controller.Lease) map[string]int64 {
	out := map[string]int64{}
	for _, l := range leases {
		out[l.Environment] = l.Term
	}
	return out
}

func wantTerms(t *testing.T, got []controller.Lease, want map[string]int64) {
	t.Helper()
	if fmt.Sprint(terms(got)) != fmt.Sprint(want) {
		t.Fatalf("leases %v, want %v", terms(got), want)
	}
}

func TestLeases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("a", create("a", spec(t, webSpec)))
	w.do("b", create("b", spec(t, webSpec)))
	claim := func(holder string, ttl time.Duration) []controller.Lease {
		t.Helper()
		leases := must(w.ClaimLeases(t.Context(), holder, ttl))
		for _, l := range leases {
			if left := time.Until(l.ExpiresAt); left > ttl || left < ttl-30*time.Second {
				t.Errorf("%s holds %s for %s, want %s", holder, l.Environment, left, ttl)
			}
		}
		return leases
	}
	wantTerms(t, claim("one", ttl), map[string]int64{"a": 1, "b": 1})
	wantTerms(t, claim("one", ttl), map[string]int64{"a": 1, "b": 1}) // renewed
	wantTerms(t, claim("two", ttl), map[string]int64{})
	w.do("c", create("c", spec(t, webSpec)))
	wantTerms(t, claim("two", ttl), map[string]int64{"c": 1})

	w.must(w.ReleaseLeases(t.Context(), "one"))
	wantTerms(t, claim("two", 0), map[string]int64{"a": 2, "b": 2, "c": 1})
	wantTerms(t, claim("two", ttl), map[string]int64{"a": 3, "b": 3, "c": 2}) // its time was over: a new term
	wantTerms(t, claim("one", ttl), map[string]int64{})

	record := func(environment string, term int64) error {
		_, err := w.Record(t.Context(), environment, term, rollout.Facts{})
		return err
	}
	if err := record("a", 3); err != nil {
		t.Fatal(err)
	}
	for _, term := range []int64{1, 2, 4} {
		if err := record("a", term); !errors.Is(err, controller.ErrLeaseLost) {
			t.Errorf("term %d: %v", term, err)
		}
	}
	w.must(w.ReleaseLeases(t.Context(), "two"))
	if err := record("a", 3); !errors.Is(err, controller.ErrLeaseLost) {
		t.Errorf("after its time: %v", err)
	}

	w.do("c", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Delete(rollout.DeleteCommand{Actor: alice}, now)
	})
	wantTerms(t, claim("one", ttl), map[string]int64{"a": 4, "b": 4})
	w.do("c", create("c", spec(t, webSpec)))
	wantTerms(t, claim("one", ttl), map[string]int64{"a": 4, "b": 4, "c": 3})
}

// However many claim at once, each environment has one holder, and no term belongs to two.
func TestLeases_OneHolder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 10 {
		name := fmt.Sprintf("env-%d", n)
		w.do(name, create(name, spec(t, webSpec)))
	}
	var mu sync.Mutex
	holders := map[string]string{}
	var all sync.WaitGroup
	for n := range 6 {
		holder := fmt.Sprint("holder-", n)
		all.Go(func() {
			for range 10 {
				leases, err := w.ClaimLeases(t.Context(), holder, ttl)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, l := range leases {
					at := fmt.Sprint(l.Environment, " term ", l.Term)
					if other := holders[at]; other != "" && other != holder {
						t.Errorf("%s is held by %s and %s", at, other, holder)
					}
					holders[at] = holder
				}
				mu.Unlock()
				if n%2 == 0 {
					if err := w.ReleaseLeases(t.Context(), holder); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
}
