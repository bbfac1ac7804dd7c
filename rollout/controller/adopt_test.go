package controller

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"viridian/registry"
	"viridian/rollout"
)

// finder finds one instance of whatever is to be adopted, at that port.
type finder struct {
	healthyRegistry
	port int
	asks int
	err  error
}

func (f *finder) Find(context.Context, rollout.Adoption, string) (registry.Found, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asks++
	if f.err != nil {
		return registry.Found{}, f.err
	}
	return registry.Found{Passing: []rollout.Instance{{ID: "found", Address: "10.0.0.1", Port: f.port}}}, nil
}

// What a generation adopts is not at the place of what it lists; it is looked for at leisure and, once it is elsewhere,
// adopted.
func TestAdopt_WhereAListedInstanceIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := &finder{healthyRegistry: healthyRegistry{announced: map[int]bool{}}, port: 8001}
		r := startReplica(t, newMemory(nil), newNode("n1"), "first", nil, func(o *Options) {
			o.Registries = map[string]registry.Registry{"consul": reg}
		})
		defer r.stop()
		spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web"}, {"name": "api"}], "registry": "consul"}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.service.CreateEnvironment(t.Context(), rollout.PutCommand{Name: "shop", Spec: spec}, nil); err != nil {
			t.Fatal(err)
		}
		_, err = r.service.RegisterGeneration(t.Context(), "shop", rollout.RegisterCommand{Version: "v", Groups: []rollout.Group{
			{Service: "web", Instances: []rollout.Instance{{ID: "listed", Address: "10.0.0.1", Port: 8001}}},
			{Service: "api", Consul: &rollout.Adoption{Service: "api", Expect: 1, Timeout: rollout.Duration(time.Hour), Membership: rollout.Frozen}}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		within(t, 10*time.Second, "the wait is told", func() bool {
			g, _ := r.environment().Generation(1)
			return strings.Contains(g.Reason, "10.0.0.1:8001")
		})
		if g, _ := r.environment().Generation(1); g.Adopted || !strings.Contains(g.Reason, "listed is") || !strings.Contains(g.Reason, "found is") {
			t.Errorf("adopted: %v, %s", g.Adopted, g.Reason)
		}
		reg.mu.Lock()
		reg.asks = 0
		reg.mu.Unlock()
		<-time.After(time.Minute)
		reg.mu.Lock()
		if reg.asks < 30 || reg.asks > 90 {
			t.Errorf("looked %d times in a minute, want about 60", reg.asks)
		}
		reg.err = &registry.AdoptionError{Detail: "a filter that is none"}
		reg.mu.Unlock()
		within(t, 10*time.Second, "what is wrong is told", func() bool { g, _ := r.environment().Generation(1); return g.Reason == "a filter that is none" })
		<-time.After(10 * time.Second)
		if text := r.environment().TroubleText(); text != "" {
			t.Errorf("an adoption that is wrong is told as the registry's trouble: %s", text)
		}
		reg.mu.Lock()
		reg.port, reg.err = 8002, nil
		reg.mu.Unlock()
		within(t, 10*time.Second, "adopted", func() bool { g, _ := r.environment().Generation(1); return g.Adopted })
	})
}

func TestLacking_SaysWhy(t *testing.T) {
	t.Parallel()
	some := make([]rollout.Instance, 4)
	for want, found := range map[string]registry.Found{
		"2 of 3 instances of web are passing":                                                                      {Passing: some[:2]},
		"2 of 3 instances of web are passing, 1 are not":                                                           {Passing: some[:2], Others: 1},
		"2 of 3 instances of web are passing; w3 runs else":                                                        {Passing: some[:2], Wrong: []string{"w3 runs else"}},
		"4 of 3 instances of web are passing: 1 too many; its filter matches others besides, or expect is too low": {Passing: some},
		"0 of 3 instances of web are passing; a, b, c, and 2 more":                                                 {Wrong: []string{"a", "b", "c", "d", "e"}},
	} {
		if got := lacking(rollout.Adoption{Service: "web", Expect: 3}, found); got != want {
			t.Errorf("%+v: %q, want %q", found, got, want)
		}
	}
}
