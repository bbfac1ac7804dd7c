package consul_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	registry "viridian/registry/consul"
	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
)

// newest is the fence of who knows of every revision that there is.
var newest = router.Fence{Revision: 1 << 40}

// town is an environment with running agents and announced generations.
type town struct {
	testing.TB
	agent  *consultest.Agent
	client *api.Client
	ctx    context.Context
	spec   rollout.Spec
	name   string
	// version is the spec's.
	version int64
}

func newTown(t testing.TB, agent *consultest.Agent, services ...string) *town {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	w := &town{TB: t, agent: agent, client: agent.Client(agent.Token), ctx: ctx, name: "shop", version: 1}
	for _, name := range services {
		w.spec.Services = append(w.spec.Services, rollout.Service{Name: name, Protocol: "http"})
	}
	return w
}

// known is the name of a service in the catalog.
func (w *town) known(service string) string {
	svc, ok := w.spec.Service(service)
	if !ok {
		w.Fatalf("there is no service %s", service)
	}
	return rollout.CatalogName(w.name, svc)
}

// generation is one with an instance for each of the services, at an address that tells which it is.
func (w *town) generation(number int, services ...string) rollout.Generation {
	g := rollout.Generation{Environment: w.name, Number: number, Version: fmt.Sprintf("v%d", number), Colour: rollout.Blue}
	for _, name := range services {
		g.Groups = append(g.Groups, rollout.Group{Service: name, Instances: []rollout.Instance{
			{ID: name + "-1", Address: fmt.Sprintf("10.0.0.%d", number), Port: 8000 + number}}})
	}
	return g
}

// announce registers the generation and lets all of its checks pass.
func (w *town) announce(g rollout.Generation) {
	w.Helper()
	if err := registry.New(registry.Options{Client: w.client}).Register(w.ctx, w.spec, g); err != nil {
		w.Fatal(err)
	}
	checks, _, err := w.client.Health().Node(fmt.Sprintf("viridian-%s-g%d", g.Environment, g.Number), nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range checks {
		c.Status = api.HealthPassing
		if _, err := w.client.Catalog().Register(&api.CatalogRegistration{Node: c.Node, SkipNodeUpdate: true, Check: &api.AgentCheck{
			Node: c.Node, CheckID: c.CheckID, Name: c.Name, Status: api.HealthPassing, ServiceID: c.ServiceID, ServiceName: c.ServiceName}}, nil); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *town) route(revision int64, weights rollout.Weights) rollout.Route {
	r := rollout.Route{Environment: w.name, Revision: revision, Weights: weights, SpecVersion: w.version}
	for _, n := range weights.Numbers() {
		if r.Live == 0 || weights[n] > weights[r.Live] {
			r.Live = n
		}
	}
	for _, svc := range w.spec.Services {
		r.Services = append(r.Services, rollout.RouteService{Service: svc, Hosts: []string{svc.Name + ".example.com"}})
	}
	return r
}

func (w *town) stage(r router.Router, generations ...rollout.Generation) {
	w.Helper()
	for _, g := range generations {
		if err := r.Stage(w.ctx, newest, w.route(0, nil), g); err != nil {
			w.Fatalf("stage generation %d: %v", g.Number, err)
		}
	}
}

// two announces and stages two generations of service web.
func (w *town) two(r router.Router) {
	w.Helper()
	for n := 1; n <= 2; n++ {
		g := w.generation(n, "web")
		w.announce(g)
		w.stage(r, g)
	}
}

func (w *town) apply(r router.Router, revision int64, weights rollout.Weights) {
	w.Helper()
	if err := r.Apply(w.ctx, router.Fence{Revision: revision}, w.route(revision, weights)); err != nil {
		w.Fatalf("apply revision %d: %v", revision, err)
	}
}

func (w *town) observe(r router.Router) router.Observation {
	w.Helper()
	o, err := r.Observe(w.ctx, w.name)
	if err != nil {
		w.Fatal(err)
	}
	return o
}

// holds checks that the node is at the revision with these weights and finds nothing wrong.
func (w *town) holds(r router.Router, revision int64, weights rollout.Weights) {
	w.Helper()
	o := w.observe(r)
	if o.Error != "" || o.Revision != revision || o.Hash != w.route(revision, weights).Hash() {
		w.Fatalf("observed revision %d with %v (%s), want %d with %v", o.Revision, o.Weights, o.Error, revision, weights)
	}
}
