package haproxy

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router/routertest"
)

// TestMembers_NoServerToSpare: a server that goes from one member to another takes no connection along, so that who left
// gets nothing more, although the requests that were open end well.
func TestMembers_NoServerToSpare(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(_ *haproxy, c *Config) { c.Servers = 2 })
	backends := map[int]*routertest.Backend{}
	stage := func(revision int64, weights rollout.Weights, at, one, two int) {
		t.Helper()
		g := rollout.Generation{Environment: "shop", Number: 1, MembersAt: time.UnixMicro(int64(1e15 + at)), Groups: []rollout.Group{{Service: "web"}}}
		for _, m := range []int{one, two} {
			if backends[m] == nil {
				backends[m] = routertest.NewBackend(t, m)
			}
			g.Groups[0].Instances = append(g.Groups[0].Instances, backends[m].Instance(fmt.Sprint("web-", m)))
		}
		f := routertest.Flip{Begun: time.Now(), Weights: map[int]int{one: 1, two: 1}}
		l.must(l.change(l.ctx, l.Node, l.route(revision, weights), g))
		f.Applied = time.Now()
		l.flips = append(l.flips, f)
	}
	stage(0, nil, 1, 10, 11)
	l.must(l.tryApply(1, all(1)))
	v := l.load(routertest.Load{KeepAlive: 6, SlowEvery: 5}, func(traffic *routertest.Traffic) {
		for i := range 8 {
			enough := traffic.Count() + 100
			eventually(t, "traffic", func() bool { return traffic.Count() >= enough })
			stage(1, all(1), i+2, 11+i, 12+i) // one leaves, one joins
		}
	})
	t.Logf("%v", v)
	if !v.Clean() {
		t.Errorf("%v", v)
	}
	for m := 10; m < 19; m++ {
		if v.By[m] == 0 {
			t.Errorf("member %d got no request", m)
		}
	}
	l.well(1, all(1), 1)
}

// TestMembers_CutShort: changes that end anywhere in the middle are finished, or overtaken, by the next one of any process.
// No request fails meanwhile, and none of it is taken for an edit.
func TestMembers_CutShort(t *testing.T) {
	t.Parallel()
	l := newCrewLab(t, func(_ *haproxy, c *Config) { c.Servers = 6 })
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var pool []*patient
	for i := range 8 {
		pool = append(pool, newPatient(t, i+1, true))
	}
	pick := func() []*patient {
		random.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
		return slices.Clone(pool[:1+random.IntN(5)])
	}
	l.must(l.tryStage(0, crew(1, 1, pick()...)))
	l.must(l.tryApply(1, all(1)))
	l.flips = []routertest.Flip{{Begun: time.Now(), Applied: time.Now(), Weights: map[int]int{1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1}}}
	nodes := []*Node{l.Node, l.haproxy.bareNode(t)}
	cut := 0
	v := l.load(routertest.Load{KeepAlive: 3, Fresh: 1}, func(*routertest.Traffic) {
		for round := range 40 {
			g := crew(1, round+2, pick()...)
			ctx, cancel := context.WithTimeout(l.ctx, time.Duration(random.IntN(25))*time.Millisecond)
			if l.change(ctx, nodes[random.IntN(2)], l.route(1, all(1)), g) != nil {
				cut++
			}
			cancel()
			if o := l.observe(); len(o.Edits) > 0 {
				t.Fatalf("round %d: edits %v", round, o.Edits)
			}
			if random.IntN(3) > 0 || round == 39 {
				l.must(l.change(l.ctx, nodes[random.IntN(2)], l.route(1, all(1)), g))
				l.well(1, all(1), 1)
			}
		}
	})
	t.Logf("%d changes were cut short: %v", cut, v)
	if !v.Clean() || cut == 0 {
		t.Errorf("%v", v)
	}
	l.kill()
	l.boot()
	l.well(1, all(1), 1)
}
