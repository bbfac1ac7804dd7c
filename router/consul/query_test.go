package consul_test

import (
	"errors"
	"fmt"
	"testing"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/consul"
)

func newQuery(w *town) *consul.Query {
	return consul.NewQuery(consul.Options{Router: "dns", Node: "dc1", Client: w.client})
}

// resolves checks what Consul's DNS answers for a service: the generation's one instance, or nothing.
func (w *town) resolves(service string, generation int) {
	w.Helper()
	var want []string
	if generation > 0 {
		want = []string{fmt.Sprintf("10.0.0.%d:%d", generation, 8000+generation)}
	}
	got, err := lookup(w.agent.DNS, w.known(service))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		w.Fatalf("%s resolves to %v (%v), want %v", service, got, err, want)
	}
}

func TestQuery_FromFirstStageToForget(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web", "api")
	one, two := w.generation(1, "web", "api"), w.generation(2, "web")
	w.announce(one)
	w.announce(two)
	q := newQuery(w)
	w.holds(q, 0, nil)
	w.stage(q, one, two, two)
	w.resolves("web", 0)
	w.apply(q, 1, rollout.Weights{1: 100})
	w.holds(q, 1, rollout.Weights{1: 100})
	w.resolves("web", 1)
	w.resolves("api", 1)
	w.apply(q, 2, rollout.Weights{2: 100})
	w.holds(q, 2, rollout.Weights{2: 100})
	w.resolves("web", 2)
	w.resolves("api", 0)
	for name, want := range map[string]struct {
		route rollout.Route
		err   error
	}{
		"lower":      {w.route(1, rollout.Weights{1: 100}), router.ErrStale},
		"other":      {w.route(2, rollout.Weights{1: 100}), router.ErrDiverged},
		"shared":     {w.route(3, rollout.Weights{1: 50, 2: 50}), consul.ErrShared},
		"not staged": {w.route(3, rollout.Weights{9: 100}), router.ErrNotStaged},
	} {
		if err := q.Apply(w.ctx, router.Fence{}, want.route); !errors.Is(err, want.err) {
			t.Errorf("%s: %v, want %v", name, err, want.err)
		}
	}
	if err := q.Remove(w.ctx, newest, w.name, 2); !errors.Is(err, router.ErrInUse) {
		t.Errorf("remove what serves: %v", err)
	}
	w.apply(q, 3, nil)
	w.resolves("web", 0)
	for _, n := range []int{1, 2, 2} {
		if err := q.Remove(w.ctx, newest, w.name, n); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := q.Forget(w.ctx, newest, w.name); err != nil {
			t.Fatal(err)
		}
	}
	if left, _, err := w.client.PreparedQuery().List(nil); err != nil || len(left) > 0 {
		t.Errorf("%d queries are left (%v)", len(left), err)
	}
}

// TestProveQueryFlips: what Consul's DNS answers right after Apply is never what it answered before.
func TestProveQueryFlips(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	q := newQuery(w)
	w.two(q)
	flips := flips()
	for revision := 1; revision <= flips; revision++ {
		live := revision%2 + 1
		w.apply(q, int64(revision), rollout.Weights{live: 100})
		w.resolves("web", live)
	}
	fmt.Printf("%s: %d flips, 0 stale\n", t.Name(), flips)
}
