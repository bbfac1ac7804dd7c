package routertest

import (
	"viridian/rollout"
	"viridian/router"
)

// What a database that was restored from an older copy relies on.

// tellsWhatIsNotDurable: traffic moves although it cannot be written down. The node then tells of the revision that a
// restart would leave, and by Fence of the one below which it takes nothing.
func tellsWhatIsNotDurable(r *rig) {
	if r.Undurable == nil || r.Restart == nil {
		r.Skip("this load balancer cannot be kept from writing, or restarted, here")
	}
	r.stage(0, 1, 2)
	r.apply(1, all(1))
	r.Router = r.Undurable()
	if err := r.tryApply(r.route(2, all(2))); err == nil {
		r.Error("applied, although nothing of it was written")
	}
	r.serves(host, 2)
	want := r.route(1, all(1))
	o, err := r.Router.Observe(r.ctx, r.spec.Environment)
	if err != nil || o.Revision != 1 || o.Hash != want.Hash() || o.Fence != 2 || o.Error == "" {
		r.Errorf("observed %+v (%v), want revision 1, a fence at 2 and an error", o, err)
	}
	r.wantError(r.tryApply(r.route(1, all(1))), router.ErrStale)
	r.Router = r.Restart()
	r.serves(host, 1)
	if o := r.observe(); o.Fence != 0 {
		r.Errorf("after a restart the fence is at %d", o.Fence)
	}
	r.apply(3, all(2))
	r.serves(host, 2)
	if o := r.observe(); o.Fence != 0 {
		r.Errorf("what is durable is told with a fence at %d", o.Fence)
	}
}

// numberGivenOutAgain: a restored database gives a number out twice. Its groups replace those that have no weight, or
// whose traffic the route means for them; what serves something else is left alone.
func numberGivenOutAgain(r *rig) {
	if r.Signpost {
		r.Skip("what the registry has of a number serves here")
	}
	r.stage(0, 1, 2)
	r.apply(1, all(1))
	again := func(revision int64, weights rollout.Weights, number, identity int) error {
		r.backends[identity] = NewBackend(r, identity)
		g := rollout.Generation{Environment: r.spec.Environment, Number: number,
			Groups: []rollout.Group{{Service: "web", Instances: []rollout.Instance{r.backends[identity].Instance("web-1")}}}}
		return r.Router.Stage(r.ctx, router.Fence{Revision: revision}, r.route(revision, weights), g)
	}
	if err := again(1, all(1), 2, 20); err != nil {
		r.Fatalf("other groups for a generation without weight: %v", err)
	}
	r.apply(2, all(2))
	r.serves(host, 20)
	if err := again(2, all(1), 2, 21); err == nil {
		r.Error("a generation that serves was given other groups by a route without it")
	}
	r.serves(host, 20)
	r.holds(2, all(2))
	if err := again(2, all(2), 2, 22); err != nil {
		r.Fatalf("other groups for the generation that the route wants: %v", err)
	}
	r.serves(host, 22)
	r.holds(2, all(2))
	r.apply(3, all(1))
	r.serves(host, 1)
	if r.Restart != nil {
		r.Router = r.Restart()
		r.apply(4, all(2))
		r.serves(host, 22)
	}
}
