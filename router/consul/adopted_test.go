package consul_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
)

// adopted is a generation of service web whose instance registered itself under the name, and was found by the filter.
func (w *town) adopted(number int, service, filter string) rollout.Generation {
	g := w.generation(number, "web")
	g.Adopts = map[string]rollout.Adoption{"web": {Service: service, Filter: filter, Expect: 1}}
	return g
}

// arrives registers the instance of a generation as a team does it, with nothing of ours.
func (w *town) arrives(number int, service, build string, tags ...string) {
	w.Helper()
	in := w.generation(number, "web").Groups[0].Instances[0]
	_, err := w.client.Catalog().Register(&api.CatalogRegistration{Node: "nomad-" + build, Address: "10.0.0.9", NodeMeta: map[string]string{"pool": "p" + build},
		Service: &api.AgentService{ID: "alloc-" + build, Service: service, Address: in.Address, Port: in.Port, Tags: tags, Meta: map[string]string{"build": build}}}, nil)
	if err != nil {
		w.Fatal(err)
	}
}

// reached are the addresses that proxies lead callers of a service to, with the shares of the splitter; a target
// without a filter is every instance.
func (w *town) reached(service string) (out []string) {
	w.Helper()
	answer, _, err := w.client.DiscoveryChain().Get(service, nil, nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, split := range answer.Chain.Nodes[answer.Chain.StartNode].Splits {
		target := answer.Chain.Targets[answer.Chain.Nodes[split.NextNode].Resolver.Target]
		found, _, err := w.client.Health().Service(target.Service, "", true, &api.QueryOptions{Filter: target.Subset.Filter})
		if err != nil {
			w.Fatal(err)
		}
		for _, f := range found {
			out = append(out, fmt.Sprintf("%g %s", split.Weight, f.Service.Address))
		}
	}
	return out
}

func (w *town) reaches(service string, want ...string) {
	w.Helper()
	if got := w.reached(service); fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("callers of %s reach %v, want %v", service, got, want)
	}
}

const builds = `Service.Meta.build == "%d"`

// Instances that registered themselves have nothing of ours in their meta: a splitter and a query find them by the filter
// that they were adopted with, and the key has their addresses.
func TestAdopted(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	w.arrives(1, "shop-web", "6")
	w.arrives(2, "shop-web", "7")
	s, p := newSplitter(w), newPointer(w)
	one, two := w.adopted(1, "shop-web", fmt.Sprintf(builds, 6)), w.adopted(2, "shop-web", fmt.Sprintf(builds, 7))
	w.stage(s, one, two)
	w.apply(s, 1, rollout.Weights{2: 100})
	w.holds(s, 1, rollout.Weights{2: 100})
	if o := w.observe(s); len(o.Staged) != 2 {
		t.Errorf("staged %v", o.Staged)
	}
	w.reaches("shop-web", "100 10.0.0.2")
	w.stage(p, w.adopted(1, "web-of-nomad", ""))
	w.apply(p, 1, rollout.Weights{1: 100})
	if got, err := published(w.ctx, w.client, w.name); err != nil || len(got.Groups) != 1 || got.Groups[0].Name != "web-of-nomad" {
		t.Errorf("published %+v, %v", got, err)
	}
	for want, err := range map[string]error{
		`"catalog_name": "web"`:            s.Stage(w.ctx, newest, w.route(0, nil), w.adopted(3, "web", fmt.Sprintf(builds, 6))),
		"without a filter":                 s.Stage(w.ctx, newest, w.route(0, nil), w.adopted(3, "shop-web", "")),
		"is not among the 0":               s.Stage(w.ctx, newest, w.route(0, nil), w.adopted(3, "shop-web", fmt.Sprintf(builds, 8))),
		"by which generation 2 is known":   s.Stage(w.ctx, newest, w.route(0, nil), w.adopted(3, "shop-web", fmt.Sprintf(builds, 7))),
		"the name of an environment":       s.Remove(w.ctx, newest, "../shop", 1),
		"the shares sum to":                s.Apply(w.ctx, newest, w.route(2, rollout.Weights{1: 60})),
		"generation 1 has the share -":     p.Apply(w.ctx, newest, w.route(2, rollout.Weights{1: -10, 2: 110})),
		"it has \"or\"; it follows":        newQuery(w).Stage(w.ctx, newest, w.route(0, nil), w.adopted(3, "shop-web", `Service.Meta.a == "1" or Service.Meta.b == "2"`)),
		"without a filter, so that":        newQuery(w).Stage(w.ctx, newest, w.route(0, nil), w.adopted(3, "shop-web", "")),
		"of service web with Service.Meta": newQuery(w).Stage(w.ctx, newest, w.route(0, nil), w.adopted(3, "web", fmt.Sprintf(builds, 6))),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestSplitter_KnownName takes over a name that callers use already: until the first switch they get what they got, then
// what the route says, and when the environment is gone what they got again.
func TestSplitter_KnownName(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	w.spec.Services[0].CatalogName = "web"
	w.arrives(1, "web", "6")
	s := newSplitter(w)
	w.stage(s, w.adopted(1, "web", fmt.Sprintf(builds, 6)))
	w.reaches("web", "100 10.0.0.1")
	w.holds(s, 0, nil)
	w.apply(s, 1, nil) // as of a name that was deleted and made again
	w.reaches("web", "100 10.0.0.1")
	w.holds(s, 1, nil)
	resolver, splitter := w.entries("web")
	resolver.Meta = nil
	w.set(resolver)
	if o := w.observe(s); !strings.Contains(o.Error, "resolver web was written by somebody else") {
		t.Errorf("without its mark: %q", o.Error)
	}
	w.stage(s, w.adopted(1, "web", fmt.Sprintf(builds, 6)))
	w.holds(s, 1, nil)
	splitter.Splits = []api.ServiceSplit{{Weight: 100, ServiceSubset: "nobody"}}
	w.set(splitter)
	if o := w.observe(s); !strings.Contains(o.Error, "splitter web was changed by hand") {
		t.Errorf("led to nobody: %q", o.Error)
	}
	w.apply(s, 2, rollout.Weights{1: 100})
	w.arrives(2, "web", "7")
	listed := w.generation(3, "web")
	w.announce(listed)
	w.stage(s, w.adopted(2, "web", fmt.Sprintf(builds, 7)), listed)
	for revision, live := range []int{2, 1, 3, 1} {
		w.apply(s, int64(revision+3), rollout.Weights{live: 100})
		w.holds(s, int64(revision+3), rollout.Weights{live: 100})
		w.reaches("web", fmt.Sprintf("100 10.0.0.%d", live))
	}
	w.apply(s, 7, nil)
	w.reaches("web", "100 10.0.0.1", "100 10.0.0.2", "100 10.0.0.3")
	w.gone(s, 8, 1, 2, 3)
	if left := w.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func (w *town) entries(name string) (*api.ServiceResolverConfigEntry, *api.ServiceSplitterConfigEntry) {
	w.Helper()
	resolver, _, err := w.client.ConfigEntries().Get(api.ServiceResolver, name, nil)
	if err != nil {
		w.Fatal(err)
	}
	splitter, _, err := w.client.ConfigEntries().Get(api.ServiceSplitter, name, nil)
	if err != nil {
		w.Fatal(err)
	}
	return resolver.(*api.ServiceResolverConfigEntry), splitter.(*api.ServiceSplitterConfigEntry)
}

// gone takes everything away: weights, generations, the environment.
func (w *town) gone(r router.Router, revision int64, generations ...int) {
	w.Helper()
	w.apply(r, revision, nil)
	for _, n := range generations {
		if err := r.Remove(w.ctx, newest, w.name, n); err != nil {
			w.Fatal(err)
		}
	}
	if err := r.Forget(w.ctx, newest, w.name); err != nil {
		w.Fatal(err)
	}
}

// A registry that is still at it is waited for.
func TestStage_WaitsForTheRegistry(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	one := w.generation(1, "web")
	done := make(chan error)
	go func() { done <- newSplitter(w).Stage(w.ctx, newest, w.route(0, nil), one) }()
	w.announce(one)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
