package consul

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// Pointer publishes the route of an environment as one key of Consul's KV, for whoever follows it by a blocking query:
// consul-template, Fabio, scripts. The key viridian/<environment>/route is the one that a switch writes, by compare and
// set; what is staged lies beside it, one key for each generation.
type Pointer struct{ node }

var (
	_ router.Router = (*Pointer)(nil)
	_ router.Pulser = (*Pointer)(nil)
)

// NewPointer makes the router. It asks nothing yet.
func NewPointer(o Options) *Pointer { return &Pointer{newNode(o, pointerPolicy)} }

// RouteKey is the key of an environment's route.
func RouteKey(environment string) string { return folder(environment) + "route" }

func folder(environment string) string { return "viridian/" + environment + "/" }

func stagedKey(environment string, generation int) string {
	return folder(environment) + "generations/" + strconv.Itoa(generation)
}

// known is what the KV has of an environment.
type known struct {
	held
	index  uint64 // of the route's key; 0 where there is none
	there  bool
	value  []byte         // of the route's key
	staged map[int]kept   // that are as we wrote them
	pairs  map[int]uint64 // the index of every staged generation, damaged or not
}

func (p *Pointer) read(ctx context.Context, environment string) (known, error) {
	k := known{held: held{name: "key " + RouteKey(environment), weights: rollout.Weights{}}, staged: map[int]kept{}, pairs: map[int]uint64{}}
	all, _, err := p.Client.KV().List(folder(environment), consistent(ctx))
	if err != nil {
		return k, p.explain(ctx, "list keys "+folder(environment), err)
	}
	for _, pair := range all {
		if pair.Key == RouteKey(environment) {
			k.held, k.index, k.there, k.value = heldByKey(pair.Key, pair.Value), pair.ModifyIndex, true, pair.Value
			continue
		}
		digits, _ := strings.CutPrefix(pair.Key, folder(environment)+"generations/")
		n, err := strconv.Atoi(digits)
		if err != nil || stagedKey(environment, n) != pair.Key {
			continue // somebody's own key
		}
		k.pairs[n] = pair.ModifyIndex
		if one, ok := decodeKept(pair.Value); ok && one.Generation == n {
			k.staged[n] = one
		}
	}
	for n := range k.staged {
		k.has = append(k.has, n)
	}
	slices.Sort(k.has)
	return k, nil
}

// set writes a key by compare and set; won is false when somebody came in between.
func (p *Pointer) set(ctx context.Context, key string, value []byte, index uint64) (won bool, err error) {
	won, _, err = p.Client.KV().CAS(&api.KVPair{Key: key, Value: value, ModifyIndex: index}, write(ctx))
	if err != nil {
		return false, p.explain(ctx, "write key "+key, err)
	}
	return won, nil
}

// again calls try until it wins what it compares and sets, each time on what it reads anew.
func again(what string, try func() (won bool, err error)) error {
	for range tries {
		if won, err := try(); won || err != nil {
			return err
		}
	}
	return fmt.Errorf("write %s in Consul: %w", what, errRaced)
}

// Stage keeps the addresses of the generation in a key of its own, from which a switch publishes them. Where it has
// weight, other members are published at once, at the same revision.
func (p *Pointer) Stage(ctx context.Context, fence router.Fence, route rollout.Route, generation rollout.Generation) error {
	if _, err := places(route, generation); err != nil {
		return err
	}
	n, members := generation.Number, router.MembersOf(fence, generation)
	err := again(stagedKey(route.Environment, n), func() (bool, error) {
		k, err := p.read(ctx, route.Environment)
		if err != nil {
			return false, err
		}
		if err := k.refuses(fence); err != nil {
			return false, err
		}
		want := keep(generation, members)
		if old, ok := k.staged[n]; ok {
			if _, err := old.members().Take(members, k.Revision); err != nil {
				return false, fmt.Errorf("generation %d of environment %s: %w", n, route.Environment, err)
			}
			if old.MembersAt.Equal(want.MembersAt) {
				want.MembersRevision = old.MembersRevision
			}
			if string(old.encode()) == string(want.encode()) {
				return true, nil
			}
			if k.weights.Carries(n) && !route.Weights.Carries(n) {
				return false, fmt.Errorf("generation %d of environment %s is published with other instances", n, route.Environment)
			}
		}
		return p.set(ctx, stagedKey(route.Environment, n), want.encode(), k.pairs[n])
	})
	if err != nil {
		return err
	}
	return p.republish(ctx, fence, route.Environment, n)
}

// republish gives the route that is published the present instances of a generation, as its own key has them by now. It
// is written last, by compare and set on a read of both: whoever was overtaken between the two reads both anew, so that
// what is published is never older than what is staged. A route that was edited by hand is left for a switch to mend.
func (p *Pointer) republish(ctx context.Context, fence router.Fence, environment string, n int) error {
	return again(RouteKey(environment), func() (bool, error) {
		k, err := p.read(ctx, environment)
		if err != nil {
			return false, err
		}
		staged, ok := k.staged[n]
		if !ok || !k.weights.Carries(n) || k.edited != "" {
			return true, nil
		}
		if err := k.refuses(fence); err != nil {
			return false, err
		}
		var route Published
		if err := json.Unmarshal(k.value, &route); err != nil {
			return false, fmt.Errorf("key %s: %w", RouteKey(environment), err)
		}
		next := route.with(staged).encode()
		if string(next) == string(k.value) {
			return true, nil
		}
		return p.set(ctx, RouteKey(environment), next, k.index)
	})
}

// Apply publishes the route.
func (p *Pointer) Apply(ctx context.Context, _ router.Fence, route rollout.Route) error {
	if err := p.Failpoints.Hit(ctx, failpoint.ApplyBefore); err != nil {
		return err
	}
	if err := checkRoute(route); err != nil {
		return err
	}
	err := again(RouteKey(route.Environment), func() (bool, error) {
		k, err := p.read(ctx, route.Environment)
		if err != nil {
			return false, err
		}
		if done, err := k.admits(route); done || err != nil {
			return true, err
		}
		if err := stagedAll(route, []held{k.held}); err != nil {
			return true, err
		}
		if !k.there && len(k.pairs) == 0 {
			return true, nil // the environment is not known here, and a late writer does not bring it back
		}
		return p.set(ctx, RouteKey(route.Environment), publish(route, k.staged).encode(), k.index)
	})
	if err != nil {
		return err
	}
	return p.Failpoints.Hit(ctx, failpoint.ApplySwapped)
}

// Observe reads the keys back.
func (p *Pointer) Observe(ctx context.Context, environment string) (router.Observation, error) {
	o, err := p.observation(ctx, rollout.GradeFenced)
	if err != nil || checkNames(environment) != nil {
		return o, err
	}
	k, err := p.read(ctx, environment)
	if err != nil {
		return o, err
	}
	o.Staged = k.has
	var parts []held
	if k.there {
		parts = append(parts, k.held)
	}
	var damaged []string
	for n := range k.pairs {
		if _, ok := k.staged[n]; !ok {
			damaged = append(damaged, "key "+stagedKey(environment, n)+" was changed by hand")
		}
	}
	slices.Sort(damaged)
	whole(p.recall(environment, o, parts), damaged).tell(&o)
	return o, nil
}

// Remove deletes the key of the generation.
func (p *Pointer) Remove(ctx context.Context, fence router.Fence, environment string, generation int) error {
	return p.take(ctx, fence, environment, func(k known) error {
		if err := k.keeps(generation); err != nil {
			return err
		}
		if index, there := k.pairs[generation]; there {
			return p.delete(ctx, stagedKey(environment, generation), index)
		}
		return nil
	})
}

// Forget deletes the route.
func (p *Pointer) Forget(ctx context.Context, fence router.Fence, environment string) error {
	return p.take(ctx, fence, environment, func(k known) error {
		if len(k.pairs) > 0 || len(k.weights) > 0 {
			return fmt.Errorf("%w: generations %v are staged", router.ErrInUse, k.has)
		}
		p.memory.forget(environment)
		if k.there {
			return p.delete(ctx, RouteKey(environment), k.index)
		}
		return nil
	})
}

// take does something that takes away, for who has this fence.
func (p *Pointer) take(ctx context.Context, fence router.Fence, environment string, do func(known) error) error {
	if err := checkNames(environment); err != nil {
		return err
	}
	k, err := p.read(ctx, environment)
	if err != nil {
		return err
	}
	if err := k.refuses(fence); err != nil {
		return err
	}
	return do(k)
}

func (p *Pointer) delete(ctx context.Context, key string, index uint64) error {
	won, _, err := p.Client.KV().DeleteCAS(&api.KVPair{Key: key, ModifyIndex: index}, write(ctx))
	if err != nil {
		return p.explain(ctx, "delete key "+key, err)
	}
	if !won {
		return fmt.Errorf("delete key %s in Consul: %w", key, errRaced)
	}
	return nil
}
