package consul_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/consul"
)

// crew is a generation that follows its instances, which are at these ports, as it was recorded at that time.
func (w *town) crew(number, at int, ports ...int) rollout.Generation {
	g := rollout.Generation{Environment: w.name, Number: number, Version: "v1", Colour: rollout.Blue, MembersAt: time.UnixMicro(int64(1e15 + at)),
		Adopts: map[string]rollout.Adoption{"web": {Service: "shop-web", Filter: fmt.Sprintf(`Service.Meta.build == "%d"`, number), Expect: 1, Membership: rollout.Follow}},
		Groups: []rollout.Group{{Service: "web"}}}
	for _, port := range ports {
		g.Groups[0].Instances = append(g.Groups[0].Instances, rollout.Instance{ID: fmt.Sprint("web-", port), Address: "10.0.0.1", Port: port})
	}
	return g
}

// shown are the ports that the key publishes of the generation.
func (w *town) shown(number int) (ports []int) {
	w.Helper()
	p, err := published(w.ctx, w.client, w.name)
	if err != nil {
		w.Fatal(err)
	}
	for _, group := range p.Groups {
		for _, in := range group.Instances {
			if group.Generation == number {
				ports = append(ports, in.Port)
			}
		}
	}
	return ports
}

// Other members of what has weight are published at the same revision, and nothing else of the key changes.
func TestPointer_Members(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	p := newPointer(w)
	w.stage(p, w.crew(1, 1, 1, 2), w.crew(2, 1, 7))
	w.apply(p, 5, rollout.Weights{1: 100})
	before, err := published(w.ctx, w.client, w.name)
	if err != nil {
		t.Fatal(err)
	}
	route := w.route(5, rollout.Weights{1: 100})
	stage := func(g rollout.Generation) error { return p.Stage(w.ctx, router.Fence{Revision: 5}, route, g) }
	if err := stage(w.crew(1, 2, 1, 3, 4)); err != nil {
		t.Fatal(err)
	}
	after, err := published(w.ctx, w.client, w.name)
	if got := fmt.Sprint(w.shown(1)); err != nil || got != "[1 3 4]" || !after.Groups[0].MembersAt.Equal(time.UnixMicro(1e15+2)) {
		t.Errorf("published %s of %v, %v", got, after.Groups[0].MembersAt, err)
	}
	after.Groups[0].Instances, after.Groups[0].MembersAt = before.Groups[0].Instances, before.Groups[0].MembersAt
	if after.Sum == before.Sum {
		t.Error("the sum is of other instances")
	}
	after.Sum = before.Sum
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("more of the key changed:\n%s", diff)
	}
	w.holds(p, 5, rollout.Weights{1: 100})
	if err := stage(w.crew(1, 1, 1, 2)); !errors.Is(err, router.ErrStale) {
		t.Errorf("earlier members: %v", err)
	}
	if err := stage(w.crew(2, 2, 8)); err != nil { // without weight
		t.Fatal(err)
	}
	if got := fmt.Sprint(w.shown(1), w.shown(2)); got != "[1 3 4] []" {
		t.Errorf("published %s", got)
	}
	w.apply(p, 6, rollout.Weights{2: 100})
	if got := fmt.Sprint(w.shown(2)); got != "[8]" {
		t.Errorf("published %s", got)
	}

	// What a hand did is not hidden by a change: it is found, and the switch that mends it has the newest members.
	pair, _, err := w.client.KV().Get(consul.RouteKey(w.name), nil)
	if err != nil {
		t.Fatal(err)
	}
	pair.Value = append(pair.Value, ' ')
	if _, err := w.client.KV().Put(pair, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Stage(w.ctx, router.Fence{Revision: 6}, w.route(6, rollout.Weights{2: 100}), w.crew(2, 3, 9)); err != nil {
		t.Fatal(err)
	}
	if o := w.observe(p); len(o.Edits) != 1 {
		t.Errorf("edits %v", o.Edits)
	}
	w.apply(p, 7, rollout.Weights{2: 100})
	w.holds(p, 7, rollout.Weights{2: 100})
	if got := fmt.Sprint(w.shown(2)); got != "[9]" {
		t.Errorf("published %s", got)
	}
}

// Writers of members and of routes race. Whoever is last, what is published in the end are the latest members.
func TestPointer_MembersRace(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	p := newPointer(w)
	const rounds = 40
	w.stage(p, w.crew(1, 0, 1000), w.crew(2, 0, 2000))
	w.apply(p, 1, rollout.Weights{1: 100})
	var all sync.WaitGroup
	for writer := range 2 {
		all.Go(func() {
			mine := newPointer(w)
			for i := 1; i <= rounds; i++ {
				at := 2*i + writer
				weights := rollout.Weights{1 + i%2: 100}
				if err := mine.Apply(w.ctx, router.Fence{}, w.route(int64(i), weights)); err != nil && !errors.Is(err, router.ErrStale) && !errors.Is(err, router.ErrDiverged) {
					t.Error(err)
				}
				for n := 1; n <= 2; n++ {
					err := mine.Stage(w.ctx, router.Fence{Revision: int64(i)}, w.route(int64(i), weights), w.crew(n, at, 1000*n+at))
					if err != nil && !errors.Is(err, router.ErrStale) && !strings.Contains(err.Error(), "with other instances") {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	last := 2*rounds + 1
	if got, n := fmt.Sprint(w.shown(1+rounds%2)), 1+rounds%2; got != fmt.Sprintf("[%d]", 1000*n+last) {
		t.Errorf("published %s of generation %d", got, n)
	}
	weights := rollout.Weights{1: 50, 2: 50}
	w.apply(p, rounds+1, weights)
	for n := 1; n <= 2; n++ {
		if got := fmt.Sprint(w.shown(n)); got != fmt.Sprintf("[%d]", 1000*n+last) {
			t.Errorf("published %s of generation %d", got, n)
		}
	}
	w.holds(p, rounds+1, weights)
}

// A subset is a filter: other members change nothing of it, and those that are gone are not waited for.
func TestSplitter_Members(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	s := newSplitter(w)
	register := func(port int) {
		_, err := w.client.Catalog().Register(&api.CatalogRegistration{Node: "nomad", Address: "10.0.0.9", Service: &api.AgentService{
			ID: fmt.Sprint("alloc-", port), Service: "shop-web", Address: "10.0.0.1", Port: port, Meta: map[string]string{"build": "1"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	register(1)
	w.stage(s, w.crew(1, 1, 1))
	w.apply(s, 1, rollout.Weights{1: 100})
	index := func() (at []uint64) {
		for _, kind := range []string{api.ServiceDefaults, api.ServiceResolver, api.ServiceSplitter} {
			e, _, err := w.client.ConfigEntries().Get(kind, "shop-web", nil)
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, e.GetModifyIndex())
		}
		return at
	}
	before := fmt.Sprint(index())
	for at, ports := range [][]int{{1, 2}, {3, 4, 5}, {1}} { // of which Consul has one
		begun := time.Now()
		if err := s.Stage(w.ctx, router.Fence{Revision: 1}, w.route(1, rollout.Weights{1: 100}), w.crew(1, at+2, ports...)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("members %v took %v", ports, took)
		}
	}
	if now := fmt.Sprint(index()); now != before {
		t.Errorf("the entries were written: index %s, and %s before", now, before)
	}
	w.holds(s, 1, rollout.Weights{1: 100})
}
