package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/miekg/dns"

	"viridian/client"
	"viridian/registry/consultest"
)

// meshLab is an installation with a Consul that switches by it: router mesh by splitters, dns by prepared queries, kv by
// a key. Each has a token of its own where the agent has access control, with the documented policy.
type meshLab struct {
	*consulLab
	tokens map[string]string // by router
}

// meshPolicies are the routers of a meshLab, and the files that say what their tokens must be allowed.
var meshPolicies = map[string]string{"mesh": "splitter", "dns": "query", "kv": "kv"}

func newMeshLab(t testing.TB, agent *consultest.Agent, policies ...string) *meshLab {
	t.Helper()
	l := &meshLab{consulLab: newConsulLab(t, agent, policies...), tokens: map[string]string{}}
	l.routers = "routers:\n"
	for _, name := range slices.Sorted(maps.Keys(meshPolicies)) {
		node := "{name: dc1}"
		if agent.Token != "" {
			node = fmt.Sprintf("{name: dc1, token_file: %q}", l.tokenFile(name))
		}
		l.routers += fmt.Sprintf("  %s: {driver: consul-%s, nodes: [%s]}\n", name, meshPolicies[name], node)
	}
	l.allow()
	return l
}

func (l *meshLab) tokenFile(router string) string {
	return filepath.Join(l.dir, "consul-"+router+".token")
}

// allow gives each router a new token.
func (l *meshLab) allow() {
	l.Helper()
	if l.agent.Token == "" {
		return
	}
	for name, policy := range meshPolicies {
		l.tokens[name] = l.agent.Grant(consultest.Policy(l, "router/consul/"+policy+".hcl"))
		if err := os.WriteFile(l.tokenFile(name), []byte(l.tokens[name]), 0o600); err != nil {
			l.Fatal(err)
		}
	}
}

// meshShop is a shop that is switched by Consul.
type meshShop struct {
	*consulShop
	lab *meshLab
}

func (l *meshLab) shop(r *replica, name string, routers ...string) *meshShop {
	l.Helper()
	s := l.plan(r, name, routers...)
	s.put()
	return s
}

// plan is a shop that does not exist yet.
func (l *meshLab) plan(r *replica, name string, routers ...string) *meshShop {
	s := &meshShop{&consulShop{shop: r.spec(name, routers...), consulLab: l.consulLab}, l}
	s.spec.Registry, s.spec.Retention.Drain = ptr("consul"), ptr("100ms")
	return s
}

// known is the name of the service in Consul.
func (s *meshShop) known() string {
	if name := s.spec.Services[0].CatalogName; name != nil {
		return *name
	}
	return s.name + "-web"
}

// chain is what Consul tells proxies to do with the service: shares by subset.
func (s *meshShop) chain() map[string]int {
	s.Helper()
	answer, _, err := s.lab.admin.DiscoveryChain().Get(s.known(), nil, nil)
	if err != nil {
		s.Fatal(err)
	}
	out := map[string]int{}
	for _, split := range answer.Chain.Nodes[answer.Chain.StartNode].Splits {
		target := answer.Chain.Targets[answer.Chain.Nodes[split.NextNode].Resolver.Target]
		out[target.ServiceSubset] += int(split.Weight)
	}
	return out
}

// key is the published route: revision, and weights above 0 by subset.
func (s *meshShop) key() (revision int64, shares map[string]int) {
	s.Helper()
	pair, _, err := s.lab.admin.KV().Get("viridian/"+s.name+"/route", nil)
	if err != nil {
		s.Fatal(err)
	}
	if pair == nil {
		return 0, nil
	}
	var route struct {
		Revision int64
		Groups   []struct {
			Generation, Weight int
			Instances          []struct{ HostPort string }
		}
	}
	if err := json.Unmarshal(pair.Value, &route); err != nil {
		s.Fatal(err)
	}
	shares = map[string]int{}
	for _, g := range route.Groups {
		shares[fmt.Sprintf("g%d", g.Generation)] += g.Weight
		if want := s.endpoint(g.Generation); len(g.Instances) != 1 || g.Instances[0].HostPort != want {
			shares[fmt.Sprintf("%v in place of %s", g.Instances, want)]++
		}
	}
	return route.Revision, shares
}

func (s *meshShop) endpoint(generation int) string {
	in := s.backends[generation].Instance("web-1")
	return net.JoinHostPort(in.Address, strconv.Itoa(in.Port))
}

// dig asks Consul's DNS where the service is: host:port of each answer.
func (s *meshShop) dig() (out []string) {
	s.Helper()
	in, _, err := (&dns.Client{Timeout: 10 * time.Second}).Exchange(new(dns.Msg).SetQuestion(s.known()+".query.consul.", dns.TypeSRV), s.lab.agent.DNS)
	if err != nil {
		s.Fatal(err)
	}
	addresses := map[string]string{}
	for _, extra := range in.Extra {
		if a, ok := extra.(*dns.A); ok {
			addresses[a.Hdr.Name] = a.A.String()
		}
	}
	for _, answer := range in.Answer {
		if srv, ok := answer.(*dns.SRV); ok {
			out = append(out, net.JoinHostPort(addresses[srv.Target], strconv.Itoa(int(srv.Port))))
		}
	}
	return out
}

// follows says what is not as the weights want it, on the routers that the shop has; empty when all is.
func (s *meshShop) follows(weights map[string]int, live int) (wrong string) {
	s.Helper()
	for _, router := range *s.spec.Routers {
		switch router {
		case "mesh":
			if got := s.chain(); !maps.Equal(got, weights) {
				wrong += fmt.Sprintf("proxies are told %v. ", got)
			}
		case "kv":
			if _, got := s.key(); !maps.Equal(got, weights) {
				wrong += fmt.Sprintf("the key says %v. ", got)
			}
		case "dns":
			if got := s.dig(); len(got) != 1 || got[0] != s.endpoint(live) {
				wrong += fmt.Sprintf("DNS answers %v. ", got)
			}
		}
	}
	return wrong
}

// all is every share to one generation.
func all(generation int) map[string]int { return map[string]int{fmt.Sprintf("g%d", generation): 100} }

// expect checks that what Consul says is what was applied.
func (s *meshShop) expect(when string, weights map[string]int, live int) {
	s.Helper()
	if wrong := s.follows(weights, live); wrong != "" {
		s.Errorf("%s, of %s: %swant %v", when, s.name, wrong, weights)
	}
}

// settled waits until every router is seen at the present route and nothing is wrong with it.
func (s *meshShop) settled(what string) time.Duration {
	s.Helper()
	began := time.Now()
	var route client.Route
	if !within(patience, func() bool {
		route = s.route()
		for _, r := range route.Receipts {
			if r.State != client.ReceiptStateInSync || r.Error != "" {
				return false
			}
		}
		return len(route.Receipts) == len(*s.spec.Routers) && route.Switch != nil && route.Switch.Status == client.SwitchStatusApplied
	}) {
		s.Fatalf("%s: not after %v: %+v", what, patience, route)
	}
	return time.Since(began)
}

// error waits until a receipt of the router says this, and returns all that it says.
func (s *meshShop) error(router, text string) string {
	s.Helper()
	last := ""
	if !within(patience, func() bool {
		for _, r := range s.route().Receipts {
			if last = r.Error; r.Router == router && strings.Contains(last, text) {
				return true
			}
		}
		return false
	}) {
		s.Fatalf("no receipt of %s says %q, but %q", router, text, last)
	}
	return last
}

// leftovers is everything of ours in Consul, besides the one key that is the installation's.
func (l *meshLab) leftovers() []string {
	l.Helper()
	out := l.consulLab.leftovers()
	for _, kind := range []string{api.ServiceSplitter, api.ServiceResolver, api.ServiceDefaults} {
		entries, _, err := l.admin.ConfigEntries().List(kind, nil)
		if err != nil {
			l.Fatal(err)
		}
		for _, e := range entries {
			out = append(out, kind+" "+e.GetName())
		}
	}
	queries, _, err := l.admin.PreparedQuery().List(nil)
	if err != nil {
		l.Fatal(err)
	}
	for _, q := range queries {
		out = append(out, "query "+q.Name)
	}
	keys, _, err := l.admin.KV().Keys("", "", nil)
	if err != nil {
		l.Fatal(err)
	}
	for _, key := range keys {
		if key != "viridian/incarnation" {
			out = append(out, "key "+key)
		}
	}
	return out
}

// leavesNothing waits until there are no leftovers: routers forget an environment right after it is gone.
// Whatever begins with one of besides may stay.
func (l *meshLab) leavesNothing(besides ...string) {
	l.Helper()
	var left []string
	if !within(patience, func() bool {
		left = slices.DeleteFunc(l.leftovers(), func(one string) bool {
			return slices.ContainsFunc(besides, func(prefix string) bool { return strings.HasPrefix(one, prefix) })
		})
		return len(left) == 0
	}) {
		l.Errorf("left behind in Consul: %v", left)
	}
}
