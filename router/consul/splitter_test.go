package consul_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/consul"
)

func newSplitter(w *town) *consul.Splitter {
	return consul.NewSplitter(consul.Options{Router: "mesh", Node: "dc1", Client: w.client})
}

// chain is what Consul tells proxies to do with a service: shares by address of the instances of the chosen subsets.
func (w *town) chain(service string) map[string]int {
	w.Helper()
	answer, _, err := w.client.DiscoveryChain().Get(w.known(service), nil, nil)
	if err != nil {
		w.Fatal(err)
	}
	out := map[string]int{}
	for _, split := range answer.Chain.Nodes[answer.Chain.StartNode].Splits {
		target := answer.Chain.Targets[answer.Chain.Nodes[split.NextNode].Resolver.Target]
		out[target.ServiceSubset] += int(split.Weight)
	}
	return out
}

func TestSplitter_FromFirstStageToForget(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web", "api")
	one, two := w.generation(1, "web", "api"), w.generation(2, "web")
	w.announce(one)
	w.announce(two)
	s := newSplitter(w)
	if o := w.observe(s); o.Revision != 0 || len(o.Staged) != 0 || o.Error != "" || o.Hash != (rollout.Route{}).Hash() {
		t.Fatalf("before anything: %+v", o)
	}
	w.stage(s, one, two)
	if got := w.chain("web"); !maps.Equal(got, map[string]int{"nobody": 100}) {
		t.Errorf("before the first promote the mesh is told %v", got)
	}
	w.holds(s, 0, nil)
	w.apply(s, 1, rollout.Weights{1: 100})
	w.holds(s, 1, rollout.Weights{1: 100})
	w.apply(s, 2, rollout.Weights{1: 90, 2: 10})
	w.holds(s, 2, rollout.Weights{1: 90, 2: 10})
	if web, api := w.chain("web"), w.chain("api"); !maps.Equal(web, map[string]int{"g1": 90, "g2": 10}) || !maps.Equal(api, map[string]int{"g1": 90, "nobody": 10}) {
		t.Errorf("web is told %v, api %v", web, api)
	}
	if err := s.Remove(w.ctx, newest, w.name, 2); !errors.Is(err, router.ErrInUse) {
		t.Errorf("remove what has weight: %v", err)
	}
	if err := s.Apply(w.ctx, router.Fence{}, w.route(3, rollout.Weights{7: 100})); !errors.Is(err, router.ErrNotStaged) {
		t.Errorf("apply what is not staged: %v", err)
	}
	w.apply(s, 3, nil)
	w.holds(s, 3, nil)
	if err := s.Forget(w.ctx, newest, w.name); !errors.Is(err, router.ErrInUse) {
		t.Errorf("forget with generations: %v", err)
	}
	for _, n := range []int{1, 2, 2} {
		if err := s.Remove(w.ctx, newest, w.name, n); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.Forget(w.ctx, newest, w.name); err != nil {
			t.Fatal(err)
		}
	}
	for _, kind := range []string{api.ServiceSplitter, api.ServiceResolver, api.ServiceDefaults} {
		if left, _, err := w.client.ConfigEntries().List(kind, nil); err != nil || len(left) > 0 {
			t.Errorf("%d entries of kind %s are left (%v)", len(left), kind, err)
		}
	}
}

func TestSplitter_Fence(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	s := newSplitter(w)
	w.two(s)
	w.apply(s, 5, rollout.Weights{1: 100})
	if err := s.Apply(w.ctx, router.Fence{}, w.route(4, rollout.Weights{2: 100})); !errors.Is(err, router.ErrStale) {
		t.Errorf("a lower revision: %v", err)
	}
	if err := s.Apply(w.ctx, router.Fence{}, w.route(5, rollout.Weights{2: 100})); !errors.Is(err, router.ErrDiverged) {
		t.Errorf("the same revision with other weights: %v", err)
	}
	w.apply(s, 5, rollout.Weights{1: 100})
	w.holds(s, 5, rollout.Weights{1: 100})
}

// TestProveSplitterFlips: what proxies are told right after Apply is never what was before.
func TestProveSplitterFlips(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	s := newSplitter(w)
	w.two(s)
	flips := flips()
	for revision := 1; revision <= flips; revision++ {
		live := revision%2 + 1
		w.apply(s, int64(revision), rollout.Weights{live: 100})
		if got := w.chain("web"); !maps.Equal(got, map[string]int{fmt.Sprintf("g%d", live): 100}) {
			t.Fatalf("flip %d: proxies are told %v", revision, got)
		}
	}
	fmt.Printf("%s: %d flips, 0 stale\n", t.Name(), flips)
}

// A router that somebody puts before the splitter is their good right, and is in nobody's way.
func TestSplitter_ServiceRouter(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web")
	s := newSplitter(w)
	w.two(s)
	w.apply(s, 1, rollout.Weights{1: 100})
	w.set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "elsewhere", Protocol: "http"})
	w.set(&api.ServiceRouterConfigEntry{Kind: api.ServiceRouter, Name: "shop-web", Routes: []api.ServiceRoute{
		{Match: &api.ServiceRouteMatch{HTTP: &api.ServiceRouteHTTPMatch{PathPrefix: "/static"}}, Destination: &api.ServiceRouteDestination{Service: "elsewhere"}}}})
	w.holds(s, 1, rollout.Weights{1: 100})
	w.apply(s, 2, rollout.Weights{1: 90, 2: 10})
	w.holds(s, 2, rollout.Weights{1: 90, 2: 10})
}

// A switch that was cut off between two services leaves them at two revisions: the environment is at the lower one, the
// higher one is the fence, and the next route above both brings them together.
func TestSplitter_CutOffBetweenServices(t *testing.T) {
	t.Parallel()
	w := newTown(t, consultest.Dev(t), "web", "api")
	s := newSplitter(w)
	for n := 1; n <= 2; n++ {
		w.announce(w.generation(n, "web", "api"))
		w.stage(s, w.generation(n, "web", "api"))
	}
	w.apply(s, 1, rollout.Weights{1: 100})
	ctx, cut := context.WithCancel(w.ctx)
	client, err := api.NewClient(&api.Config{Address: w.agent.HTTP, HttpClient: &http.Client{Transport: &cutter{cut: cut}}})
	if err != nil {
		t.Fatal(err)
	}
	interrupted := consul.NewSplitter(consul.Options{Router: "mesh", Node: "dc1", Client: client})
	if err := interrupted.Apply(ctx, newest, w.route(2, rollout.Weights{2: 100})); !errors.Is(err, context.Canceled) {
		t.Fatalf("cut off: %v", err)
	}
	o := w.observe(s)
	if o.Revision != 1 || o.Fence != 2 || !o.Weights.Carries(1) || o.Error != "splitter shop-api is at revision 2 already" {
		t.Errorf("between two services: %+v", o)
	}
	if err := s.Apply(w.ctx, newest, w.route(1, rollout.Weights{1: 100})); !errors.Is(err, router.ErrStale) {
		t.Errorf("a route below the fence: %v", err)
	}
	w.apply(s, 2, rollout.Weights{2: 100})
	w.holds(s, 2, rollout.Weights{2: 100})
}

// cutter ends everything right after the first config entry was written.
type cutter struct{ cut context.CancelFunc }

func (c *cutter) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := plain.RoundTrip(r)
	if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/v1/config") {
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(text))
		c.cut()
	}
	return res, err
}
