package builtin

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// Apply makes the proxy do what the route says and then writes the state file. From its return on, no request that
// begins is answered by a generation without weight. An error after the swap (a full disk) leaves the traffic moved,
// so that a rollback needs no disk; [Router.Observe] goes on to report what the file says until Apply succeeds. An Apply
// that is refused makes durable what serves instead, so that it can be told and mended.
func (r *Router) Apply(ctx context.Context, _ router.Fence, route rollout.Route) error {
	if err := r.failpoints.Hit(ctx, failpoint.ApplyBefore); err != nil {
		return err
	}
	if err := checkRoute(route); err != nil {
		return err
	}
	env, err := r.swap(route)
	switch {
	case errors.Is(err, router.ErrStale), errors.Is(err, router.ErrDiverged):
		return errors.Join(err, r.persist(ctx, env))
	case err != nil:
		return err
	}
	if err := r.failpoints.Hit(ctx, failpoint.ApplySwapped); err != nil {
		env.failed(err)
		return err
	}
	return r.persist(ctx, env)
}

// swap is the flip: it holds the route against the fence and swaps the table. The environment is returned with an error
// of the fence, too.
func (r *Router) swap(route rollout.Route) (*environment, error) {
	env, err := r.lock(route.Environment)
	if err != nil {
		return nil, err
	}
	defer env.mu.Unlock()
	if route.Revision < env.route.Revision {
		return env, stale(env, route.Revision)
	}
	if route.Revision == env.route.Revision && route.Hash() != env.route.Hash() {
		return env, fmt.Errorf("environment %s, revision %d: %w", env.name, route.Revision, router.ErrDiverged)
	}
	for _, n := range route.Weights.Numbers() {
		if env.generations[n] == nil {
			return nil, fmt.Errorf("environment %s, generation %d: %w", env.name, n, router.ErrNotStaged)
		}
	}

	before := env.route.Weights
	env.adoptSpec(route)
	env.route.Revision, env.route.Live, env.route.Previous = route.Revision, route.Live, route.Previous
	env.route.Weights = maps.Clone(route.Weights)
	for n, g := range env.generations {
		if route.Weights.Carries(n) {
			g.stopDrain()
		}
	}
	r.publish(env)
	for _, n := range before.Numbers() {
		if !route.Weights.Carries(n) {
			r.startDrain(env, env.generations[n])
		}
	}
	r.wake()
	return env, nil
}

func checkRoute(route rollout.Route) error {
	for n, share := range route.Weights {
		if share < 0 || share > 100 {
			return fmt.Errorf("environment %s: generation %d has a weight of %d", route.Environment, n, share)
		}
	}
	if sum := route.Weights.Sum(); sum != 0 && sum != 100 {
		return fmt.Errorf("environment %s: the weights sum to %d, not to 100", route.Environment, sum)
	}
	return checkServices(route.Services)
}
