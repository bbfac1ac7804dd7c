package consul_test

import (
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
)

func TestSweep_TakesOutWhatIsLeft(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"nodes", "agent"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			agent := consultest.WithACL(t)
			node, policies := "", []string{consultest.Policy(t, "registry/consul/policy.hcl")}
			if mode == "agent" {
				node, policies = agent.Node, append(policies, consultest.Policy(t, "registry/consul/policy-agent.hcl"))
			}
			r, admin := registryOn(t, agent, agent.Grant(policies...), node), agent.Client(agent.Token)
			spec := rollout.Spec{Services: []rollout.Service{{Name: "web", Health: rollout.Health{Type: rollout.HealthTCP, Interval: 1e9, Timeout: 1e9}}}}
			register := func(environment string, number, port int) {
				t.Helper()
				g := rollout.Generation{Environment: environment, Number: number, Version: "1", Colour: rollout.Blue, Groups: []rollout.Group{{Service: "web",
					Instances: []rollout.Instance{{ID: "a", Address: "127.0.0.1", Port: port}}}}}
				if err := r.Register(t.Context(), spec, g); err != nil {
					t.Fatal(err)
				}
			}
			register("shop", 1, 1)
			register("shop", 2, 2)
			register("shop", 9, 9)
			register("shop-b", 1, 3)
			// Somebody's own node, whatever its meta says.
			_, err := admin.Catalog().Register(&api.CatalogRegistration{Node: "theirs", Address: "127.0.0.1",
				NodeMeta: map[string]string{rollout.MetaEnvironment: "shop", rollout.MetaGeneration: "1"}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Sweep(t.Context(), "shop", func(n int) bool { return n != 1 }); err != nil {
				t.Fatal(err)
			}
			eventually(t, "generation 1 of shop is gone, and nothing else", func() bool {
				got := map[string]int{}
				for _, name := range []string{"shop-web", "shop-b-web"} {
					services, _, err := admin.Catalog().Service(name, "", nil)
					if err != nil {
						t.Fatal(err)
					}
					for _, s := range services {
						got[s.ServiceMeta[rollout.MetaEnvironment]+" "+s.ServiceMeta[rollout.MetaGeneration]]++
					}
				}
				return len(got) == 3 && got["shop 2"] == 1 && got["shop 9"] == 1 && got["shop-b 1"] == 1
			})
			if theirs, _, err := admin.Catalog().Node("theirs", nil); err != nil || theirs == nil {
				t.Errorf("somebody's node is gone (%v)", err)
			}
		})
	}
}
