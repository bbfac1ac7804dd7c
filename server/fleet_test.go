package server

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"viridian/client"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/router"
)

// balancer is a node of a fleet that keeps what it is told.
type balancer struct {
	mu     sync.Mutex
	away   bool
	routes map[string]rollout.Route
	staged map[string][]int
}

func newBalancer() *balancer {
	return &balancer{routes: map[string]rollout.Route{}, staged: map[string][]int{}}
}

var errAway = errors.New("nothing listens there")

// with runs fn on a node that can be reached.
func (b *balancer) with(fn func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away {
		return errAway
	}
	fn()
	return nil
}

func (b *balancer) setAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

func (b *balancer) Pulse(context.Context) (string, error) { return "1-1", b.with(func() {}) }

func (b *balancer) Stage(_ context.Context, _ router.Fence, r rollout.Route, g rollout.Generation) error {
	return b.with(func() {
		if !slices.Contains(b.staged[r.Environment], g.Number) {
			b.staged[r.Environment] = append(b.staged[r.Environment], g.Number)
		}
	})
}

func (b *balancer) Apply(_ context.Context, _ router.Fence, r rollout.Route) error {
	return b.with(func() { b.routes[r.Environment] = r })
}

func (b *balancer) Observe(_ context.Context, name string) (o router.Observation, err error) {
	return o, b.with(func() {
		r := b.routes[name]
		o = router.Observation{Staged: slices.Clone(b.staged[name]), Receipt: rollout.Receipt{Incarnation: "1-1", Revision: r.Revision,
			SpecVersion: r.SpecVersion, Hash: r.Hash(), Weights: r.Weights, Grade: rollout.GradeReadBack}}
	})
}

func (b *balancer) Remove(_ context.Context, _ router.Fence, name string, number int) error {
	return b.with(func() {
		b.staged[name] = slices.DeleteFunc(b.staged[name], func(n int) bool { return n == number })
	})
}

func (b *balancer) Forget(_ context.Context, _ router.Fence, name string) error {
	return b.with(func() { delete(b.routes, name) })
}

// counting is one that also counts traffic: one request a second to generation 1.
type counting struct{ *balancer }

func (c counting) Measure(_ context.Context, _ string, from, _ time.Time) (out []router.Bucket, err error) {
	return out, c.with(func() { out = []router.Bucket{{At: from, Generation: 1, Requests: 1}} })
}

// fleetWorld has a router "edge" of three nodes, of which lb-1 and lb-2 count traffic and lb-3 does not.
func fleetWorld(t *testing.T) (*world, []*balancer) {
	t.Helper()
	nodes := []*balancer{newBalancer(), newBalancer(), newBalancer()}
	w := newWorld(t, true, func(o *controller.Options) {
		o.Contacts = controller.NewContacts()
		o.Fleets = map[string]controller.Fleet{"edge": {Driver: "fake", Required: rollout.RequiredAll, Grade: rollout.GradeReadBack,
			Nodes: map[string]controller.Remote{"lb-1": counting{nodes[0]}, "lb-2": counting{nodes[1]}, "lb-3": nodes[2]}}}
	})
	w.ok("PUT", "/v1/environments/shop", `{"routers": ["edge"], `+spec[1:])
	return w, nodes
}

func (w *world) routers(c *client.ClientWithResponses) map[string]client.Router {
	w.t.Helper()
	res, err := c.ListRoutersWithResponse(w.t.Context())
	must(w.t, err, res.StatusCode(), 200, res.Body)
	out := map[string]client.Router{}
	for _, r := range res.JSON200.Items {
		out[r.Name] = r
	}
	return out
}

// A router of several nodes from the outside: what is listed, what a switch waits for, and what becomes of a dead node.
func TestFleet(t *testing.T) {
	t.Parallel()
	w, nodes := fleetWorld(t)
	c := w.client(w.admin())
	if err := w.store.Pulse(t.Context(), []rollout.Node{{Router: "old", Name: "lb-9", Incarnation: "7"}}, 0); err != nil {
		t.Fatal(err)
	}
	n := w.ready("shop")
	w.promote("shop", n)

	nodes[2].setAway(true)
	var listed map[string]client.Router
	w.until(func() bool {
		listed = w.routers(c)
		return listed["edge"].Nodes[2].Error == errAway.Error()
	}, func() string { return "node lb-3 does not show why it is not reached" })
	for name, want := range map[string]client.Router{
		"builtin": {Driver: "builtin", Required: client.RouterRequiredReachable, Grade: client.GradeFenced},
		"edge":    {Driver: "fake", Required: client.RouterRequiredAll, Grade: client.GradeReadBack},
		"old":     {Driver: "", Required: client.RouterRequiredAll, Grade: client.GradeReadBack},
	} {
		if got := listed[name]; got.Driver != want.Driver || got.Required != want.Required || got.Grade != want.Grade {
			t.Errorf("router %s: %+v", name, got)
		}
	}
	if lb := listed["edge"].Nodes[0]; lb.Name != "lb-1" || lb.Incarnation != "1-1" || lb.SeenAt == nil || lb.Error != "" || lb.State != client.NodeStateReady {
		t.Errorf("node lb-1: %+v", lb)
	}
	if lb := listed["old"].Nodes[0]; !strings.Contains(lb.Error, "not in the configuration of this replica") {
		t.Errorf("node lb-9: %+v", lb)
	}

	two := w.ready2("shop", nodes)
	res, err := c.PromoteGenerationWithResponse(t.Context(), "shop", two, &client.PromoteGenerationParams{Timeout: pointer("300ms")}, client.PromoteRequest{})
	must(t, err, res.StatusCode(), 202, res.Body)
	if r := res.JSON202.Receipts[2]; r.Node != "lb-3" || r.State == client.ReceiptStateInSync || r.Error == "" {
		t.Errorf("the receipt of the node that is away: %+v", r)
	}
	back, err := c.RollbackWithResponse(t.Context(), "shop", &client.RollbackParams{Timeout: pointer("300ms")}, client.RollbackRequest{From: &two})
	must(t, err, back.StatusCode(), 202, back.Body)
	nodes[2].setAway(false)
	done, err := c.ShowSwitchWithResponse(t.Context(), "shop", back.JSON202.Revision, &client.ShowSwitchParams{Wait: pointer(client.WaitApplied)})
	must(t, err, done.StatusCode(), 200, done.Body)
	if done.JSON200.Status != client.SwitchStatusApplied || done.JSON200.Degraded {
		t.Errorf("when the node is back: %s", done.Body)
	}

	traffic, err := c.ShowTrafficWithResponse(t.Context(), "shop", nil)
	must(t, err, traffic.StatusCode(), 200, traffic.Body)
	if tr := traffic.JSON200; len(tr.Generations) != 1 || tr.Generations[0].Requests != 2 || len(tr.Missing) != 1 || tr.Missing[0].Node != "lb-3" || tr.Missing[0].Error == "" {
		t.Errorf("traffic: %s", traffic.Body)
	}
}

// ready2 makes one more generation ready while the last node is away: it is staged there first.
func (w *world) ready2(environment string, nodes []*balancer) int {
	w.t.Helper()
	nodes[2].setAway(false)
	n := w.ready(environment)
	nodes[2].setAway(true)
	return n
}

func TestFleet_UnknownRouterIsRefused(t *testing.T) {
	t.Parallel()
	w, _ := fleetWorld(t)
	a := w.send(request{Method: "PUT", Path: "/v1/environments/blog", Body: `{"routers": ["builtin", "edgee"], ` + spec[1:], Token: w.admin()})
	if a.status != 422 || a.problem.Code != "invalid_request" || len(a.problem.Errors) != 1 || a.problem.Errors[0].Pointer != "/routers/1" ||
		!strings.Contains(a.problem.Errors[0].Detail, `did you mean "edge"?`) {
		t.Errorf("an unknown router: %d %s", a.status, a.body)
	}
}
