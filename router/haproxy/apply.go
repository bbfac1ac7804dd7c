package haproxy

import (
	"context"
	"errors"
	"fmt"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// Apply changes the environment's entry in HAProxy's map, which is the flip of all its services, and then writes the
// map file. From its return on, no request that begins is answered by a generation without weight. An error after the
// flip (a full disk) leaves the traffic moved; [Node.Observe] goes on to tell of the revision in the file until Apply
// succeeds. An Apply that is refused makes durable what serves instead, so that it can be told and mended.
func (n *Node) Apply(ctx context.Context, _ router.Fence, route rollout.Route) error {
	if err := n.failpoints.Hit(ctx, failpoint.ApplyBefore); err != nil {
		return err
	}
	if err := checkRoute(route); err != nil {
		return err
	}
	v, e, sites, err := n.flip(ctx, route)
	if err != nil {
		err = fmt.Errorf("environment %s, revision %d: %w", route.Environment, route.Revision, err)
		if errors.Is(err, router.ErrStale) || errors.Is(err, router.ErrDiverged) {
			err = errors.Join(err, n.keepRoute(ctx, route.Environment, e))
		}
		return err
	}
	if err := n.failpoints.Hit(ctx, failpoint.ApplySwapped); err != nil {
		return err
	}
	if err := n.putRest(ctx, route.Environment, sites); err != nil {
		return err
	}
	for _, s := range e.slots {
		if s.state == slotStaged && v.sumOf(route.Environment, s) == s.sum {
			if err := n.keepSlot(ctx, v, route.Environment, s); err != nil {
				return err
			}
		}
	}
	if err := n.keepRoute(ctx, route.Environment, e); err != nil {
		return err
	}
	for _, s := range e.slots {
		if s.draining() && !e.carries(s) {
			n.startDrain(v, route.Environment, e, s)
		}
	}
	return nil
}

// flip holds the route against the entry and changes it.
func (n *Node) flip(ctx context.Context, route rollout.Route) (view, entry, map[string]string, error) {
	env := n.environment(route.Environment)
	if err := env.lock(ctx); err != nil {
		return view{}, entry{}, nil, err
	}
	defer env.unlock()
	var sites map[string]string
	v, e, err := n.updateLocked(ctx, env, route.Environment, func(v view, e entry) (entry, error) {
		next, adopted, err := n.turn(ctx, v, e, route)
		sites = adopted
		return next, err
	})
	if err != nil {
		return v, e, nil, err
	}
	for _, s := range e.slots {
		if e.carries(s) {
			n.drains.stop(placeKey{route.Environment, s.number})
		}
	}
	return v, e, sites, nil
}

// turn is the entry with the route in it.
func (n *Node) turn(ctx context.Context, v view, e entry, route rollout.Route) (entry, map[string]string, error) {
	switch {
	case route.Revision < e.revision:
		return e, nil, fmt.Errorf("the node is at %d: %w", e.revision, router.ErrStale)
	case route.Revision == e.revision && route.Hash() != e.hash():
		return e, nil, router.ErrDiverged
	}
	next := e
	next.revision, next.live, next.previous, next.a, next.b, next.share = route.Revision, route.Live, route.Previous, 0, 0, 0
	for i, number := range route.Weights.Numbers() {
		s, known := e.of(number)
		if !known || s.state != slotStaged {
			return e, nil, fmt.Errorf("generation %d: %w", number, router.ErrNotStaged)
		}
		if !n.holds(ctx, v, route.Environment, s) {
			return e, nil, fmt.Errorf("generation %d, since the servers of slot %d are not as they were staged: %w", number, s.number, router.ErrNotStaged)
		}
		if s.isChanging() {
			n.lift(ctx, v, route.Environment, s)
		}
		if i == 0 {
			next.a = s.number
		} else {
			next.b, next.share = s.number, route.Weights[number]
		}
	}
	before := e.weights()
	for _, s := range e.slots {
		switch {
		case s.state != slotStaged:
		case route.Weights.Carries(s.generation):
			s.since = 0
			next = next.with(s)
		case before.Carries(s.generation):
			s.since = v.now
			next = next.with(s)
		}
	}
	next, sites := next.adopt(route)
	return next, sites, nil
}

// holds says whether the slot can serve what was staged in it. What that was is known to the process that filled it, and
// to the state files; else every server must be as it was.
func (n *Node) holds(ctx context.Context, v view, name string, s slot) bool {
	if v.sumOf(name, s) == s.sum || (s.isChanging() && v.serves(name, s.number)) {
		return true
	}
	p, known := n.expected(ctx, v, name, s)
	return known && v.usable(name, s.number, p)
}

// expected is what the slot should hold, as far as that is known.
func (n *Node) expected(ctx context.Context, v view, name string, s slot) (placement, bool) {
	if p, ok := n.remembered(name, s); ok {
		return p, true
	}
	if n.files == nil {
		return placement{}, false
	}
	file, err := n.keptServers(ctx, v, name, s)
	if err != nil {
		return placement{}, false
	}
	p, exact := file.held(name, s)
	return p, exact && p.sum() == s.sum
}

func checkRoute(route rollout.Route) error {
	for g, share := range route.Weights {
		if share < 0 || share > 100 {
			return fmt.Errorf("environment %s: generation %d has a weight of %d", route.Environment, g, share)
		}
	}
	if total := route.Weights.Sum(); total != 0 && total != 100 {
		return fmt.Errorf("environment %s: the weights sum to %d, not to 100", route.Environment, total)
	}
	if len(route.Weights.Numbers()) > 2 {
		return fmt.Errorf("environment %s: HAProxy is made to share traffic between two generations, not %d", route.Environment, len(route.Weights.Numbers()))
	}
	return checkNames(route.Environment, route.Services)
}
