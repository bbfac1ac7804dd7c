package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
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
	haproxyPath(t)
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

// followed is a shop whose generations follow what a team registers in Consul.
type followed struct {
	*meshShop
	balancer *balancer // nil for none
	nodes    int64
	begun    int // instances, of all builds
}

// build is what the team has registered of one generation, by id.
type build struct {
	version string
	number  int
	members map[string]*routertest.Backend
	started map[string]bool // addresses of all that ever were
}

// follow registers a generation that follows a build, of which three are waited for.
func (s *followed) follow(version string) *build {
	s.Helper()
	follow := client.AdoptionMembership("follow")
	res, err := s.client.RegisterGenerationWithResponse(s.Context(), s.name, nil, client.RegisterRequest{Version: version, Groups: []client.Group{{
		Service: "web", Consul: &client.Adoption{Service: "shop-web", Filter: ptr(fmt.Sprintf("Service.Meta.build == %q", version)), Expect: 3, Membership: &follow}}}})
	if err != nil || res.JSON201 == nil {
		s.Fatalf("register: %v %s", err, body(res))
	}
	s.last = res.JSON201.Number
	return &build{version, s.last, map[string]*routertest.Backend{}, map[string]bool{}}
}

// join starts an instance, and registers it on the agent.
func (s *followed) join(b *build) (id string) {
	s.Helper()
	s.begun++
	id = fmt.Sprintf("%s-%d", b.version, s.begun)
	b.members[id] = routertest.NewBackend(s, b.number)
	s.enter(b, id)
	return id
}

// enter registers an instance of the build on the agent.
func (s *followed) enter(b *build, id string) {
	s.Helper()
	in := b.members[id].Instance(id)
	b.started[in.Target()] = true
	err := s.lab.admin.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "shop-web", Address: in.Address, Port: in.Port,
		Meta:  map[string]string{"build": b.version},
		Check: &api.AgentServiceCheck{CheckID: "of:" + id, TTL: "10m", Status: api.HealthPassing}})
	if err != nil {
		s.Fatal(err)
	}
}

// leave takes an instance out of Consul; it runs on until the end function is called.
func (s *followed) leave(b *build, id string) (end func()) {
	s.Helper()
	if err := s.lab.admin.Agent().ServiceDeregister(id); err != nil {
		s.Fatal(err)
	}
	backend := b.members[id]
	delete(b.members, id)
	return backend.Close
}

// oldest is the id of the instance that was there first.
func (b *build) oldest() string {
	return slices.MinFunc(b.ids(), func(x, y string) int {
		nx, _ := strconv.Atoi(x[strings.LastIndex(x, "-")+1:])
		ny, _ := strconv.Atoi(y[strings.LastIndex(y, "-")+1:])
		return nx - ny
	})
}

func (b *build) ids() (out []string) {
	for id := range b.members {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// replace lets a new instance join, the oldest leave, and that one end when every router is without it.
func (s *followed) replace(b *build) {
	s.Helper()
	s.join(b)
	s.is("one has joined", b)
	end := s.leave(b, b.oldest())
	s.is("one has left", b)
	end()
}

// size lets instances join or leave until there are that many.
func (s *followed) size(b *build, n int) {
	s.Helper()
	for len(b.members) < n {
		s.join(b)
	}
	s.is("grown", b)
	var ends []func()
	for len(b.members) > n {
		ends = append(ends, s.leave(b, b.oldest()))
	}
	s.is("shrunk", b)
	for _, end := range ends {
		end()
	}
}

// is waits until the generation has the members of the build, and no others, in the API and on every router.
func (s *followed) is(what string, b *build) {
	s.Helper()
	var want []string
	for id, backend := range b.members {
		in := backend.Instance(id)
		want = append(want, id+" "+in.Target())
	}
	slices.Sort(want)
	var shown, published, led []string
	staged := false
	if !within(patience, func() bool {
		shown, published = s.shown(b.number), s.published(b.number)
		staged = s.stagings(b.number) == s.nodes
		led = s.led(b)
		return slices.Equal(shown, want) && staged && (published == nil || slices.Equal(published, want)) && (s.balancer == nil || slices.Equal(led, addresses(want)))
	}) {
		s.Fatalf("%s: generation %d is to have\n%v\nthe API shows\n%v\nthe key has\n%v\nHAProxy has\n%v\nstaged on all: %v", what, b.number, want, shown, published, led, staged)
	}
}

func addresses(members []string) (out []string) {
	for _, m := range members {
		_, address, _ := strings.Cut(m, " ")
		out = append(out, address)
	}
	slices.Sort(out)
	return out
}

func (s *followed) shown(number int) (out []string) {
	s.Helper()
	for _, in := range s.generation(number).Groups[0].Instances {
		out = append(out, in.Id+" "+net.JoinHostPort(in.Address, strconv.Itoa(in.Port)))
	}
	slices.Sort(out)
	return out
}

// published is what the key has of the generation; nil while it has no weight.
func (s *followed) published(number int) (out []string) {
	s.Helper()
	pair, _, err := s.lab.admin.KV().Get("viridian/"+s.name+"/route", nil)
	if err != nil {
		s.Fatal(err)
	}
	if pair == nil {
		return nil
	}
	var route struct {
		Groups []struct {
			Generation int
			Instances  []struct{ ID, HostPort string }
		}
	}
	if err := json.Unmarshal(pair.Value, &route); err != nil {
		s.Fatal(err)
	}
	for _, g := range route.Groups {
		for _, in := range g.Instances {
			if g.Generation == number {
				out = append(out, in.ID+" "+in.HostPort)
			}
		}
	}
	slices.Sort(out)
	return out
}

// led are the instances of the build that HAProxy leads requests to, or may.
func (s *followed) led(b *build) (out []string) {
	s.Helper()
	if s.balancer == nil {
		return nil
	}
	answer, err := s.balancer.tell("show servers state")
	if err != nil {
		s.Fatal(err)
	}
	const address, admin, port, maintenance = 4, 6, 18, 1
	for line := range strings.Lines(answer) {
		fields := strings.Fields(line)
		if len(fields) <= port {
			continue
		}
		state, err := strconv.Atoi(fields[admin])
		if target := net.JoinHostPort(fields[address], fields[port]); err == nil && state&maintenance == 0 && b.started[target] {
			out = append(out, target)
		}
	}
	slices.Sort(out)
	return out
}

// stagings counts the nodes that have the generation's present members.
func (s *followed) stagings(number int) int64 {
	s.Helper()
	return s.number(`SELECT count(*) FROM staging s JOIN membership m ON (m.environment, m.number) = (s.environment, s.generation)
		WHERE s.environment = $1 AND s.generation = $2 AND s.members_since >= m.since`, s.name, number)
}

// judge ends traffic, which must have met nothing bad.
func (s *followed) judge(flow *routertest.Traffic) int {
	s.Helper()
	v := routertest.Check(flow.Stop(), s.flips)
	if !v.Clean() || v.Requests == 0 {
		s.Error(v)
	}
	return v.Requests
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
