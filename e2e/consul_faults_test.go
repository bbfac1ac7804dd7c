package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/client"
	"viridian/registry/consultest"
	"viridian/router/routertest"
)

// TestProveConsulFaults breaks Consul in every way, with a generation live and another ready. Each is noticed and shown,
// no promote is taken on health that is not known, all is healed, and the traffic goes on as if nothing had happened.
func TestProveConsulFaults(t *testing.T) {
	t.Parallel()
	t.Run("taken out by hand, token revoked, restarted empty", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		l := newConsulLab(t, consultest.WithACL(t))
		f := newConsulFaults(l)
		hand := f.takenOut()
		f.agent.Revoke(f.granted)
		noticed := f.troubled("ACL not found", `service_prefix "" with policy "write"`)
		f.promoteRefused()
		f.granted = l.grant()
		healed := f.recovered()
		f.agent.Kill()
		f.troubled("connection refused")
		f.agent.Start() // it has forgotten everything, its tokens too
		f.troubled(`ACL not found`)
		l.admin = f.agent.Client(f.agent.Token)
		l.grant()
		again := f.recovered()
		f.end()
		report(t, "an instance taken out by hand was back after %v; a revoked token was told after %v, with what it lacks, and a new one in its file was used after %v; restarted empty, "+
			"Consul had both groups again %v after it got a token; promote was refused meanwhile, %d requests, 0 failed; %v", hand, noticed, healed, again, f.requests, since(began))
	})
	t.Run("agent killed", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		l := newConsulLab(t, consultest.Durable(t))
		f := newConsulFaults(l)
		f.agent.Kill()
		noticed := f.troubled("connection refused")
		f.promoteRefused()
		f.agent.Start()
		healed := f.recovered()
		f.agent.Pause() // it takes connections and answers nothing
		f.troubled("no answer within")
		f.agent.Resume()
		f.recovered()
		f.end()
		report(t, "a killed agent was told after %v, and all was well %v after its start; one that hung was told too; promote was refused meanwhile, %d requests, 0 failed; %v",
			noticed, healed, f.requests, since(began))
	})
	t.Run("leader lost", func(t *testing.T) {
		t.Parallel()
		began := time.Now()
		c := consultest.ThreeServers(t)
		l := newConsulLab(t, c.Followers()[0])
		f := newConsulFaults(l)
		lost := c.Leader()
		lost.Kill()
		f.eventually("another leader is elected", func() bool { next := c.Leader(); return next != nil && next != lost })
		elected := time.Since(began)
		f.recovered()
		// Without a majority there is no leader: what is left can be read only as it was, and that does not count.
		other := c.Leader()
		if other == f.agent {
			other = c.Followers()[0]
		}
		other.Kill()
		noticed := f.troubled("read health in Consul") // a server without a leader says so late, or not at all
		f.promoteRefused()
		lost.Start()
		healed := f.recovered()
		f.end()
		report(t, "a lost leader held up nothing for long (another %v into the test); without any, that was told after %v, promote was refused, and all was well %v after a majority was back; %d requests, 0 failed; %v",
			elected.Round(10*time.Millisecond), noticed, healed, f.requests, since(began))
	})
}

// consulFaults is a shop with generation 1 live and generation 2 ready, and traffic on it.
type consulFaults struct {
	*consulShop
	agent    *consultest.Agent
	granted  string // Viridian's token
	flow     *routertest.Traffic
	requests int
}

func newConsulFaults(l *consulLab) *consulFaults {
	l.Helper()
	r := l.replica("a")
	r.start("")
	r.ready()
	f := &consulFaults{consulShop: l.shop(r, "shop", 3), agent: l.agent, granted: l.granted}
	f.promote(f.candidate())
	f.candidate()
	f.flow = f.load(1, 1)
	return f
}

// end promotes the second generation, now that all is well, and judges the traffic.
func (f *consulFaults) end() {
	f.Helper()
	f.eventually("generation 2 can be promoted", func() bool { return f.promotable(2) })
	f.promote(2)
	v := routertest.Check(f.flow.Stop(), f.flips)
	if f.requests = v.Requests; !v.Clean() || v.Requests == 0 {
		f.Error(v)
	}
	f.audit()
}

func (f *consulFaults) environment() client.Environment {
	f.Helper()
	res, err := f.client.ShowEnvironmentWithResponse(f.Context(), f.name)
	if err != nil || res.JSON200 == nil {
		f.Fatalf("show the environment: %v %s", err, body(res))
	}
	return *res.JSON200
}

// troubled waits until the API says what the registry has trouble with, in those words.
func (f *consulFaults) troubled(words ...string) time.Duration {
	f.Helper()
	began := time.Now()
	last := ""
	if !within(patience, func() bool {
		trouble := f.environment().RegistryTrouble
		if trouble == nil {
			return false
		}
		last = trouble.Detail
		for _, w := range words {
			if !strings.Contains(last, w) {
				return false
			}
		}
		return true
	}) {
		f.Fatalf("the trouble is %q, want %q in it", last, words)
	}
	return time.Since(began).Round(10 * time.Millisecond)
}

// recovered waits until there is no trouble, and both generations are whole in Consul and known to be healthy.
func (f *consulFaults) recovered() time.Duration {
	f.Helper()
	began := time.Now()
	f.eventually("the registry is well, and everything in it", func() bool {
		if f.environment().RegistryTrouble != nil {
			return false
		}
		passing, all, err := f.tryCatalog()
		if err != nil {
			return false
		}
		for number := 1; number <= 2; number++ {
			health := f.generation(number).Health["web"]
			if passing[number] != 3 || all[number] != 3 || health.Healthy != 3 || health.At.Before(began) {
				return false
			}
		}
		return true
	})
	return time.Since(began).Round(10 * time.Millisecond)
}

// promoteRefused waits until health is not known any more; a promote is refused with that, and nothing looks healthy
// or empty.
func (f *consulFaults) promoteRefused() {
	f.Helper()
	var last string
	f.eventually("a promote is refused on stale health", func() bool {
		res, err := f.client.PlanPromotionWithResponse(f.Context(), f.name, 2, client.PlanPromotionJSONRequestBody{})
		if err != nil || res.JSON200 == nil {
			f.Fatalf("plan: %v %s", err, body(res))
		}
		return !res.JSON200.Promotable
	})
	res, err := f.client.PromoteGenerationWithResponse(f.Context(), f.name, 2, nil, client.PromoteRequest{})
	if err == nil {
		last = body(res)
	}
	if err != nil || res.StatusCode() != 409 || !strings.Contains(last, "is not known for the last") {
		f.Errorf("promote on stale health: %v %s", err, last)
	}
	if g := f.generation(2); g.State != client.GenerationStateReady || g.Health["web"].Total != 3 {
		f.Errorf("generation 2 is %s with the health %+v", g.State, g.Health)
	}
}

// takenOut deregisters an instance of the ready generation by hand, which is noticed and healed.
func (f *consulFaults) takenOut() time.Duration {
	f.Helper()
	began := time.Now()
	_, err := f.consulLab.admin.Catalog().Deregister(&api.CatalogDeregistration{Node: "viridian-shop-g2", ServiceID: "web/web-2"}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.eventually("the instance is back", func() bool { passing, _ := f.catalog(); return passing[2] == 3 })
	return time.Since(began).Round(10 * time.Millisecond)
}

// TestConsul_NotConfigured: a replica without a Consul refuses a spec that names it, and tells of one that another took.
func TestConsul_NotConfigured(t *testing.T) {
	t.Parallel()
	l := newConsulLab(t, consultest.Dev(t))
	with := l.replica("a")
	l.consul = ""
	without := l.replica("b")
	with.start("")
	with.ready()
	f := &consulFaults{consulShop: l.shop(with, "shop", 1)}
	f.candidate()
	with.kill()
	without.start("")
	without.ready()
	f.replica = without
	f.troubled(`no registry "consul" on this replica`)
	res, err := without.client.PutEnvironmentWithResponse(t.Context(), "other", nil, f.spec)
	if err != nil || res.StatusCode() != 422 || !strings.Contains(body(res), "consul.address") {
		t.Errorf("a spec that names a registry which is not there: %v %s", err, body(res))
	}
	kinds := map[string]int{}
	for _, e := range f.events() {
		kinds[e.Kind]++
	}
	if kinds["registry.troubled"] != 1 {
		t.Errorf("events: %v", kinds)
	}
}
