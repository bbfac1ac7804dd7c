package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/consul/api"

	"viridian/client"
	"viridian/registry/consultest"
	"viridian/router/routertest"
)

// teamShop is an environment over a service that a team has in Consul already: its agents register the instances, its
// callers know the name, and its proxies and resolvers ask Consul.
type teamShop struct {
	*meshShop
	places map[string]string // id by host:port
	seen   map[string]uint64 // when the catalog last changed, by id of a service
	looks  int
}

// TestProveMeshAdopted switches a service that was in Consul before, under the name that it has: what registered itself
// on an agent, with sidecar proxies beside it, is promoted, rolled back and retired; the mesh, DNS, the key and the builtin
// proxy lead to the right instances each time; nothing of the team's is changed, and nothing of ours is left.
func TestProveMeshAdopted(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.WithACL(t), "registry/consul/policy-adopt.hcl")
	l.agent.AllowAnonymous(`service_prefix "" { policy = "read" } node_prefix "" { policy = "read" } query_prefix "" { policy = "read" }`)
	r := l.replica("a")
	r.start("")
	r.ready()
	s := &teamShop{meshShop: l.plan(r, "shop", "builtin", "mesh", "dns", "kv"), places: map[string]string{}, seen: map[string]uint64{}}
	s.spec.Services[0].CatalogName = ptr("web")
	s.spec.Validation = &client.ValidationSpec{MinCapacityPercent: ptr(50)}
	if _, _, err := l.admin.ConfigEntries().Set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "web", Protocol: "http", Meta: map[string]string{"team": "web"}}, nil); err != nil {
		t.Fatal(err)
	}
	defaults := s.defaults()
	s.put()
	one := s.build("1811", 1)
	s.reached("before anything is adopted", one)
	s.registers("1811")
	s.becomes(1, client.GenerationStateReady)
	s.reached("before the first promote", one)
	s.promote(1)
	s.leads("the first promoted", 1, one)
	two := s.build("1812", 2)
	s.leads("the second is there", 1, one)
	s.registers("1812")
	s.becomes(2, client.GenerationStateReady)
	s.leads("the second is ready", 1, one)
	s.promote(2)
	s.leads("the second promoted", 2, two)
	s.rollback(2)
	s.leads("rolled back", 1, one)
	s.settled("after the rollback")
	s.refusals()
	s.validate(2)
	s.promote(2)
	s.leads("promoted again", 2, two)
	s.retire(1)
	s.leads("the first retired", 2, two)
	listed := s.candidate() // beside them, by Viridian, under the same name
	s.promote(listed)
	if got, status := s.ask(); got != listed || fmt.Sprint(s.dig()) != fmt.Sprint([]string{s.endpoint(listed)}) || !maps.Equal(s.chain(), all(listed)) {
		t.Errorf("generation %d answers with %d, DNS says %v, and the chain %v", got, status, s.dig(), s.chain())
	}
	s.rollback(listed)
	s.leads("rolled back to what registered itself", 2, two)
	s.audit()
	s.remove()
	s.nothingLeft(slices.Concat(one, two))
	if diff := cmp.Diff(defaults, s.defaults()); diff != "" {
		t.Errorf("the team's service-defaults: %s", diff)
	}
	report(t, "two builds that registered themselves as \"web\" on an agent, with sidecars: promoted, rolled back, retired; chain, web.query.consul, key and proxy led to the right ones %d times; nothing of the team's was changed, nothing of ours left; %v",
		s.looks, since(began))
}

// build starts two instances of a build that is to be that generation, and registers them on the agent as a team does,
// each with a sidecar. It returns their ids.
func (s *teamShop) build(build string, generation int) (ids []string) {
	s.Helper()
	for n := 1; n <= 2; n++ {
		id := fmt.Sprintf("web-%s-%d", build, n)
		in := instance(routertest.NewBackend(s, generation), n)
		err := s.lab.admin.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "web", Address: in.Address, Port: in.Port, Tags: []string{"team"},
			Meta: map[string]string{"build": build}, Check: &api.AgentServiceCheck{CheckID: "of:" + id, TTL: "10m", Status: api.HealthPassing},
			Connect: &api.AgentServiceConnect{SidecarService: &api.AgentServiceRegistration{Port: 20000 + 100*generation + n,
				Check: &api.AgentServiceCheck{CheckID: "of:proxy:" + id, TTL: "10m", Status: api.HealthPassing}}}})
		if err != nil {
			s.Fatal(err)
		}
		s.places[fmt.Sprintf("%s:%d", in.Address, in.Port)] = id
		ids = append(ids, id)
	}
	s.eventually("they are in the catalog, and passing", func() bool {
		for id, index := range s.changed() {
			s.seen[id] = index
		}
		found, _, err := s.lab.admin.Health().Connect("web", "", true, &api.QueryOptions{Filter: fmt.Sprintf("Service.Meta.build == %q", build)})
		return err == nil && len(found) == 2
	})
	return ids
}

// changed is when the catalog last changed, of each instance and proxy.
func (s *teamShop) changed() map[string]uint64 {
	s.Helper()
	out := map[string]uint64{}
	for _, name := range []string{"web", "web-sidecar-proxy"} {
		found, _, err := s.lab.admin.Catalog().Service(name, "", nil)
		if err != nil {
			s.Fatal(err)
		}
		for _, f := range found {
			if f.ServiceMeta["viridian-environment"] == "" {
				out[f.ServiceID] = f.ModifyIndex
			}
		}
	}
	return out
}

// registers asks to adopt a build.
func (s *teamShop) registers(build string) {
	s.Helper()
	status, answer := s.tries(client.Adoption{Service: "web", Filter: ptr(fmt.Sprintf("Service.Meta.build == %q and team in Service.Tags", build)), Expect: 2})
	if status != http.StatusCreated {
		s.Fatalf("adopt build %s: %s", build, answer)
	}
	s.last++
}

func (s *teamShop) tries(a client.Adoption) (status int, answer string) {
	s.Helper()
	res, err := s.client.RegisterGenerationWithResponse(s.Context(), s.name, nil, client.RegisterRequest{Version: "1", Groups: []client.Group{{Service: "web", Consul: &a}}})
	if err != nil {
		s.Fatal(err)
	}
	return res.StatusCode(), body(res)
}

// refusals are of what the routers could not find, or not tell apart; and of another name.
func (s *teamShop) refusals() {
	s.Helper()
	for _, c := range []struct {
		adoption client.Adoption
		status   int
		want     string
	}{
		{client.Adoption{Service: "web", Expect: 2}, 422, "without a filter"},
		{client.Adoption{Service: "api", Filter: ptr(`Service.Meta.build == "1813"`), Expect: 2}, 422, `\"catalog_name\": \"api\"`},
		{client.Adoption{Service: "web", Filter: ptr(`Service.Meta.build != "1811"`), Expect: 2}, 422, "/groups/0/consul/filter"},
		{client.Adoption{Service: "web", Filter: ptr(`team in Service.Tags`), Expect: 2}, 409, "finds what that of generation 1 finds"},
	} {
		if status, answer := s.tries(c.adoption); status != c.status || !strings.Contains(answer, c.want) {
			s.Errorf("adopting %+v: %d %s", c.adoption, status, answer)
		}
	}
	other := s.spec
	other.Services = slices.Clone(other.Services)
	other.Services[0].CatalogName = ptr("www")
	second := s.spec
	second.Routers = &[]string{"kv", "dns"}
	for name, c := range map[string]struct {
		spec client.EnvironmentSpec
		want string
	}{
		s.name:  {other, "is known as web in the catalog"},
		"stall": {second, "router dns switches web for service web of environment shop already"},
	} {
		res, err := s.client.PutEnvironmentWithResponse(s.Context(), name, nil, c.spec)
		if err != nil || res.StatusCode() != http.StatusConflict || !strings.Contains(body(res), c.want) {
			s.Errorf("the name of %s: %v %s", name, err, body(res))
		}
	}
}

// proxied are the instances that proxies lead callers to; what has no splitter leads to its resolver alone.
func (s *teamShop) proxied() (ids []string) {
	s.Helper()
	answer, _, err := s.lab.admin.DiscoveryChain().Get("web", nil, nil)
	if err != nil {
		s.Fatal(err)
	}
	start := answer.Chain.Nodes[answer.Chain.StartNode]
	nodes := []*api.DiscoveryGraphNode{start}
	if start.Type == api.DiscoveryGraphNodeTypeSplitter {
		nodes = nil
		for _, split := range start.Splits {
			nodes = append(nodes, answer.Chain.Nodes[split.NextNode])
		}
	}
	for _, node := range nodes {
		target := answer.Chain.Targets[node.Resolver.Target]
		found, _, err := s.lab.admin.Health().Connect(target.Service, "", true, &api.QueryOptions{Filter: target.Subset.Filter, RequireConsistent: true})
		if err != nil {
			s.Fatal(err)
		}
		for _, f := range found {
			ids = append(ids, f.Service.Proxy.DestinationServiceID)
		}
	}
	return ids
}

// reached checks to whom proxies lead.
func (s *teamShop) reached(when string, want []string) {
	s.Helper()
	if got := s.proxied(); !same(got, want) {
		s.Errorf("%s, proxies lead to %v, want %v", when, got, want)
	}
}

// leads checks to whom everything leads that the environment is switched by.
func (s *teamShop) leads(when string, generation int, want []string) {
	s.Helper()
	s.looks++
	s.reached(when, want)
	if got := s.called(s.dig()); !same(got, want) {
		s.Errorf("%s, DNS answers %v, want %v", when, got, want)
	}
	if got := s.called(s.published()); !same(got, want) {
		s.Errorf("%s, the key has %v, want %v", when, got, want)
	}
	if got, status := s.ask(); got != generation {
		s.Errorf("%s, generation %d answers with %d, want %d", when, got, status, generation)
	}
}

func (s *teamShop) called(places []string) (ids []string) {
	for _, place := range places {
		ids = append(ids, s.places[place])
	}
	return ids
}

func (s *teamShop) published() (places []string) {
	s.Helper()
	pair, _, err := s.lab.admin.KV().Get("viridian/"+s.name+"/route", nil)
	if err != nil || pair == nil {
		s.Fatalf("the key: %v", err)
	}
	var route struct {
		Groups []struct {
			Name      string
			Instances []struct{ HostPort string }
		}
	}
	if err := json.Unmarshal(pair.Value, &route); err != nil {
		s.Fatal(err)
	}
	for _, g := range route.Groups {
		if g.Name != "web" {
			s.Errorf("published under the name %s", g.Name)
		}
		for _, in := range g.Instances {
			places = append(places, in.HostPort)
		}
	}
	return places
}

func same(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func (s *teamShop) defaults() api.ConfigEntry {
	s.Helper()
	entry, _, err := s.lab.admin.ConfigEntries().Get(api.ServiceDefaults, "web", nil)
	if err != nil {
		s.Fatal(err)
	}
	return entry
}

// nothingLeft waits until Consul has what the team has put there and nothing else; proxies lead to all of it again.
func (s *teamShop) nothingLeft(team []string) {
	s.Helper()
	var left []string
	if !within(patience, func() bool {
		left = slices.DeleteFunc(s.lab.leftovers(), func(one string) bool {
			return slices.Contains([]string{"service web", "service web-sidecar-proxy", "service-defaults web"}, one) || strings.HasPrefix(one, "check of:")
		})
		return len(left) == 0
	}) {
		s.Errorf("left behind in Consul: %v", left)
	}
	s.reached("after the environment is gone", team)
	if diff := cmp.Diff(s.seen, s.changed()); diff != "" || len(s.seen) != 2*len(team) {
		s.Errorf("what the team registered was changed: %s", diff)
	}
}
