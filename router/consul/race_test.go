package consul_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/consul"
)

// TestProveRace: of two replicas that write to one splitter or key at the same time, who loses a compare-and-set reads
// again. Whoever follows by a blocking query never sees a revision that is lower than one before, and the highest stays.
func TestProveRace(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t)
	last := int64(3 * flips())
	for _, c := range []struct {
		name     string
		open     func(consul.Options) router.Router
		revision func(w *town, ctx context.Context, after uint64) (revision int64, index uint64, err error)
	}{
		{"splitter", func(o consul.Options) router.Router { return consul.NewSplitter(o) }, (*town).splitterRevision},
		{"pointer", func(o consul.Options) router.Router { return consul.NewPointer(o) }, (*town).keyRevision},
	} {
		w := newTown(t, agent, "web")
		first := c.open(consul.Options{Router: "a", Node: "dc1", Client: w.client})
		w.two(first)
		w.apply(first, 1, rollout.Weights{1: 100})
		seen := make(chan int)
		go func() { seen <- w.follow(c.revision, last) }()
		var writers sync.WaitGroup
		var mu sync.Mutex
		written, stale := 0, 0
		for replica := range 2 {
			writers.Go(func() {
				r := c.open(consul.Options{Router: "a", Node: "dc1", Client: agent.Client("")})
				for revision := int64(2); revision <= last; revision++ {
					err := r.Apply(w.ctx, newest, w.route(revision, rollout.Weights{int(revision%2) + 1: 100}))
					if err != nil && !errors.Is(err, router.ErrStale) {
						t.Errorf("%s, replica %d, revision %d: %v", c.name, replica, revision, err)
					}
					o, seen := r.Observe(w.ctx, w.name)
					if seen != nil || o.Revision < revision || o.Error != "" {
						t.Errorf("%s, replica %d sees revision %d after %d (%v, %s)", c.name, replica, o.Revision, revision, seen, o.Error)
					}
					mu.Lock()
					if written++; err != nil {
						stale++
					}
					mu.Unlock()
				}
			})
		}
		writers.Wait()
		w.holds(first, last, rollout.Weights{int(last%2) + 1: 100})
		line := fmt.Sprintf("%s of a %s: 2 replicas, %d writes, %d refused as stale, %d revisions seen by a blocking query, none lower than before",
			t.Name(), c.name, written, stale, <-seen)
		fmt.Println(line)
	}
}

// follow reads one change after the other until the last revision, and fails for one that went back.
func (w *town) follow(revision func(w *town, ctx context.Context, after uint64) (int64, uint64, error), last int64) (seen int) {
	var at int64
	var index uint64
	for at < last {
		now, next, err := revision(w, w.ctx, index)
		if err != nil {
			w.Error(err)
			return seen
		}
		if now < at {
			w.Errorf("revision %d comes after %d", now, at)
		}
		at, index, seen = now, next, seen+1
	}
	return seen
}

func (w *town) splitterRevision(ctx context.Context, after uint64) (revision int64, index uint64, err error) {
	entry, meta, err := w.client.ConfigEntries().Get(api.ServiceSplitter, "shop-web", (&api.QueryOptions{WaitIndex: after}).WithContext(ctx))
	if err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscan(entry.GetMeta()["viridian-revision"], &revision)
	return revision, meta.LastIndex, err
}

func (w *town) keyRevision(ctx context.Context, after uint64) (revision int64, index uint64, err error) {
	pair, meta, err := w.client.KV().Get(consul.RouteKey(w.name), (&api.QueryOptions{WaitIndex: after}).WithContext(ctx))
	if err != nil || pair == nil {
		return 0, 0, fmt.Errorf("the key: %v %w", pair, err)
	}
	p, err := published(ctx, w.client, w.name)
	return p.Revision, meta.LastIndex, err
}

// An agent that lost everything is another incarnation that knows nothing, and is brought back; one that is gone cannot
// be read.
func TestForgetfulConsul(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t)
	w := newTown(t, agent, "web")
	one := w.generation(1, "web")
	w.announce(one)
	before := map[string]string{}
	var all []router.Router
	for i, d := range drivers {
		all = append(all, d.open(consul.Options{Router: d.name, Node: "dc1", Client: w.client}))
		w.stage(all[i], one)
		w.apply(all[i], 3, rollout.Weights{1: 100})
		before[d.name] = w.observe(all[i]).Incarnation
	}
	agent.Kill()
	for i, d := range drivers {
		if _, err := all[i].Observe(w.ctx, w.name); err == nil {
			t.Errorf("%s: a Consul that is gone is observed", d.name)
		}
	}
	agent.Start()
	for i, d := range drivers {
		o := w.observe(all[i])
		if o.Incarnation == before[d.name] || o.Revision != 0 || len(o.Staged) != 0 || o.Error != "" {
			t.Errorf("%s after a restart without memory: %+v", d.name, o)
		}
	}
	w.announce(one)
	for _, r := range all {
		w.stage(r, one)
		w.apply(r, 3, rollout.Weights{1: 100})
		w.holds(r, 3, rollout.Weights{1: 100})
	}
}

// What belongs to a service that the spec has no more goes with the route that does not have it, and the rest goes on.
func TestServiceLeavesTheSpec(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t)
	for _, d := range drivers {
		w := newTown(t, agent, "web", "api")
		one := w.generation(1, "web", "api")
		w.announce(one)
		r := d.open(consul.Options{Router: d.name, Node: "dc1", Client: w.client})
		w.stage(r, one)
		w.apply(r, 1, rollout.Weights{1: 100})
		w.spec.Services = w.spec.Services[:1]
		w.version = 2
		w.stage(r, one)
		w.apply(r, 1, rollout.Weights{1: 100})
		w.holds(r, 1, rollout.Weights{1: 100})
		if o := w.observe(r); o.SpecVersion != 2 || len(o.Staged) != 1 {
			t.Errorf("%s: spec version %d, staged %v", d.name, o.SpecVersion, o.Staged)
		}
		for _, left := range w.left() {
			if strings.HasSuffix(left, "-api") {
				t.Errorf("%s: left behind: %s", d.name, left)
			}
		}
		w.apply(r, 2, nil)
		if err := r.Remove(w.ctx, newest, w.name, 1); err != nil {
			t.Fatal(err)
		}
		if err := r.Forget(w.ctx, newest, w.name); err != nil {
			t.Fatal(err)
		}
		if left := w.left(); len(left) > 0 {
			t.Errorf("%s: left behind: %v", d.name, left)
		}
	}
}

// What somebody else made under a name of ours is neither taken over nor deleted.
func TestForeignEntries(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	one := w.generation(1, "web")
	w.announce(one)
	w.set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "shop-web", Protocol: "http2"})
	w.set(&api.ServiceResolverConfigEntry{Kind: api.ServiceResolver, Name: "shop-web"})
	if _, _, err := w.client.PreparedQuery().Create(&api.PreparedQueryDefinition{Name: "shop-web", Service: api.ServiceQuery{Service: "shop-web"}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.KV().Put(&api.KVPair{Key: "viridian/shop/notes", Value: []byte("mine")}, nil); err != nil {
		t.Fatal(err)
	}
	for _, d := range drivers[:2] {
		r := d.open(consul.Options{Router: d.name, Node: "dc1", Client: w.client})
		for what, err := range map[string]error{"stage": r.Stage(w.ctx, newest, w.route(0, nil), one), "apply": r.Apply(w.ctx, newest, w.route(1, rollout.Weights{1: 100}))} {
			if err == nil || !errors.Is(err, consul.ErrForeign) {
				t.Errorf("%s: %s over what somebody else made: %v", d.name, what, err)
			}
		}
		if err := r.Forget(w.ctx, newest, w.name); err != nil {
			t.Error(err)
		}
	}
	p := newPointer(w)
	w.stage(p, one)
	w.apply(p, 1, nil)
	if err := errors.Join(p.Remove(w.ctx, newest, w.name, 1), p.Forget(w.ctx, newest, w.name)); err != nil {
		t.Error(err)
	}
	if left := w.left(); len(left) != 4 {
		t.Errorf("of the four things that are somebody else's, left are: %v", left)
	}
}
