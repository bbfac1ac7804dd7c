package consul_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry"
	"viridian/registry/consul"
	"viridian/registry/consultest"
	"viridian/rollout"
)

// tokenFile gives each request the token that there is then, as a file of that does.
type tokenFile struct {
	atomic.Pointer[string]
	transport http.Transport
}

func (f *tokenFile) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Consul-Token", *f.Load())
	return f.transport.RoundTrip(r)
}

// A token that Consul does not know never looks like instances that are gone. An agent answers a query that waits with
// an empty list then, where it has one from what is streamed to it.
func TestWatch_ATokenThatIsUnknown(t *testing.T) {
	t.Parallel()
	agent := consultest.WithACL(t)
	token := agent.Grant(consultest.Policy(t, "registry/consul/policy.hcl"), consultest.Policy(t, "registry/consul/policy-adopt.hcl"))
	file := &tokenFile{}
	file.Store(&token)
	client, err := api.NewClient(&api.Config{Address: agent.HTTP, HttpClient: &http.Client{Transport: file}})
	if err != nil {
		t.Fatal(err)
	}
	m, r := &team{t: t, agent: agent, api: agent.Client(agent.Token)}, consul.New(consul.Options{Client: client})
	m.register("web-1", "1812", "", 81)
	m.register("web-2", "1812", "", 82)
	g := m.generation(r, rollout.Adoption{Service: "team-web", Filter: `Service.Meta.build == "1812"`, Expect: 2}, "")
	var healthy atomic.Int64
	var refused atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		spec := rollout.Spec{Registry: "consul", Services: []rollout.Service{{Name: "web"}}}
		done <- r.Watch(ctx, spec, g, func(seen registry.Seen) {
			for _, reading := range seen.Readings {
				if reading.Healthy < reading.Total || reading.Drift != "" {
					t.Errorf("of a Consul that answers nobody: %+v", reading)
				}
				healthy.Add(1)
			}
			if seen.Trouble != nil && strings.Contains(seen.Trouble.Error(), "ACL not found") {
				refused.Store(true)
			}
		})
	}()
	eventually(t, "healthy, by a query that waits", func() bool { return healthy.Load() > 2 })
	file.Store(new("unknown"))
	eventually(t, "what is refused is told", refused.Load)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ended with %v", err)
	}
	file.transport.CloseIdleConnections()
}

// A token without what an agent asks for is told that, and not what it has.
func TestRegister_NamesWhatTheAgentAsksFor(t *testing.T) {
	t.Parallel()
	agent := consultest.WithACL(t)
	r := registryOn(t, agent, agent.Grant(consultest.Policy(t, "registry/consul/policy.hcl")), agent.Node)
	spec := rollout.Spec{Services: []rollout.Service{{Name: "web", Health: rollout.Health{Type: rollout.HealthTCP}}}}
	err := r.Register(t.Context(), spec, rollout.Generation{Environment: "shop", Number: 1,
		Groups: []rollout.Group{{Service: "web", Instances: []rollout.Instance{{ID: "web-1", Address: "127.0.0.1", Port: 81}}}}})
	if err == nil || !strings.Contains(err.Error(), `agent_prefix "" and node_prefix "" with policy "read"`) {
		t.Errorf("Register: %v", err)
	}
}
