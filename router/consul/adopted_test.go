package consul_test

import (
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
)

// Instances that registered themselves have nothing of ours in their meta: a splitter finds them by the filter that they
// were adopted with, and the key has their addresses. What cannot be told apart is refused, with the reason.
func TestAdopted(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	adopted := func(number int, service, filter string) rollout.Generation {
		g := w.generation(number, "web")
		g.Adopts = map[string]rollout.Adoption{"web": {Service: service, Filter: filter, Expect: 1}}
		return g
	}
	for number, build := range []string{"6", "7"} {
		in := w.generation(number+1, "web").Groups[0].Instances[0]
		_, err := w.client.Catalog().Register(&api.CatalogRegistration{Node: "nomad", Address: "10.0.0.9", Service: &api.AgentService{
			ID: "alloc-" + build, Service: "shop-web", Address: in.Address, Port: in.Port, Meta: map[string]string{"build": build}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	s, p := newSplitter(w), newPointer(w)
	one, two := adopted(1, "shop-web", `Service.Meta.build == "6"`), adopted(2, "shop-web", `Service.Meta.build == "7"`)
	w.stage(s, one, two)
	w.apply(s, 1, rollout.Weights{2: 100})
	w.holds(s, 1, rollout.Weights{2: 100})
	if o := w.observe(s); len(o.Staged) != 2 {
		t.Errorf("staged %v", o.Staged)
	}
	answer, _, err := w.client.DiscoveryChain().Get("shop-web", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range answer.Chain.Targets {
		found, _, err := w.client.Health().Service(target.Service, "", true, &api.QueryOptions{Filter: target.Subset.Filter})
		if err != nil || len(found) != 1 || found[0].Service.Address != "10.0.0.2" {
			t.Errorf("target %s leads to %d instances, %v", target.ID, len(found), err)
		}
	}
	w.stage(p, adopted(1, "web-of-nomad", ""))
	w.apply(p, 1, rollout.Weights{1: 100})
	if got, err := published(w.ctx, w.client, w.name); err != nil || len(got.Groups) != 1 || got.Groups[0].Name != "web-of-nomad" {
		t.Errorf("published %+v, %v", got, err)
	}
	for want, err := range map[string]error{
		"what is switched there is service shop-web": s.Stage(w.ctx, newest, w.route(0, nil), adopted(3, "web", `Service.Meta.build == "6"`)),
		"without a filter":                           s.Stage(w.ctx, newest, w.route(0, nil), adopted(3, "shop-web", "")),
		"is not among the 0":                         s.Stage(w.ctx, newest, w.route(0, nil), adopted(3, "shop-web", `Service.Meta.build == "8"`)),
		"registered themselves":                      newQuery(w).Stage(w.ctx, newest, w.route(0, nil), one),
		"the name of an environment":                 s.Remove(w.ctx, newest, "../shop", 1),
		"the shares sum to":                          s.Apply(w.ctx, newest, w.route(2, rollout.Weights{1: 60})),
		"generation 1 has the share -":               p.Apply(w.ctx, newest, w.route(2, rollout.Weights{1: -10, 2: 110})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
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
