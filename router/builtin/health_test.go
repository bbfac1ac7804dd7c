package builtin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// healthRoute asks for /healthz, often.
func healthRoute(revision int64, weights rollout.Weights) rollout.Route {
	r := route(revision, weights)
	r.SpecVersion = 2
	r.Services[0].Health = rollout.Health{Type: rollout.HealthHTTP, Path: "/healthz",
		ExpectStatus: []rollout.StatusRange{{From: 200, To: 299}}, Interval: rollout.Duration(50 * time.Millisecond),
		Timeout: rollout.Duration(time.Second), HealthyAfter: 1, UnhealthyAfter: 2}
	return r
}

// broken is an instance that accepts connections and answers 500 to everything.
func broken(t *testing.T) rollout.Instance {
	return listen(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		}
	})
}

func TestHealth_UnhealthyIsPassedOver(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	good := n.stage(9).Instance("good")
	n.stage(1, good, broken(t))
	if err := n.Apply(t.Context(), router.Fence{}, healthRoute(1, all(1))); err != nil {
		t.Fatal(err)
	}
	pool := n.generation("shop", 1).pools["web"]
	n.eventually("the verdict", func() bool { return len(*pool.usable.Load()) == 1 })
	for range 20 {
		if status, _ := n.get("/"); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
}

// When nobody is healthy, a question that is wrong must not take the service down.
func TestHealth_FailsOpen(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1, broken(t))
	if err := n.Apply(t.Context(), router.Fence{}, healthRoute(1, all(1))); err != nil {
		t.Fatal(err)
	}
	pool := n.generation("shop", 1).pools["web"]
	n.eventually("the verdict", func() bool {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return pool.instances[0].down
	})
	if status, _ := n.get("/"); status != http.StatusInternalServerError {
		t.Errorf("status %d, want the instance's own 500", status)
	}
}
