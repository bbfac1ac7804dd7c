package builtin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"

	"viridian/rollout"
	"viridian/router"
)

// Stage makes the generation known and probed, in the table and in the state file. It refuses a generation without
// instances. Later members of one that is followed take their places at once, whatever it serves; what is open on those
// that left goes on, and is counted with the rest. Else there are other instances under one number only when the
// database was restored from a copy, and gave the number out a second time: those that nothing can reach any more give
// way to the new ones, and so do those whose traffic the route means for the new ones. Others are refused until a route
// has taken their traffic away.
func (r *Router) Stage(ctx context.Context, fence router.Fence, route rollout.Route, g rollout.Generation) error {
	if err := errors.Join(checkServices(route.Services), checkGroups(g)); err != nil {
		return err
	}
	env, err := r.lock(route.Environment)
	if err != nil {
		return err
	}
	if err := r.stageLocked(env, fence, route, g); err != nil {
		env.mu.Unlock()
		return err
	}
	env.mu.Unlock()
	r.wake()
	return r.persist(ctx, env)
}

func (r *Router) stageLocked(env *environment, fence router.Fence, route rollout.Route, g rollout.Generation) error {
	if fence.Revision < env.route.Revision {
		return stale(env, fence.Revision)
	}
	known, members := env.generations[g.Number], router.MembersOf(fence, g)
	if known == nil {
		env.generations[g.Number] = r.newGeneration(env.name, g.Number, g.Groups, members)
		env.adoptSpec(route)
		r.publish(env)
		return nil
	}
	later, err := known.members.Take(members, env.route.Revision)
	if err != nil {
		return fmt.Errorf("generation %d of environment %s: %w", g.Number, env.name, err)
	}
	other := !reflect.DeepEqual(endpoints(known.groups), endpoints(g.Groups))
	serves := env.route.Weights.Carries(g.Number)
	if other && serves && !route.Weights.Carries(g.Number) {
		return fmt.Errorf("generation %d of environment %s serves here from other instances", g.Number, env.name)
	}
	env.adoptSpec(route)
	switch {
	case other && !later:
		env.generations[g.Number] = r.newGeneration(env.name, g.Number, g.Groups, members)
	case later:
		r.change(env, known, g.Groups, members)
	case !known.members.At.Equal(members.At):
		known.members = members
	}
	r.publish(env)
	if other && !later {
		r.logger.Warn("other instances take the place of a generation that the database has lost", "environment", env.name, "generation", g.Number)
		if serves {
			r.startDrain(env, known)
		}
		known.closeIdle()
	}
	return nil
}

// Remove forgets the generation. What is still open on it goes on until its drain is over.
func (r *Router) Remove(ctx context.Context, fence router.Fence, name string, number int) error {
	env := r.known(name)
	if env == nil {
		return nil
	}
	env.mu.Lock()
	if err := env.mayRemove(fence, number); err != nil {
		env.mu.Unlock()
		return err
	}
	if g := env.generations[number]; g != nil {
		delete(env.generations, number)
		g.closeIdle()
	}
	env.mu.Unlock()
	r.wake()
	return r.persist(ctx, env)
}

func (env *environment) mayRemove(fence router.Fence, number int) error {
	if fence.Revision < env.route.Revision {
		return stale(env, fence.Revision)
	}
	if env.inUse(number) {
		return fmt.Errorf("environment %s, generation %d: %w", env.name, number, router.ErrInUse)
	}
	return nil
}

// Forget drops the environment and its state file. It is ErrInUse while a generation is known.
func (r *Router) Forget(ctx context.Context, fence router.Fence, name string) error {
	env := r.known(name)
	if env == nil {
		return nil
	}
	if err := env.takeFile(ctx); err != nil {
		return err
	}
	defer env.releaseFile()
	env.mu.Lock()
	defer env.mu.Unlock()
	switch {
	case env.forgotten:
		return nil
	case fence.Revision < env.route.Revision:
		return stale(env, fence.Revision)
	case len(env.generations) > 0 || env.route.Weights.Sum() > 0:
		return fmt.Errorf("environment %s: %w", name, router.ErrInUse)
	}
	// The file goes first: an environment of the same name that is made right after must find its own file untouched.
	if !r.sealed.Load() {
		if err := r.files.remove(name); err != nil {
			return err
		}
	}
	env.forgotten = true
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.environments, name)
	r.swapLocked()
	return nil
}

var addressForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

// checkGroups refuses groups that could not be served.
func checkGroups(g rollout.Generation) error {
	if g.Number < 1 || len(g.Groups) == 0 {
		return fmt.Errorf("generation %d has no groups to serve from", g.Number)
	}
	for _, group := range g.Groups {
		if len(group.Instances) == 0 {
			return fmt.Errorf("generation %d has no instances of service %q", g.Number, group.Service)
		}
		for _, in := range group.Instances {
			_, err := netip.ParseAddr(in.Address)
			if (err != nil && !addressForm.MatchString(in.Address)) || in.Port < 1 || in.Port > 65535 {
				return fmt.Errorf("generation %d: %q port %d is not an address", g.Number, in.Address, in.Port)
			}
		}
	}
	return nil
}

// endpoints is the part of groups that decides where traffic goes.
func endpoints(groups []rollout.Group) map[string][]string {
	out := map[string][]string{}
	for _, group := range groups {
		for _, in := range group.Instances {
			out[group.Service] = append(out[group.Service], in.ID+"="+instanceTarget(in))
		}
	}
	return out
}
