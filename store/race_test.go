package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"viridian/migrations"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
	"viridian/store/storetest"
)

// Sixteen callers promote one generation or the other at once, each on top of the revision that all have seen.
func TestRace_OneWinnerForEachRevision(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("shop", create("shop", spec(t, `{"services": [{"name": "web"}], "retention": {"drain": "0s", "keep_generations": 10}}`)))
	for n := 1; n <= 4; n++ {
		w.ready("shop", fmt.Sprintf("10.0.0.%d", n), 80)
	}
	stores := []*store.Store{w.Store, w.open(), w.open()}
	for revision := int64(0); revision < 12; revision++ {
		var mu sync.Mutex
		var won int
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				out, err := stores[i%3].Transact(t.Context(), controller.Command{Environment: "shop"}, flip(i, revision))
				var refusal *rollout.Refusal
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil && out.Changed && out.Revision == revision+1:
					won++
				case errors.As(err, &refusal) && refusal.Code == rollout.RevisionMismatch && refusal.Revision == revision+1:
				default:
					t.Errorf("caller %d at revision %d: %+v, %v", i, revision, out.Answer, err)
				}
			})
		}
		all.Wait()
		if won != 1 {
			t.Fatalf("%d callers won revision %d", won, revision+1)
		}
		var facts rollout.Facts
		for _, g := range w.apply("shop").Generations {
			if g.State == rollout.Rejected {
				facts.Readings = append(facts.Readings, rollout.Reading{Generation: g.Number, Service: "web", Healthy: g.Sizes["web"], Total: g.Sizes["web"]})
				w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
					return e.Validate(rollout.ValidateCommand{Actor: alice, Generation: g.Number}, now)
				})
			}
		}
		w.record("shop", facts)
	}
	if n := w.count("SELECT count(*) FROM switch WHERE environment = 'shop'"); n != 12 {
		t.Errorf("%d switches for 12 revisions", n)
	}
	verify(t, w, "shop")
}

// flip promotes a ready generation or rolls back to a standby, whichever the environment has, by the caller's number.
func flip(caller int, revision int64) controller.Decision {
	return func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		var targets []rollout.Generation
		for _, g := range e.Generations {
			if g.State == rollout.Ready || g.State == rollout.Standby {
				targets = append(targets, g)
			}
		}
		g := targets[caller%len(targets)]
		if g.State == rollout.Standby {
			return e.Rollback(rollout.RollbackCommand{Actor: alice, To: g.Number, ExpectedRevision: &revision, Force: true}, now)
		}
		return promote(g.Number, revision)(e, now)
	}
}

// Environments have rows of their own, but an address and a host belong to one of them, however close the race.
func TestRace_OneOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := spec(t, `{"services": [{"name": "web", "hosts": ["b.example", "a.example"]}]}`)
	two := spec(t, `{"services": [{"name": "web", "hosts": ["a.example", "b.example"]}]}`)
	owner := race(t, w, rollout.HostInUse, func(name string, n int) (controller.Outcome, error) {
		return w.Transact(t.Context(), controller.Command{Environment: name, Create: true}, create(name, []rollout.Spec{one, two}[n%2]))
	})
	for n := range 8 {
		if name := fmt.Sprintf("env-%d", n); name != owner {
			w.do(name, create(name, spec(t, webSpec)))
		}
	}
	for round := range 5 {
		address := fmt.Sprintf("10.1.0.%d", round)
		race(t, w, rollout.InstanceInUse, func(name string, n int) (controller.Outcome, error) {
			ports := []int{80, 81, 82}
			if n%2 == 1 {
				slices.Reverse(ports)
			}
			return w.Transact(t.Context(), controller.Command{Environment: name}, register(address, ports...))
		})
	}
}

// race lets eight environments do something at once that only one may, and returns which did.
func race(t *testing.T, w *world, code rollout.Code, do func(name string, n int) (controller.Outcome, error)) (winner string) {
	t.Helper()
	var mu sync.Mutex
	var won []string
	var all sync.WaitGroup
	for n := range 8 {
		name := fmt.Sprintf("env-%d", n)
		all.Go(func() {
			_, err := do(name, n)
			var refusal *rollout.Refusal
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				won = append(won, name)
			case !errors.As(err, &refusal) || refusal.Code != code:
				t.Errorf("%s: %v, want %s", name, err, code)
			}
		})
	}
	all.Wait()
	if len(won) != 1 {
		t.Fatalf("%v won", won)
	}
	return won[0]
}

// What a failed generation had may be used by another one; then the failed one cannot be taken up again.
func TestInstances_AreFreeAfterFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("shop", promote(2))
	w.apply("shop")
	w.do("shop", rollback)
	w.do("shop", register("10.0.0.2", 81))
	validate := func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Validate(rollout.ValidateCommand{Actor: alice, Generation: 2}, now)
	}
	_, err := w.Transact(t.Context(), controller.Command{Environment: "shop"}, validate)
	wantCode(t, err, rollout.InstanceInUse)
	if e, _, _ := w.Environment(t.Context(), "shop"); e.Generations[1].State != rollout.Rejected {
		t.Fatalf("generation 2 is %s", e.Generations[1].State)
	}
	w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Retire(rollout.RetireCommand{Actor: alice, Generation: 3}, now)
	})
	w.do("shop", validate)
}

func TestRace_CreateOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	created := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := w.Transact(t.Context(), controller.Command{Environment: "shop", Create: true}, create("shop", spec(t, webSpec)))
			var refusal *rollout.Refusal
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				created++
			} else if !errors.As(err, &refusal) || refusal.Code != rollout.Conflict {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if created != 1 {
		t.Fatalf("created %d times", created)
	}
}

func TestMigrations_FiveAtOnce(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := migrations.Up(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	s := must(store.Open(t.Context(), store.Options{URL: url}))
	defer s.Close()
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A caller that goes away does not take what is being committed with it, and one that has gone gets its own error.
func TestTransact_CallerGoesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	ctx, cancel := context.WithCancel(t.Context())
	out, err := w.Transact(ctx, controller.Command{Environment: "shop"}, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		cancel()
		return promote(2)(e, now)
	})
	if err != nil || out.Revision != 2 {
		t.Fatalf("gone while deciding: %+v, %v", out.Answer, err)
	}
	if _, err := w.Transact(ctx, controller.Command{Environment: "shop"}, promote(1)); !errors.Is(err, context.Canceled) {
		t.Fatalf("gone before: %v", err)
	}
}
