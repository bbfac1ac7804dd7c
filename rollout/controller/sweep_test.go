package controller

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"viridian/registry"
	"viridian/rollout"
)

// keeper is a registry that has something of these generations.
type keeper struct {
	healthyRegistry
	mu  sync.Mutex
	has []int
}

func (k *keeper) Sweep(_ context.Context, _ string, keep func(int) bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.has = slices.DeleteFunc(k.has, func(n int) bool { return !keep(n) })
	return nil
}

func (k *keeper) left(has ...int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Equal(k.has, has)
}

// What a registry has of generations that the database lost is taken out when every node has left them, not before; what
// was never numbered stays until the environment goes.
func TestSweep_AfterARestore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{healthyRegistry: healthyRegistry{announced: map[int]bool{}}}
		r := startReplica(t, newMemory(nil), newNode("n1"), "first", nil, func(o *Options) {
			o.Registries = map[string]registry.Registry{"static": k}
		})
		defer r.stop()
		r.create("shop")
		r.register("shop", 1)
		within(t, time.Minute, "generation 1 is ready", func() bool { return r.state(1) == rollout.Ready })
		copied := r.store.backup()
		promote := func(n int) {
			if _, err := r.service.PromoteGeneration(t.Context(), "shop", rollout.PromoteCommand{Generation: n}, nil); err != nil {
				t.Fatal(err)
			}
		}
		promote(1)
		r.register("shop", 2)
		within(t, time.Minute, "generation 2 is ready", func() bool { return r.state(2) == rollout.Ready })
		promote(2)
		within(t, time.Minute, "generation 2 serves", func() bool { return slices.Equal(r.node.serves("shop"), []int{2}) })
		k.mu.Lock()
		k.has = []int{1, 2, 7}
		k.mu.Unlock()
		r.node.mu.Lock()
		r.node.fail = context.DeadlineExceeded // it goes on serving, and takes nothing
		r.node.mu.Unlock()
		r.store.restore(copied)
		<-time.After(30 * time.Second)
		synctest.Wait()
		if !k.left(1, 2, 7) {
			t.Errorf("while a node serves generation 2, the registry has %v", k.has)
		}
		r.node.mu.Lock()
		r.node.fail = nil
		r.node.mu.Unlock()
		r.register("shop", 3)
		within(t, time.Minute, "generation 3 is ready", func() bool { return r.state(3) == rollout.Ready })
		promote(3)
		within(t, time.Minute, "generation 2 is taken out", func() bool { return k.left(1, 7) })
		if _, err := r.service.DeleteEnvironment(t.Context(), "shop", rollout.DeleteCommand{Force: true}, nil); err != nil {
			t.Fatal(err)
		}
		within(t, time.Minute, "nothing is left of a deleted environment", func() bool { return k.left(1) || k.left() })
	})
}
