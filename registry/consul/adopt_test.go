package consul_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/registry"
	"viridian/registry/consul"
	"viridian/registry/consultest"
	"viridian/rollout"
)

// team registers instances of its own with an agent, as Nomad or a script on a VM would, with TTL checks that it holds.
type team struct {
	t     *testing.T
	agent *consultest.Agent
	api   *api.Client
}

func (m *team) register(id, build, digest string, port int) {
	m.t.Helper()
	m.registerAs(id, build, digest, port, api.HealthPassing)
}

func (m *team) registerAs(id, build, digest string, port int, status string) {
	m.t.Helper()
	err := m.api.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "team-web", Address: "127.0.0.1", Port: port,
		Meta: map[string]string{"build": build, "digest": digest}, Check: &api.AgentServiceCheck{CheckID: "ttl:" + id, TTL: "10m", Status: status}})
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *team) check(id, status string) {
	m.t.Helper()
	if err := m.api.Agent().UpdateTTL("ttl:"+id, "set by the team", status); err != nil {
		m.t.Fatal(err)
	}
}

func (m *team) deregister(id string) {
	m.t.Helper()
	if err := m.api.Agent().ServiceDeregister(id); err != nil {
		m.t.Fatal(err)
	}
}

// newTeam has an agent with access control, and a registry with the documented rights to adopt.
func newTeam(t *testing.T) (*team, *consul.Registry) {
	t.Helper()
	agent := consultest.WithACL(t)
	token := agent.Grant(consultest.Policy(t, "registry/consul/policy.hcl"), consultest.Policy(t, "registry/consul/policy-adopt.hcl"))
	return &team{t: t, agent: agent, api: agent.Client(agent.Token)}, registryOn(t, agent, token, "")
}

var adoption = rollout.Adoption{Service: "team-web", Filter: `Service.Meta.build == "1812"`, Expect: 3, Membership: rollout.Frozen}

// awaitFound looks until that many are passing, which Consul tells a moment after they were registered.
func awaitFound(t *testing.T, r *consul.Registry, a rollout.Adoption, passing, others int) []rollout.Instance {
	t.Helper()
	var found registry.Found
	eventually(t, fmt.Sprintf("%d passing and %d others", passing, others), func() bool {
		var err error
		if found, err = r.Find(t.Context(), a, "sha256:good"); err != nil {
			t.Fatal(err)
		}
		return len(found.Passing) == passing && found.Others == others
	})
	return found.Passing
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(30*time.Second)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not in time", what)
		}
	}
}

func TestFind_TellsWhoIsPassing(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	awaitFound(t, r, adoption, 0, 0)
	m.register("_nomad-task-1:web", "1812", "", 81)
	m.register("web-2", "1812", "", 82)
	m.register("web-3", "1811", "", 83)
	found := awaitFound(t, r, adoption, 2, 0)
	for _, in := range found {
		if !rollout.ValidInstanceID(in.ID) || in.Address != "127.0.0.1" || in.Meta["consul-node"] != m.agent.Node {
			t.Errorf("an instance as %+v", in)
		}
	}
	m.check("web-2", api.HealthCritical)
	awaitFound(t, r, adoption, 1, 1)
	bad := adoption
	bad.Filter = "Service.Meta.build is what"
	var wrong *registry.AdoptionError // and not the registry's trouble
	if _, err := r.Find(t.Context(), bad, ""); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "none that Consul understands") {
		t.Errorf("a filter that is none: %v", err)
	}
	m.register("web-4", "1812", "", 0)
	eventually(t, "an instance without a port is told", func() bool {
		_, err := r.Find(t.Context(), adoption, "")
		return errors.As(err, &wrong) && strings.Contains(err.Error(), "web-4 on node "+m.agent.Node+" has no address and port")
	})
}

// An instance that says that it runs something else does not count, however well it is.
func TestFind_LeavesOutWhatRunsSomethingElse(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	a := adoption
	a.DigestMeta = "digest"
	m.register("web-1", "1812", "sha256:good", 81)
	m.register("web-2", "1812", "sha256:patched", 82)
	m.register("web-3", "1812", "", 83)
	awaitFound(t, r, adoption, 3, 0) // all are there; without a digest they count
	found, err := r.Find(t.Context(), a, "sha256:good")
	if err != nil {
		t.Fatal(err)
	}
	wrong := []string{"web-2 on " + m.agent.Node + " runs sha256:patched", "web-3 on " + m.agent.Node + " does not tell what it runs"}
	if len(found.Passing) != 1 || found.Passing[0].ID != "web-1" || found.Others != 0 || !slices.Equal(found.Wrong, wrong) {
		t.Errorf("found %+v", found)
	}
}

func TestFind_SaysThatItMayNotSee(t *testing.T) {
	t.Parallel()
	m, _ := newTeam(t)
	m.register("web-1", "1812", "", 81)
	blind := registryOn(t, m.agent, m.agent.Grant(consultest.Policy(t, "registry/consul/policy.hcl")), "")
	eventually(t, "what is hidden is told", func() bool {
		found, err := blind.Find(t.Context(), adoption, "")
		if err == nil && len(found.Passing)+found.Others > 0 {
			t.Fatalf("sees %v", found)
		}
		return err != nil && strings.Contains(err.Error(), `node_prefix ""`)
	})
}

// reports gathers what a watch says.
type reports struct {
	last    atomic.Pointer[rollout.Reading]
	trouble atomic.Pointer[string]
}

func watchTeam(t *testing.T, r *consul.Registry, g rollout.Generation) *reports {
	t.Helper()
	out := &reports{}
	spec := rollout.Spec{Registry: "consul", Services: []rollout.Service{{Name: "web"}}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- r.Watch(ctx, spec, g, func(seen registry.Seen) {
			readings, text := seen.Readings, ""
			if seen.Members != nil {
				t.Errorf("members of a group that is frozen: %+v", seen.Members)
			}
			if seen.Trouble != nil {
				text = seen.Trouble.Error()
			}
			out.trouble.Store(&text)
			if len(readings) > 0 {
				out.last.Store(&readings[0])
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
	})
	return out
}

func (r *reports) until(t *testing.T, what string, holds func(rollout.Reading) bool) {
	t.Helper()
	eventually(t, what, func() bool {
		last := r.last.Load()
		if last != nil && holds(*last) {
			return true
		}
		return false
	})
}

func (m *team) generation(r *consul.Registry, a rollout.Adoption, digest string) rollout.Generation {
	m.t.Helper()
	return rollout.Generation{Environment: "shop", Number: 1, Artifact: &rollout.Artifact{Digest: digest},
		Groups: []rollout.Group{{Service: "web", Instances: awaitFound(m.t, r, a, a.Expect, 0), Consul: &a}}}
}

func TestWatch_FrozenMembershipDrifts(t *testing.T) {
	t.Parallel()
	m, r := newTeam(t)
	for n := 1; n <= 3; n++ {
		m.register("web-"+strconv.Itoa(n), "1812", "", 80+n)
	}
	g := m.generation(r, adoption, "")
	seen := watchTeam(t, r, g)
	seen.until(t, "all healthy, no drift", func(r rollout.Reading) bool { return r.Healthy == 3 && r.Total == 3 && r.Drift == "" })
	m.register("web-4", "1812", "", 84)
	seen.until(t, "one that was not adopted is told", func(r rollout.Reading) bool {
		return r.Healthy == 3 && r.Total == 3 && strings.Contains(r.Drift, "web-4 on "+m.agent.Node+" was not adopted")
	})
	m.deregister("web-4")
	m.register("web-2", "1812", "", 90)
	seen.until(t, "one at another port is told, and not healthy", func(r rollout.Reading) bool {
		return r.Healthy == 2 && r.Unhealthy == 1 && r.Drift == "web-2 is at 127.0.0.1:90"
	})
	m.register("web-2", "1812", "", 82)
	m.check("web-3", api.HealthCritical)
	seen.until(t, "an unhealthy one is no drift", func(r rollout.Reading) bool {
		return r.Healthy == 2 && r.Unhealthy == 1 && r.Drift == "" && r.Detail == "web-3: set by the team"
	})
	m.deregister("web-3")
	seen.until(t, "one that is gone is told", func(r rollout.Reading) bool {
		return r.Healthy == 2 && r.Unhealthy == 1 && r.Drift == "web-3 is gone"
	})
	// Nothing that others registered is ever touched.
	if err := r.Deregister(t.Context(), rollout.Spec{}, g); err != nil {
		t.Fatal(err)
	}
	if err := r.Register(t.Context(), rollout.Spec{Services: []rollout.Service{{Name: "web"}}}, g); err != nil {
		t.Fatal(err)
	}
	if services, err := m.api.Agent().Services(); err != nil || len(services) != 2 {
		t.Errorf("the team's services: %v %v", services, err)
	}
}

func TestWatch_DigestsThatDiffer(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"meta", "path"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			m, r := newTeam(t)
			a := adoption
			a.DigestMeta = "digest"
			var says [3]atomic.Pointer[string]
			for n := range 3 {
				port := 81 + n
				if way == "path" {
					a.DigestMeta, a.DigestPath = "", "/digest"
					says[n].Store(new("sha256:good"))
					port = serveText(t, &says[n])
				}
				m.register("web-"+strconv.Itoa(n), "1812", "sha256:good", port)
			}
			g := m.generation(r, a, "sha256:good")
			seen := watchTeam(t, r, g)
			seen.until(t, "all run it", func(r rollout.Reading) bool { return r.Healthy == 3 && r.Mismatched == 0 && r.Drift == "" })
			if way == "path" {
				says[1].Store(new(`{"digest": "sha256:patched"}`))
			} else {
				m.register("web-1", "1812", "sha256:patched", 82)
			}
			seen.until(t, "one runs something else", func(r rollout.Reading) bool {
				return r.Healthy == 3 && r.Mismatched == 1 && r.Drift == "web-1 runs sha256:patched"
			})
		})
	}
}

func serveText(t *testing.T, text *atomic.Pointer[string]) (port int) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(*text.Load())) }))
	t.Cleanup(server.Close)
	at, ok := server.Listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no TCP address")
	}
	return at.Port
}
