package e2e

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/client"
	"viridian/registry/consultest"
	"viridian/router/routertest"
)

// TestProveConsulFollow replaces the instances of a live generation one by one, as a scheduler does that moves them: each
// comes to every router and leaves it again, and no request fails. Nothing changes while Consul is away or has none of
// them; what came and went while the program was dead is there after its start.
func TestProveConsulFollow(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.WithACL(t), "registry/consul/policy-adopt.hcl")
	routertest.HAProxy(t)
	spec := (&replica{lab: l.lab}).spec("shop", "lb")
	b := l.balancer("lb-1", "shop", spec.spec)
	l.routers += "  lb:\n    driver: haproxy\n    nodes:\n" + b.yaml()
	r := l.replica("a")
	r.start("")
	r.ready()
	s := &followed{meshShop: l.shop(r, "shop", "builtin", "lb", "kv", "mesh"), balancer: b, nodes: 4}
	one := s.follow("1812")
	for range 3 {
		s.join(one)
	}
	s.becomes(one.number, client.GenerationStateReady)
	s.promote(one.number)
	s.is("the first", one)
	flows := []*routertest.Traffic{s.load(2, 1), routertest.Load{Address: b.listen, Host: s.host, KeepAlive: 2, Fresh: 1}.Start()}
	slowest, rounds := time.Duration(0), count(2, 60)
	for i := range rounds {
		turn := time.Now()
		s.replace(one)
		slowest = max(slowest, time.Since(turn))
		if i == rounds/2 {
			s.size(one, 5)
			s.size(one, 3)
		}
	}
	two := s.follow("1813")
	for range 3 {
		s.join(two)
	}
	s.becomes(two.number, client.GenerationStateReady)
	s.replace(two)
	s.promote(two.number)
	s.replace(one)
	s.replace(two)
	s.rollback(two.number)
	s.replace(one)
	requests := s.judge(flows[0])
	for i := range count(2, 20) {
		s.whileDead(one, i%2 == 0)
	}
	s.whileAway(one)
	s.whileNone(one)
	requests += s.judge(flows[1])
	s.audit()
	changes := s.changes()
	s.remove()
	for _, build := range []*build{one, two} {
		for id := range build.members {
			if _, there := s.services()[id]; !there {
				t.Errorf("%s of the team was deregistered", id)
			}
		}
	}
	report(t, "%d changes of members, each on four routers, of live, ready and standby generations (one replaced by another within %v); program killed, Consul away, all instances gone: the members stayed; "+
		"%d requests, 0 failed; %v", changes, slowest.Round(10*time.Millisecond), requests, since(began))
}

// TestProveConsulFollowEmpty restarts a Consul that has forgotten everything. Until those that register themselves are
// back, the members are as they were, on every router.
func TestProveConsulFollowEmpty(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.Dev(t))
	r := l.replica("a")
	r.start("")
	r.ready()
	s := &followed{meshShop: l.shop(r, "shop", "builtin", "kv"), nodes: 2}
	one := s.follow("1812")
	for range 3 {
		s.join(one)
	}
	s.becomes(one.number, client.GenerationStateReady)
	s.promote(one.number)
	flow, rounds := s.load(2, 1), count(1, 10)
	for range rounds {
		s.lab.agent.Kill()
		s.lab.agent.Start()
		s.eventually("it is told that all are gone", func() bool {
			health, known := s.generation(one.number).Health["web"]
			return known && health.Healthy == 0 && strings.Contains(given(health.Detail), "gone")
		})
		for healthy, id := range one.ids() {
			s.enter(one, id)
			s.eventually("one more is back", func() bool {
				health, known := s.generation(one.number).Health["web"]
				return known && health.Healthy == healthy+1 && health.Total == 3
			})
		}
		s.is("all are back", one)
	}
	requests := s.judge(flow)
	if n := s.changes(); n != 0 {
		t.Errorf("the members changed %d times", n)
	}
	report(t, "restarted empty %d times, Consul got 3 instances back one by one, and the members never changed; %d requests, 0 failed; %v", rounds, requests, since(began))
}

// whileDead replaces an instance while the program is dead, or is about to be told of it.
func (s *followed) whileDead(b *build, before bool) {
	s.Helper()
	if before {
		s.kill()
	}
	s.join(b)
	end := s.leave(b, b.oldest())
	if !before {
		s.kill()
	}
	s.start("")
	s.ready()
	s.is("started again", b)
	end()
}

// whileAway lets Consul hang, and looks that the members stay.
func (s *followed) whileAway(b *build) {
	s.Helper()
	s.lab.agent.Pause()
	s.eventually("the trouble is told", func() bool {
		res, err := s.client.ShowEnvironmentWithResponse(s.Context(), s.name)
		return err == nil && res.JSON200 != nil && res.JSON200.RegistryTrouble != nil
	})
	if shown := s.shown(b.number); len(shown) != 3 {
		s.Errorf("while Consul is away the members are %v", shown)
	}
	s.lab.agent.Resume()
	s.is("Consul is back", b)
	s.replace(b)
}

// whileNone takes all instances out of Consul: the last ones stay, and that is told.
func (s *followed) whileNone(b *build) {
	s.Helper()
	before := s.shown(b.number)
	kept := maps.Clone(b.members)
	for id := range kept {
		s.leave(b, id)
	}
	s.eventually("it is told that all are gone", func() bool {
		health, known := s.generation(b.number).Health["web"]
		return known && health.Healthy == 0 && strings.Contains(given(health.Detail), "gone")
	})
	if after := s.shown(b.number); len(after) == 0 || !slices.Contains(before, after[0]) {
		s.Errorf("all were taken out, and the members are %v, were %v", after, before)
	}
	for range 3 {
		s.join(b)
	}
	s.is("others are there", b)
	for _, backend := range kept {
		backend.Close()
	}
}

// changes counts the events of members, of which none may be one of drift.
func (s *followed) changes() (n int) {
	s.Helper()
	for _, e := range s.events() {
		switch e.Kind {
		case "generation.members":
			n++
			var data struct{ Size int }
			if err := json.Unmarshal(e.Data, &data); err != nil || data.Size < 1 {
				s.Errorf("a change to %s (%v)", e.Data, err)
			}
		case "route.drifted":
			s.Errorf("members that came and went are taken for an edit by hand: %s", e.Data)
		}
	}
	return n
}

func (s *followed) services() map[string]*api.AgentService {
	s.Helper()
	services, err := s.lab.admin.Agent().Services()
	if err != nil {
		s.Fatal(err)
	}
	return services
}
