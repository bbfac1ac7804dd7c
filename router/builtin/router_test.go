package builtin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		writeForEver(dir)
		return
	}
	// net/http lingers half a second on a connection that it closes with unread data.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	routertest.Exercise(t, func(t testing.TB, _ []rollout.Route) routertest.Fixture {
		n := startNode(t, t.TempDir())
		restart := func() router.Router {
			n.stop()
			n.start()
			return n.Router
		}
		return routertest.Fixture{Router: n.Router, Address: n.address, Restart: func() router.Router {
			n.failpoints = nil
			return restart()
		}, Undurable: func() router.Router {
			var err error
			if n.failpoints, err = failpoint.New(string(failpoint.StateFileTemp) + "=error"); err != nil {
				t.Fatal(err)
			}
			return restart()
		}}
	})
}

// node is a Router at work: it probes, and a server of its own listens for traffic.
type node struct {
	*Router
	testing.TB
	dir, address string
	clock        clockwork.Clock
	failpoints   *failpoint.Set
	random       func(int) int
	stop         func()
}

var incarnations atomic.Int64

// startNode starts a node on the folder; options change it before.
func startNode(t testing.TB, dir string, options ...func(*node)) *node {
	t.Helper()
	n := &node{TB: t, dir: dir, address: "127.0.0.1:0"}
	for _, change := range options {
		change(n)
	}
	n.start()
	t.Cleanup(func() { n.stop() })
	return n
}

// start makes a Router from what the folder holds and lets it listen, on a restart at the address of before.
func (n *node) start() {
	n.Helper()
	r, err := New(Options{Node: "here", Incarnation: fmt.Sprint(incarnations.Add(1)), StateDir: n.dir,
		Clock: n.clock, Failpoints: n.failpoints, Random: n.random})
	if err != nil {
		n.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", n.address)
	if err != nil {
		n.Fatal(err)
	}
	n.Router, n.address = r, listener.Addr().String()
	server := NewServer(r, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- r.Run(ctx) }()
	go func() { ended <- server.Serve(listener) }()
	n.stop = func() {
		cancel()
		_ = server.Close()
		r.Close()
		for range 2 {
			if err := <-ended; err != nil && !errors.Is(err, http.ErrServerClosed) {
				n.Errorf("the node ended with %v", err)
			}
		}
		n.stop = func() {}
	}
}

const host = "shop.localhost"

// route is one of environment shop with service web, and no probing.
func route(revision int64, weights rollout.Weights) rollout.Route {
	r := rollout.Route{Environment: "shop", Revision: revision, Weights: weights, SpecVersion: 1,
		Drain: rollout.Duration(30 * time.Second), Services: []rollout.RouteService{
			{Service: rollout.Service{Name: "web", Protocol: "http"}, Hosts: []string{host}}}}
	for _, n := range weights.Numbers() {
		r.Live = n
	}
	return r
}

func all(generation int) rollout.Weights { return rollout.Weights{generation: 100} }

func group(instances ...rollout.Instance) []rollout.Group {
	return []rollout.Group{{Service: "web", Instances: instances}}
}

// stage stages a generation with these instances, or with a new backend when there are none.
func (n *node) stage(number int, instances ...rollout.Instance) *routertest.Backend {
	n.Helper()
	var b *routertest.Backend
	if len(instances) == 0 {
		b = routertest.NewBackend(n, number)
		instances = append(instances, b.Instance("web-1"))
	}
	g := rollout.Generation{Environment: "shop", Number: number, Groups: group(instances...)}
	if err := n.Stage(n.Context(), router.Fence{Revision: 1 << 40}, route(0, nil), g); err != nil {
		n.Fatalf("stage generation %d: %v", number, err)
	}
	return b
}

func (n *node) apply(revision int64, weights rollout.Weights) {
	n.Helper()
	if err := n.Apply(n.Context(), router.Fence{Revision: revision}, route(revision, weights)); err != nil {
		n.Fatalf("apply revision %d: %v", revision, err)
	}
}

func (n *node) observe() router.Observation {
	n.Helper()
	seen, err := n.Observe(n.Context(), "shop")
	if err != nil {
		n.Fatalf("observe: %v", err)
	}
	return seen
}

// raw sends bytes on a connection of its own, half-closes it, and returns all that comes back.
func (n *node) raw(request string) string {
	n.Helper()
	c := n.dial()
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, request); err != nil {
		n.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		n.Fatalf("reading the answer to %q: %v", request, err)
	}
	return string(answer)
}

func (n *node) dial() *net.TCPConn {
	n.Helper()
	c, err := new(net.Dialer).DialContext(n.Context(), "tcp", n.address)
	if err != nil {
		n.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		n.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// get asks for a path and returns the answer's status and body.
func (n *node) get(path string) (int, string) {
	n.Helper()
	answer := n.raw("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	if err != nil {
		n.Fatalf("%q: %v", answer, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		n.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// serves checks that the generation answers.
func (n *node) serves(generation int) {
	n.Helper()
	if status, body := n.get("/"); status != http.StatusOK || body != fmt.Sprintf("generation %d\n", generation) {
		n.Fatalf("got %d %q, want generation %d", status, body, generation)
	}
}

func (n *node) eventually(what string, holds func() bool) {
	n.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			n.Fatalf("%s: not in time", what)
		}
	}
}
