package consul_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/consul"
	"viridian/router/routertest"
)

// The suite drives each kind of router by a real agent. What carries traffic behind it is a small proxy that does what
// Consul says at each request: the compiled chain, the answer of its DNS, or the key.

func TestSplitter_Conformance(t *testing.T) {
	t.Parallel()
	exercise(t, "", func(o consul.Options) router.Router { return consul.NewSplitter(o) }, (*crossing).byChain)
}

func TestQuery_Conformance(t *testing.T) {
	t.Parallel()
	exercise(t, "undivided", func(o consul.Options) router.Router { return consul.NewQuery(o) }, (*crossing).byDNS)
}

func TestPointer_Conformance(t *testing.T) {
	t.Parallel()
	exercise(t, "", func(o consul.Options) router.Router { return consul.NewPointer(o) }, (*crossing).byKey)
}

// finder says where a request for a service goes now; none means that nobody answers.
type finder func(c *crossing, ctx context.Context, service string) (hostport string, err error)

func exercise(t *testing.T, kind string, open func(consul.Options) router.Router, find finder) {
	t.Helper()
	agents := lender{t: t, idle: make(chan *consultest.Agent, 32)}
	routertest.Exercise(t, func(t testing.TB, routes []rollout.Route) routertest.Fixture {
		lasting := strings.HasSuffix(t.Name(), "/Restart")
		agent := agents.lend(t, lasting)
		client := agent.Client("")
		c := &crossing{agent: agent, client: client, find: find, services: map[string]string{}}
		for _, svc := range routes[0].Services {
			for _, host := range svc.Hosts {
				c.services[strings.ToLower(host)] = rollout.CatalogName(routes[0].Environment, svc.Service)
			}
		}
		front := httptest.NewServer(c)
		t.Cleanup(front.Close)
		told := map[string]time.Time{}
		again := func() router.Router {
			return announcing{open(consul.Options{Router: "mesh", Node: "dc1", Client: client}), client, told}
		}
		f := routertest.Fixture{Router: again(), Address: front.Listener.Addr().String(), Lasting: true, Signpost: true, Undivided: kind == "undivided"}
		if lasting {
			f.Restart = func() router.Router {
				agent.Kill()
				agent.Start()
				return again()
			}
		}
		return f
	})
}

// lender has agents that one case after the other uses, since starting one takes most of a second.
type lender struct {
	t    *testing.T // all agents end with it
	idle chan *consultest.Agent
}

func (l lender) lend(t testing.TB, lasting bool) *consultest.Agent {
	if lasting {
		return consultest.Durable(t)
	}
	var agent *consultest.Agent
	select {
	case agent = <-l.idle:
	default:
		agent = consultest.Dev(l.t)
	}
	t.Cleanup(func() {
		wipe(t, agent.Client(""))
		l.idle <- agent
	})
	return agent
}

// wipe leaves Consul as it is after its start.
func wipe(t testing.TB, client *api.Client) {
	t.Helper()
	fail := func(err error) {
		if err != nil {
			t.Error(err)
		}
	}
	for _, kind := range []string{api.ServiceSplitter, api.ServiceResolver, api.ServiceDefaults} {
		entries, _, err := client.ConfigEntries().List(kind, nil)
		fail(err)
		for _, e := range entries {
			_, err := client.ConfigEntries().Delete(kind, e.GetName(), nil)
			fail(err)
		}
	}
	queries, _, err := client.PreparedQuery().List(nil)
	fail(err)
	for _, q := range queries {
		_, err := client.PreparedQuery().Delete(q.ID, nil)
		fail(err)
	}
	_, err = client.KV().DeleteTree("", nil)
	fail(err)
	_, err = client.Catalog().Deregister(&api.CatalogDeregistration{Node: "outside"}, nil)
	fail(err)
}

// announcing puts what is staged into Consul's catalog first, as a registry would.
type announcing struct {
	router.Router
	client *api.Client
	told   map[string]time.Time // the members that it has, by generation: a registry is never late
}

func (a announcing) Stage(ctx context.Context, fence router.Fence, route rollout.Route, g rollout.Generation) error {
	key := fmt.Sprintf("%s %d", route.Environment, g.Number)
	if g.MembersAt.Before(a.told[key]) {
		return a.Router.Stage(ctx, fence, route, g)
	}
	a.told[key] = g.MembersAt
	for _, group := range g.Groups {
		if !rollout.ValidName(route.Environment) || !rollout.ValidName(group.Service) {
			continue // what it says to such names is the driver's alone
		}
		for i, in := range group.Instances {
			_, err := a.client.Catalog().Register(&api.CatalogRegistration{Node: "outside", Address: "127.0.0.1", Service: &api.AgentService{
				ID: fmt.Sprintf("%s-%s-%d-%d", route.Environment, group.Service, g.Number, i), Service: rollout.CatalogName(route.Environment, rollout.Service{Name: group.Service}),
				Address: in.Address, Port: in.Port,
				Meta: map[string]string{rollout.MetaEnvironment: route.Environment, rollout.MetaGeneration: fmt.Sprint(g.Number)},
			}}, (&api.WriteOptions{}).WithContext(ctx))
			if err != nil {
				return err
			}
		}
		if err := a.withdraw(ctx, route.Environment, group, g.Number); err != nil {
			return err
		}
	}
	return a.Router.Stage(ctx, fence, route, g)
}

// withdraw takes out of the catalog what the generation has no more.
func (a announcing) withdraw(ctx context.Context, environment string, group rollout.Group, number int) error {
	for i := len(group.Instances); ; i++ {
		id := fmt.Sprintf("%s-%s-%d-%d", environment, group.Service, number, i)
		found, _, err := a.client.Catalog().NodeServiceList("outside", (&api.QueryOptions{Filter: fmt.Sprintf("ID == %q", id)}).WithContext(ctx))
		if err != nil || found == nil || len(found.Services) == 0 {
			return err
		}
		if _, err := a.client.Catalog().Deregister(&api.CatalogDeregistration{Node: "outside", ServiceID: id}, (&api.WriteOptions{}).WithContext(ctx)); err != nil {
			return err
		}
	}
}

// crossing is the proxy: it carries each request to where Consul says.
type crossing struct {
	agent    *consultest.Agent
	client   *api.Client
	find     finder
	services map[string]string // by host
}

func (c *crossing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	service, known := c.services[strings.TrimSuffix(strings.ToLower(host), ".")]
	if !known {
		http.Error(w, "no such host", http.StatusNotFound)
		return
	}
	to, err := c.find(c, r.Context(), service)
	if err != nil || to == "" {
		http.Error(w, fmt.Sprintf("nobody answers for %s: %v", service, err), http.StatusServiceUnavailable)
		return
	}
	(&httputil.ReverseProxy{Transport: carrier, Rewrite: func(p *httputil.ProxyRequest) { p.Out.URL.Scheme, p.Out.URL.Host = "http", to }}).ServeHTTP(w, r)
}

var carrier = &http.Transport{DisableKeepAlives: true} // instances end with their test

// byChain does what Envoy is told: the split of the compiled chain, then an instance of the subset that passes.
func (c *crossing) byChain(ctx context.Context, service string) (string, error) {
	answer, _, err := c.client.DiscoveryChain().Get(service, nil, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return "", err
	}
	chain := answer.Chain
	start := chain.Nodes[chain.StartNode]
	if start == nil || start.Type != api.DiscoveryGraphNodeTypeSplitter {
		return "", nil
	}
	at := rand.Float32() * 100
	for _, split := range start.Splits {
		if at -= split.Weight; at >= 0 {
			continue
		}
		target := chain.Targets[chain.Nodes[split.NextNode].Resolver.Target]
		found, _, err := c.client.Health().Service(target.Service, "", target.Subset.OnlyPassing, (&api.QueryOptions{Filter: target.Subset.Filter}).WithContext(ctx))
		if err != nil || len(found) == 0 {
			return "", err
		}
		one := found[rand.IntN(len(found))].Service
		return net.JoinHostPort(one.Address, fmt.Sprint(one.Port)), nil
	}
	return "", nil
}

// byDNS asks for the query's SRV records.
func (c *crossing) byDNS(_ context.Context, service string) (string, error) {
	found, err := lookup(c.agent.DNS, service)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[rand.IntN(len(found))], nil
}

// byKey follows the published route.
func (c *crossing) byKey(ctx context.Context, service string) (string, error) {
	p, err := published(ctx, c.client, "shop")
	if err != nil {
		return "", err
	}
	at := rand.IntN(100)
	for _, g := range p.Groups {
		if g.Name != service {
			continue
		}
		if at -= g.Weight; at < 0 {
			return g.Instances[rand.IntN(len(g.Instances))].HostPort, nil
		}
	}
	return "", nil
}
