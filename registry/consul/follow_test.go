package consul_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"

	"viridian/registry"
	"viridian/registry/consul"
	"viridian/registry/consultest"
	"viridian/rollout"
)

func following() rollout.Adoption {
	a := adoption
	a.Membership = rollout.Follow
	return a
}

// three registers web-1 to web-3 at ports 81 to 83, and has their generation followed.
func (m *team) three(r *consul.Registry, a rollout.Adoption, digest string) *follower {
	m.t.Helper()
	for n := 1; n <= 3; n++ {
		m.register("web-"+strconv.Itoa(n), "1812", digest, 80+n)
	}
	f := follow(m.t, r, m.generation(r, a, digest))
	f.until("three are adopted", []string{"web-1:81", "web-2:82", "web-3:83"}, healthy(3))
	return f
}

func TestFollow_MembersComeAndGo(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	f := m.three(r, following(), "")
	m.registerAs("web-4", "1812", "", 84, api.HealthCritical)
	f.stays("one that does not pass yet does not join", []string{"web-1:81", "web-2:82", "web-3:83"})
	m.check("web-4", api.HealthPassing)
	f.until("it joins when it passes", []string{"web-1:81", "web-2:82", "web-3:83", "web-4:84"}, healthy(4))
	m.check("web-2", api.HealthCritical)
	f.until("one that is ill is unhealthy", []string{"web-1:81", "web-2:82", "web-3:83", "web-4:84"}, healthy(3))
	f.stays("and stays", []string{"web-1:81", "web-2:82", "web-3:83", "web-4:84"})
	m.deregister("web-2")
	f.until("it leaves when it is gone", []string{"web-1:81", "web-3:83", "web-4:84"}, healthy(3))
	m.register("web-5", "1811", "", 85)
	f.stays("another build does not match", []string{"web-1:81", "web-3:83", "web-4:84"})
	m.register("web-3", "1811", "", 83)
	f.until("one that does not match any more leaves", []string{"web-1:81", "web-4:84"}, healthy(2))
	m.register("_nomad-task.1", "1812", "", 86)
	eventually(t, "an id that is none is replaced", func() bool {
		now := f.present().Instances
		return len(now) == 3 && strings.HasPrefix(now[2].ID, "nomad-task.1-") && now[2].Port == 86
	})
}

func TestFollow_AnotherAddressIsAnotherInstance(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	f := m.three(r, following(), "")
	m.register("web-2", "1812", "", 92)
	f.until("the old one leaves, the new one joins and has its id", []string{"web-1:81", "web-2:92", "web-3:83"}, healthy(3))
	if f.changed() != 1 {
		t.Errorf("%d changes", f.changed())
	}
	m.check("web-3", api.HealthCritical)
	m.register("web-3", "1812", "", 93) // the agent keeps what a check said
	f.until("the old one leaves though the new one does not pass", []string{"web-1:81", "web-2:92"}, healthy(2))
	m.check("web-3", api.HealthPassing)
	f.until("which joins when it does", []string{"web-1:81", "web-2:92", "web-3:93"}, healthy(3))
	m.register("web-3", "1812", "", 0)
	f.until("one without a port cannot be reached, and is told", []string{"web-1:81", "web-2:92"}, says(2, "instance web-3 on node "+m.agent.Node+" has no address and port"))
}

func TestFollow_KeepsTheLastOnes(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	f := m.three(r, following(), "")
	m.deregister("web-3")
	f.until("two are left", []string{"web-1:81", "web-2:82"}, healthy(2))
	m.deregister("web-2")
	f.until("one is left", []string{"web-1:81"}, healthy(1))
	m.deregister("web-1")
	kept := func(r rollout.Reading) bool { return r.Unhealthy == 1 && r.Detail == "web-1 is gone from Consul" }
	f.until("the last one is kept, ill", []string{"web-1:81"}, kept)
	f.until("which is told", []string{"web-1:81"}, says(0, "all of its members are gone from Consul, and nobody can join: the last known 1 are kept"))
	m.registerAs("web-4", "1812", "", 84, api.HealthCritical)
	f.stays("who does not pass takes no place", []string{"web-1:81"})
	m.check("web-4", api.HealthPassing)
	f.until("who passes does", []string{"web-4:84"}, healthy(1))
	m.deregister("web-4")
	f.until("it is kept", []string{"web-4:84"}, says(0, "the last known 1 are kept"))
	m.register("web-4", "1812", "", 84)
	f.until("and there again", []string{"web-4:84"}, healthy(1))
}

func TestFollow_JoinsWithTheRightDigest(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	a := following()
	a.DigestMeta = "digest"
	f := m.three(r, a, "sha256:good")
	m.register("web-4", "1812", "sha256:other", 84)
	f.until("who runs something else is told", []string{"web-1:81", "web-2:82", "web-3:83"}, says(3, "web-4 on "+m.agent.Node+" runs sha256:other, and cannot join"))
	m.register("web-5", "1812", "", 85)
	f.until("so is who does not tell", []string{"web-1:81", "web-2:82", "web-3:83"}, says(3, "web-5 on "+m.agent.Node+" does not tell what it runs"))
	f.stays("neither joins", []string{"web-1:81", "web-2:82", "web-3:83"})
	m.register("web-4", "1812", "sha256:good", 84)
	m.deregister("web-5")
	f.until("who runs the right thing joins", []string{"web-1:81", "web-2:82", "web-3:83", "web-4:84"}, healthy(4))
	m.register("web-1", "1812", "sha256:patched", 81)
	f.until("a member that runs something else stays, and is told", []string{"web-1:81", "web-2:82", "web-3:83", "web-4:84"}, func(r rollout.Reading) bool {
		return r.Mismatched == 1 && r.Healthy == 4 && r.Drift == "web-1 runs sha256:patched"
	})
}

func TestFollow_AsksBeforeOneJoins(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	a := following()
	a.DigestMeta, a.DigestPath, a.Expect = "", "/digest", 2
	var tells [4]atomic.Pointer[string]
	var names []string
	serve := func(n int, text, status string) {
		t.Helper()
		tells[n].Store(&text)
		port := serveText(t, &tells[n])
		m.registerAs("web-"+strconv.Itoa(n), "1812", "", port, status)
		names = append(names, fmt.Sprintf("web-%d:%d", n, port))
	}
	serve(0, "sha256:good", api.HealthPassing)
	serve(1, "sha256:good", api.HealthPassing)
	f := follow(t, r, m.generation(r, a, "sha256:good"))
	f.until("two tell it", names[:2], healthy(2))
	serve(2, "still starting", api.HealthCritical)
	f.stays("one that does not pass is asked, and nothing is held against it", names[:2])
	f.until("not even as drift", names[:2], healthy(2))
	tells[2].Store(new("sha256:good"))
	m.check("web-2", api.HealthPassing)
	f.until("it joins with what it tells then", names[:3], healthy(3))
	serve(3, "sha256:other", api.HealthPassing)
	f.until("who runs something else is told", names[:3], says(3, "web-3 on "+m.agent.Node+" runs sha256:other, and cannot join"))
	f.stays("and does not join", names[:3])
	tells[3].Store(new("sha256:good"))
	f.until("until it runs the right thing", names, healthy(4))
	m.register("web-9", "1812", "", 1) // where nobody listens
	f.until("nor does who does not answer", names, says(4, "web-9 on "+m.agent.Node+" does not tell what it runs: connection refused"))
}

// TestFollow_NothingIsUnknownAtFirst: a watch that begins anew does not tell of members that nobody has asked yet.
func TestFollow_NothingIsUnknownAtFirst(t *testing.T) {
	t.Parallel()
	m, real := newTeam(t)
	r := consul.New(consul.Options{Client: m.agent.Client(m.agent.Token), Clock: clockwork.NewFakeClock()}) // no wait ends by time
	a := following()
	a.DigestMeta, a.DigestPath, a.Expect = "", "/digest", 1
	var text atomic.Pointer[string]
	text.Store(new("sha256:good"))
	m.register("web-1", "1812", "", serveText(t, &text))
	g := m.generation(real, a, "sha256:good")
	for range 5 {
		first := make(chan rollout.Reading, 1)
		ctx, end := context.WithCancel(t.Context())
		err := r.Watch(ctx, rollout.Spec{Registry: "consul", Services: []rollout.Service{{Name: "web"}}}, g, func(seen registry.Seen) {
			select {
			case first <- seen.Readings[0]:
			default:
			}
			end()
		})
		if reading := <-first; reading.Healthy != 1 || !errors.Is(err, context.Canceled) {
			t.Fatalf("the first reading is %+v, %v", reading, err)
		}
	}
}

// TestFollow_ConsulAwayChangesNothing: an agent that is killed and comes back with its data is no change of members.
func TestFollow_ConsulAwayChangesNothing(t *testing.T) {
	t.Parallel()
	agent := consultest.Durable(t)
	m, r := &team{t: t, agent: agent, api: agent.Client("")}, registryOn(t, agent, "", "")
	f := m.three(r, following(), "")
	for n := 1; n <= 3; n++ {
		m.check("web-"+strconv.Itoa(n), api.HealthPassing) // only this is kept of a check over a restart
	}
	agent.Kill()
	eventually(t, "it is told that Consul is away", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.trouble != ""
	})
	agent.Start()
	eventually(t, "and that it is there", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.trouble == ""
	})
	f.stays("the same three are members", []string{"web-1:81", "web-2:82", "web-3:83"})
	f.until("and healthy", []string{"web-1:81", "web-2:82", "web-3:83"}, healthy(3))
	if f.changed() != 0 {
		t.Errorf("the members changed %d times", f.changed())
	}
	m.register("web-4", "1812", "", 84)
	f.until("it goes on", []string{"web-1:81", "web-2:82", "web-3:83", "web-4:84"}, healthy(4))
}

func TestFollow_TwoNodesWithOneServiceID(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	elsewhere := func(node string, port int) {
		t.Helper()
		_, err := m.api.Catalog().Register(&api.CatalogRegistration{Node: node, Address: "127.0.0.1", NodeMeta: map[string]string{"external-node": "true"},
			Service: &api.AgentService{ID: "web", Service: "team-web", Address: "127.0.0.1", Port: port, Meta: map[string]string{"build": "1812"}},
			Checks:  api.HealthChecks{{Node: node, CheckID: "up", Name: "up", Status: api.HealthPassing, ServiceID: "web", ServiceName: "team-web"}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	a := following()
	a.Expect = 1
	elsewhere("vm-1", 81)
	f := follow(t, r, m.generation(r, a, ""))
	f.until("the first has its own id", []string{"web:81"}, healthy(1))
	elsewhere("vm-0", 82) // before vm-1 by its name
	elsewhere("vm-2", 83)
	eventually(t, "three have three ids", func() bool { return len(f.present().Instances) == 3 })
	byPort := map[int]string{}
	for _, in := range f.present().Instances {
		byPort[in.Port] = in.ID
	}
	if byPort[81] != "web" || !strings.HasPrefix(byPort[82], "web-") || !strings.HasPrefix(byPort[83], "web-") || byPort[82] == byPort[83] {
		t.Errorf("ids by port: %v", byPort)
	}
	if _, err := m.api.Catalog().Deregister(&api.CatalogDeregistration{Node: "vm-1"}, nil); err != nil {
		t.Fatal(err)
	}
	left := []string{byPort[82] + ":82", byPort[83] + ":83"}
	slices.Sort(left)
	f.until("the others keep theirs", left, healthy(2))
}

// TestFollow_ReplacedAsNomadDoes replaces one instance after the other: the new one is registered, passes, and then the
// old one is deregistered.
func TestFollow_ReplacedAsNomadDoes(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	f := m.three(r, following(), "")
	names := []string{"web-1", "web-2", "web-3"}
	members := func() (out []string) {
		for _, name := range names {
			out = append(out, fmt.Sprintf("%s:%s", name, "8"+strings.TrimPrefix(name, "web-")))
		}
		slices.Sort(out)
		return out
	}
	const rounds = 20
	for round := range rounds {
		n := 4 + round
		next := "web-" + strconv.Itoa(n)
		port, err := strconv.Atoi("8" + strconv.Itoa(n))
		if err != nil {
			t.Fatal(err)
		}
		m.registerAs(next, "1812", "", port, api.HealthCritical)
		m.check(next, api.HealthPassing)
		names = append(names, next)
		f.until(next+" joins", members(), healthy(4))
		m.deregister(names[0])
		names = names[1:]
		f.until("the oldest leaves", members(), healthy(3))
	}
	if f.changed() != 2*rounds || f.smallest != 3 || f.largest != 4 {
		t.Errorf("%d changes, of %d to %d members; want %d of 3 to 4", f.changed(), f.smallest, f.largest, 2*rounds)
	}
}
