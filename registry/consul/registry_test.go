package consul_test

import (
	"log/slog"
	"testing"
	"time"

	"viridian/registry"
	"viridian/registry/consul"
	"viridian/registry/consultest"
	"viridian/registry/registrytest"
)

func registryOn(t *testing.T, agent *consultest.Agent, token, node string) *consul.Registry {
	t.Helper()
	return consul.New(consul.Options{Client: agent.Client(token), Agent: node, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

// TestExercise has the rights of the documented policies, and no others.
func TestExercise(t *testing.T) {
	t.Parallel()
	agent := consultest.WithACL(t)
	token := agent.Grant(consultest.Policy(t, "registry/consul/policy.hcl"))
	registrytest.Exercise(t, registrytest.Fixture{New: func(t *testing.T) registry.Registry { return registryOn(t, agent, token, "") }})
}

func TestExercise_OnAnAgent(t *testing.T) {
	t.Parallel()
	agent := consultest.WithACL(t)
	token := agent.Grant(consultest.Policy(t, "registry/consul/policy.hcl"), consultest.Policy(t, "registry/consul/policy-agent.hcl"))
	// An agent takes services one by one.
	registrytest.Exercise(t, registrytest.Fixture{Within: 40 * time.Second,
		New: func(t *testing.T) registry.Registry { return registryOn(t, agent, token, agent.Node) }})
}
