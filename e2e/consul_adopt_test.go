package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/client"
	"viridian/registry/consultest"
	"viridian/router/routertest"
)

// TestProveConsulAdoption promotes groups that registered themselves on an agent: they are waited for, frozen, watched
// for drift and for what they run, and stay registered when their generation is long gone.
func TestProveConsulAdoption(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newConsulLab(t, consultest.WithACL(t), "registry/consul/policy-adopt.hcl")
	r := l.replica("a")
	r.start("")
	r.ready()
	s := l.shop(r, "shop", 3)
	s.promote(s.candidate()) // listed as ever: both kinds get along
	second := s.adopt("1812", "sha256:1812")
	s.eventually("it waits, and says for what", func() bool {
		g := s.generation(second)
		return g.State == client.GenerationStateRegistered && g.Reason == "0 of 3 instances of team-web are passing"
	})
	s.selfRegister("1812", 1, "sha256:1812")
	s.selfRegister("1812", 2, "sha256:1812")
	s.eventually("two are not enough", func() bool {
		return s.generation(second).Reason == "2 of 3 instances of team-web are passing"
	})
	s.selfRegister("1812", 3, "sha256:1812")
	s.becomes(second, client.GenerationStateReady)
	if groups := s.generation(second).Groups; len(groups) != 1 || len(groups[0].Instances) != 3 || groups[0].Consul == nil {
		t.Errorf("adopted as %+v", groups)
	}
	s.promote(second)
	if got, status := s.ask(); got != second {
		t.Errorf("generation %d answers with %d, want the adopted %d", got, status, second)
	}
	s.selfRegister("1812", 4, "sha256:1812")
	s.drifts(second, "build-1812-4 on "+l.agent.Node+" was not adopted")
	third := s.adopt("1813", "sha256:1813")
	for n := 1; n <= 3; n++ {
		s.selfRegister("1813", n, []string{"sha256:1813", "sha256:patched", "sha256:1813"}[n-1])
	}
	s.drifts(third, "build-1813-2 runs sha256:patched")
	s.becomes(third, client.GenerationStateValidating) // the drift may be told before every node has staged it
	s.selfRegister("1813", 2, "sha256:1813")
	s.becomes(third, client.GenerationStateReady)
	s.rollback(second)
	s.retire(third)
	s.remove()
	left := l.leftovers()
	for _, one := range left {
		if !strings.Contains(one, "team-web") && !strings.Contains(one, "build-181") {
			t.Errorf("left behind in Consul: %s", one)
		}
	}
	if services, err := l.admin.Agent().Services(); err != nil || len(services) != 7 {
		t.Errorf("%d of the team's 7 services are left (%v)", len(services), err)
	}
	kinds := map[string]int{}
	for _, e := range s.events() {
		kinds[e.Kind]++
	}
	if kinds["generation.adopted"] != 2 || kinds["generation.drifted"] < 2 || kinds["generation.aligned"] < 1 {
		t.Errorf("events: %v", kinds)
	}
	report(t, "two groups of 3 adopted from the agent where they registered themselves: waited for, frozen, promoted; one instance more and one that ran something else were drift; all 7 are still registered; %v", since(began))
}

// adopt registers a generation that adopts what a build has registered, or will.
func (s *consulShop) adopt(build, digest string) (number int) {
	s.Helper()
	request := client.RegisterRequest{Version: build, Artifact: &client.Artifact{Digest: &digest}, Groups: []client.Group{{Service: "web", Consul: &client.Adoption{
		Service: "team-web", Filter: ptr(fmt.Sprintf("Service.Meta.build == %q", build)), Expect: 3, Digest: &client.DigestSource{Meta: ptr("digest")}}}}}
	res, err := s.client.RegisterGenerationWithResponse(s.Context(), s.name, nil, request)
	if err != nil || res.JSON201 == nil {
		s.Fatalf("register: %v %s", err, body(res))
	}
	s.last = res.JSON201.Number
	return s.last
}

// selfRegister starts the n-th instance of a build, unless that runs already, and registers it on the agent.
func (s *consulShop) selfRegister(build string, n int, digest string) {
	s.Helper()
	id := fmt.Sprintf("build-%s-%d", build, n)
	if s.team == nil {
		s.team = map[string]client.Instance{}
	}
	if _, runs := s.team[id]; !runs {
		s.team[id] = instance(routertest.NewBackend(s, s.last), n)
	}
	in := s.team[id]
	err := s.consulLab.admin.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "team-web", Address: in.Address, Port: in.Port,
		Meta:  map[string]string{"build": build, "digest": digest},
		Check: &api.AgentServiceCheck{CheckID: "of:" + id, TTL: "10m", Status: api.HealthPassing}})
	if err != nil {
		s.Fatal(err)
	}
}

// drifts waits until the API says in what the generation differs from what was registered.
func (s *consulShop) drifts(number int, how string) {
	s.Helper()
	last := ""
	if !within(patience, func() bool {
		last = given(s.generation(number).Health["web"].Drift)
		return last == how
	}) {
		s.Fatalf("the drift of generation %d is %q, want %q", number, last, how)
	}
}

// given is the value of an optional field, or its zero value.
func given[T any](v *T) (out T) {
	if v != nil {
		out = *v
	}
	return out
}

// TestConsulAdoption_Refusals: what cannot be adopted is refused when it is registered, and says where.
func TestConsulAdoption_Refusals(t *testing.T) {
	t.Parallel()
	l := newConsulLab(t, consultest.Dev(t))
	r := l.replica("a")
	r.start("")
	r.ready()
	s := l.shop(r, "shop", 1)
	plain := r.shop("plain")
	for name, c := range map[string]struct {
		shop   *shop
		change func(*client.Group)
		code   int
		want   string
	}{
		"another registry":    {plain, func(*client.Group) {}, 422, "/groups/0/consul"},
		"instances besides":   {s.shop, func(g *client.Group) { g.Instances = []client.Instance{{Id: "a", Address: "10.0.0.1", Port: 1}} }, 422, "/groups/0/instances"},
		"too long":            {s.shop, func(g *client.Group) { g.Consul.Timeout = ptr("25h") }, 422, "/groups/0/consul/timeout"},
		"a digest of nothing": {s.shop, func(g *client.Group) { g.Consul.Digest = &client.DigestSource{Path: ptr("/digest")} }, 422, "needs artifact.digest"},
		"none expected":       {s.shop, func(g *client.Group) { g.Consul.Expect = 0 }, 422, "/groups/0/consul/expect"},
	} {
		group := client.Group{Service: "web", Consul: &client.Adoption{Service: "team-web", Expect: 2}}
		c.change(&group)
		res, err := c.shop.client.RegisterGenerationWithResponse(t.Context(), c.shop.name, nil, client.RegisterRequest{Version: "1", Groups: []client.Group{group}})
		if err != nil || res.StatusCode() != c.code || !strings.Contains(body(res), c.want) {
			t.Errorf("%s: %v %s", name, err, body(res))
		}
	}
	// A group that never comes has failed in its time, and cannot be validated.
	res, err := s.client.RegisterGenerationWithResponse(t.Context(), s.name, nil, client.RegisterRequest{Version: "1",
		Groups: []client.Group{{Service: "web", Consul: &client.Adoption{Service: "team-web", Expect: 2, Timeout: ptr("1s")}}}})
	if err != nil || res.JSON201 == nil {
		t.Fatalf("%v %s", err, body(res))
	}
	s.becomes(1, client.GenerationStateFailed)
	if g := s.generation(1); g.Reason != "its instances were not there within 1s: 0 of 2 instances of team-web are passing" {
		t.Errorf("failed with %q", g.Reason)
	}
	again, err := s.client.ValidateGenerationWithResponse(t.Context(), s.name, 1, nil)
	if err != nil || again.StatusCode() != http.StatusConflict {
		t.Errorf("validated again: %v %s", err, body(again))
	}
	s.retire(1)
}
