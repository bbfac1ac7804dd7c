package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/client"
	"viridian/registry/consultest"
)

// consulLab is an installation with a Consul. Where the agent has access control, Viridian has the documented policy.
type consulLab struct {
	*lab
	agent     *consultest.Agent
	tokenFile string
	granted   string   // the token in it
	policies  []string // what it has, documented in these files
	admin     *api.Client
}

func newConsulLab(t testing.TB, agent *consultest.Agent, policies ...string) *consulLab {
	t.Helper()
	l := &consulLab{lab: newLab(t), agent: agent, policies: append([]string{"registry/consul/policy.hcl"}, policies...), admin: agent.Client(agent.Token)}
	l.timing.leaseTTL, l.timing.callTimeout = 600*time.Millisecond, 1500*time.Millisecond // a retirement waits for both
	l.consul = fmt.Sprintf("consul:\n  address: %q\n", agent.HTTP)
	if agent.Token != "" {
		l.tokenFile = filepath.Join(l.dir, "consul.token")
		l.consul += fmt.Sprintf("  token_file: %q\n", l.tokenFile)
		l.grant()
	}
	return l
}

// grant gives Viridian a new token.
func (l *consulLab) grant() (token string) {
	l.Helper()
	var rules []string
	for _, path := range l.policies {
		rules = append(rules, consultest.Policy(l, path))
	}
	token = l.agent.Grant(rules...)
	if err := os.WriteFile(l.tokenFile, []byte(token+"\n"), 0o600); err != nil {
		l.Fatal(err)
	}
	l.granted = token
	return token
}

// consulShop is a shop whose groups are in Consul.
type consulShop struct {
	*shop
	consulLab *consulLab
	team      map[string]client.Instance // that registered themselves
}

func (l *consulLab) shop(r *replica, name string, size int) *consulShop {
	l.Helper()
	s := &consulShop{shop: r.spec(name), consulLab: l}
	s.spec.Registry, s.spec.Retention.Drain = ptr("consul"), ptr("100ms")
	s.size = size
	if size > 100 {
		s.spec.Services[0].Health.Interval = ptr("2s")
	}
	s.put()
	return s
}

// catalog is what Consul has of the shop: how many instances are passing, and how many there are, by generation.
func (s *consulShop) catalog() (passing, all map[int]int) {
	s.Helper()
	passing, all, err := s.tryCatalog()
	if err != nil {
		s.Fatal(err)
	}
	return passing, all
}

func (s *consulShop) tryCatalog() (passing, all map[int]int, err error) {
	s.Helper()
	passing, all = map[int]int{}, map[int]int{}
	entries, _, err := s.consulLab.admin.Health().Service(s.name+"-web", "", false, &api.QueryOptions{RequireConsistent: true})
	for _, e := range entries {
		number, err := strconv.Atoi(e.Service.Meta["viridian-generation"])
		if err != nil || e.Service.Meta["viridian-environment"] != s.name {
			s.Errorf("an instance with the meta %v", e.Service.Meta)
		}
		all[number]++
		if e.Checks.AggregatedStatus() == api.HealthPassing {
			passing[number]++
		}
	}
	return passing, all, err
}

// leftovers is everything that is in Consul besides Consul itself.
func (l *consulLab) leftovers() []string {
	l.Helper()
	var out []string
	services, _, err := l.admin.Catalog().Services(&api.QueryOptions{RequireConsistent: true})
	if err != nil {
		l.Fatal(err)
	}
	for name := range services {
		if name != "consul" {
			out = append(out, "service "+name)
		}
	}
	nodes, _, err := l.admin.Catalog().Nodes(&api.QueryOptions{RequireConsistent: true})
	if err != nil {
		l.Fatal(err)
	}
	for _, n := range nodes {
		if strings.HasPrefix(n.Node, "viridian-") {
			out = append(out, "node "+n.Node)
		}
	}
	checks, _, err := l.admin.Health().State(api.HealthAny, &api.QueryOptions{RequireConsistent: true})
	if err != nil {
		l.Fatal(err)
	}
	for _, c := range checks {
		if c.CheckID != "serfHealth" {
			out = append(out, "check "+c.CheckID)
		}
	}
	return out
}

// retire takes a generation out and waits until it is gone.
func (s *consulShop) retire(number int) {
	s.Helper()
	res, err := s.client.RetireGenerationWithResponse(s.Context(), s.name, number, nil, client.RetireRequest{})
	if err != nil || res.JSON202 == nil {
		s.Fatalf("retire generation %d: %v %s", number, err, body(res))
	}
	s.becomes(number, client.GenerationStateRetired)
}

// remove deletes the environment and waits until it is gone.
func (s *consulShop) remove() {
	s.Helper()
	res, err := s.client.DeleteEnvironmentWithResponse(s.Context(), s.name, &client.DeleteEnvironmentParams{Force: ptr(true)})
	if err != nil || res.StatusCode() >= 300 {
		s.Fatalf("delete: %v %s", err, body(res))
	}
	s.eventually("the environment is gone", func() bool {
		res, err := s.client.ShowEnvironmentWithResponse(s.Context(), s.name)
		return err == nil && res.StatusCode() == 404
	})
}
