package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"viridian/client"
	"viridian/router/routertest"
)

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
