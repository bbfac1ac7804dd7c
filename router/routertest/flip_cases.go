package routertest

import (
	"fmt"
	"net/http"

	"viridian/rollout"
	"viridian/router"
)

const host = "shop.localhost"

func all(generation int) rollout.Weights { return rollout.Weights{generation: 100} }

func firstRoute(r *rig) {
	r.stage(0, 1)
	r.refusesTraffic(host, http.StatusServiceUnavailable)
	r.holds(0, nil)
	r.apply(1, all(1))
	r.serves(host, 1)
	r.holds(1, all(1))
	if o := r.observe(); len(o.Staged) != 1 || o.Staged[0] != 1 {
		r.Errorf("the node has staged %v, want generation 1", o.Staged)
	}
	if a := r.ask("elsewhere.localhost"); a.Err == nil {
		r.Errorf("a host of nobody is answered by generation %d", a.Generation)
	}
}

func flip(r *rig) {
	r.stage(0, 1, 2)
	for revision, generation := range []int{1, 2, 1, 2} {
		r.apply(int64(revision+1), all(generation))
		r.serves(host, generation)
		r.holds(int64(revision+1), all(generation))
	}
}

// flipsUnderLoad is the heart of the suite: no request fails, and none that begins after Apply returned is answered
// by the generation before.
func flipsUnderLoad(r *rig) {
	r.stage(0, 1, 2)
	r.apply(1, all(1))
	v := r.traffic(Load{KeepAlive: 6, Fresh: 3}, 3000, func(t *Traffic) {
		for i := range 250 {
			enough := t.Count() + 10 // so that each flip meets requests under way
			r.eventually("requests between flips", func() bool { return t.Count() >= enough })
			r.apply(int64(i+2), all(1+(i+1)%2))
		}
	})
	r.Logf("%d flips: %v", len(r.flips), v)
	if !v.Clean() || v.By[1] == 0 || v.By[2] == 0 {
		r.Errorf("%v", v)
	}
}

func weights(r *rig) {
	r.stage(0, 1, 2)
	shares := []int{0, 10, 50, 100}
	if r.Undivided {
		shares = []int{0, 100}
	}
	for i, share := range shares {
		r.flips = nil
		r.apply(int64(i+1), rollout.Weights{1: 100 - share, 2: share})
		v := r.traffic(Load{KeepAlive: 4}, 1500, func(*Traffic) {})
		got := float64(v.By[2]) / float64(v.Requests) * 100
		exact := share == 0 || share == 100
		if !v.Clean() || (exact && got != float64(share)) || got < float64(share)-6 || got > float64(share)+6 {
			r.Errorf("weight %d %%: generation 2 got %.1f %% (%v)", share, got, v)
		}
	}
	if last := int64(len(shares)); r.Undivided {
		if err := r.tryApply(r.route(last+1, rollout.Weights{1: 90, 2: 10})); err == nil {
			r.Error("shares are taken")
		}
		r.serves(host, 2)
		r.holds(last, all(2))
	}
}

func refusesLowerRevision(r *rig) {
	r.stage(0, 1, 2)
	r.apply(7, all(1))
	r.wantError(r.tryApply(r.route(6, all(2))), router.ErrStale)
	r.wantError(r.tryApply(r.route(0, nil)), router.ErrStale)
	r.serves(host, 1)
	r.holds(7, all(1))
	r.apply(8, all(2)) // and it is not stuck
	r.serves(host, 2)
}

func refusesOtherWeights(r *rig) {
	r.stage(0, 1, 2)
	r.apply(7, all(1))
	r.wantError(r.tryApply(r.route(7, all(2))), router.ErrDiverged)
	r.serves(host, 1)
	r.holds(7, all(1))
}

func sameRevisionAgain(r *rig) {
	r.stage(0, 1)
	for range 3 {
		r.apply(4, all(1))
		r.stage(4, 1)
		r.serves(host, 1)
		r.holds(4, all(1))
	}
}

func refusesWhatIsNotStaged(r *rig) {
	r.wantError(r.tryApply(r.route(1, all(9))), router.ErrNotStaged)
	r.stage(0, 1)
	r.apply(1, all(1))
	r.wantError(r.tryApply(r.route(2, rollout.Weights{1: 50, 9: 50})), router.ErrNotStaged)
	r.serves(host, 1)
	r.holds(1, all(1))
	for name, w := range map[string]rollout.Weights{"too little": {1: 60}, "negative": {1: 160, 2: -60}} {
		if err := r.tryApply(r.route(2, w)); err == nil {
			r.Errorf("weights that are %s are taken", name)
		}
	}
	r.serves(host, 1)
}

func remove(r *rig) {
	fence := router.Fence{Revision: 2}
	r.stage(0, 1, 2, 3)
	r.apply(1, all(1))
	route := r.route(2, all(2))
	route.Previous = 1
	if err := r.tryApply(route); err != nil {
		r.Fatal(err)
	}
	r.wantError(r.Router.Remove(r.ctx, fence, "shop", 2), router.ErrInUse)
	r.wantError(r.Router.Remove(r.ctx, fence, "shop", 1), router.ErrInUse) // previous
	for range 2 {
		if err := r.Router.Remove(r.ctx, fence, "shop", 3); err != nil {
			r.Fatalf("remove: %v", err)
		}
	}
	r.wantError(r.tryApply(r.route(3, all(3))), router.ErrNotStaged)
	route.Previous = 0 // derived, so it changes without a revision
	if err := r.tryApply(route); err != nil {
		r.Fatal(err)
	}
	if err := r.Router.Remove(r.ctx, fence, "shop", 1); err != nil {
		r.Fatalf("remove what was previous: %v", err)
	}
	r.serves(host, 2)
	if o := r.observe(); fmt.Sprint(o.Staged) != "[2]" {
		r.Errorf("the node has staged %v, want generation 2", o.Staged)
	}
	r.stage(2, 3) // and a removed one may come back
	r.apply(3, all(3))
	r.serves(host, 3)
}

func forget(r *rig) {
	r.stage(0, 1)
	r.apply(1, all(1))
	r.wantError(r.Router.Forget(r.ctx, router.Fence{Revision: 1}, "shop"), router.ErrInUse)
	r.apply(2, nil)
	r.refusesTraffic(host, http.StatusServiceUnavailable)
	fence := router.Fence{Revision: 2}
	if err := r.Router.Remove(r.ctx, fence, "shop", 1); err != nil {
		r.Fatal(err)
	}
	for range 2 {
		if err := r.Router.Forget(r.ctx, fence, "shop"); err != nil {
			r.Fatalf("forget: %v", err)
		}
	}
	if a := r.ask(host); a.Err == nil {
		r.Errorf("a forgotten environment is answered by generation %d", a.Generation)
	}
	r.stage(2, 5) // the name may be used again, with a higher revision
	r.apply(3, all(5))
	r.serves(host, 5)
}

func restart(r *rig) {
	if r.Restart == nil {
		r.Skip("this load balancer cannot be restarted here")
	}
	r.stage(0, 1, 2)
	r.apply(1, all(1))
	r.apply(2, rollout.Weights{1: 0, 2: 100})
	before := r.observe()
	r.Router = r.Restart()
	r.serves(host, 2)
	r.holds(2, all(2))
	o := r.observe()
	if (o.Incarnation == before.Incarnation) != r.Lasting {
		r.Errorf("the node has the incarnation %q, and had %q before", o.Incarnation, before.Incarnation)
	}
	if fmt.Sprint(o.Staged) != "[1 2]" || o.SpecVersion != 1 {
		r.Errorf("the node has staged %v at spec version %d", o.Staged, o.SpecVersion)
	}
	r.wantError(r.tryApply(r.route(1, all(1))), router.ErrStale) // the fence is durable
	r.apply(3, all(1))
	r.serves(host, 1)
}

func observeOfTheUnknown(r *rig) {
	o, err := r.Router.Observe(r.ctx, "nobody")
	if err != nil {
		r.Fatalf("observe: %v", err)
	}
	if o.Revision != 0 || len(o.Weights) != 0 || len(o.Staged) != 0 || o.Error != "" || o.Node == "" || o.Incarnation == "" ||
		o.Hash != (rollout.Route{}).Hash() {
		r.Errorf("an unknown environment is observed as %+v", o)
	}
}

func servicesFlipTogether(r *rig) {
	r.stage(0, 1, 2)
	for revision, generation := range []int{1, 2, 1} {
		r.apply(int64(revision+1), all(generation))
		for _, h := range []string{host, "SHOP.localhost:8080", "shop.localhost.", "api.shop.localhost", "api2.shop.LOCALHOST.:80"} {
			r.serves(h, generation)
		}
	}
}
