package builtin

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

// begun sends a request and waits until the backend has begun to answer it.
func (n *node) begun(path string) (net.Conn, *bufio.Reader) {
	n.Helper()
	c := n.dial()
	n.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"); err != nil {
		n.Fatal(err)
	}
	reader := bufio.NewReader(c)
	for line := ""; line != "\r\n"; {
		var err error
		if line, err = reader.ReadString('\n'); err != nil {
			n.Fatal(err)
		}
	}
	return c, reader
}

// ends reads the answer of /slow to its end, which is an error when it was cut.
func ends(answer *bufio.Reader) error {
	for {
		if line, err := answer.ReadString('\n'); err != nil || line == "done\n" {
			return err
		}
	}
}

// The drain of the route decides to the moment when what is open is cut, and each cut one is counted.
func TestDrain_ByTheClock(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	n := served(t, func(n *node) { n.clock = clock })
	n.stage(2)
	_, slow := n.begun("/slow")
	_, stream := n.begun("/sse")
	n.apply(2, all(2))
	clock.Advance(30*time.Second - 1)
	if open, o := n.openOn(1), n.observe(); open != 2 || o.InFlight[1] != 2 || n.Cut("shop", 1) != 0 {
		t.Fatalf("before the drain is over %d are open (%v), %d cut", open, o.InFlight, n.Cut("shop", 1))
	}
	clock.Advance(1)
	for name, r := range map[string]io.Reader{"/slow": slow, "/sse": stream} {
		if rest, err := io.ReadAll(r); bytes.Contains(rest, []byte("done")) || bytes.HasSuffix(rest, []byte("\r\n0\r\n\r\n")) {
			t.Errorf("%s ended as if it were whole: %q, %v", name, rest, err)
		}
	}
	n.eventually("the cut", func() bool { return n.openOn(1) == 0 })
	if o := n.observe(); n.Cut("shop", 1) != 2 || o.InFlight != nil {
		t.Errorf("%d cut, %v in flight", n.Cut("shop", 1), o.InFlight)
	}
	if errors := n.measured(func(b router.Bucket) int64 { return b.Errors }); errors[1] != 0 {
		t.Errorf("what we cut counts as %d errors of the generation", errors[1])
	}
	n.apply(3, all(1))
	n.serves(1)
}

func TestDrain_WeightComesBack(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	n := startNode(t, t.TempDir(), func(n *node) { n.clock = clock })
	b := n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	_, slow := n.begun("/slow")
	n.apply(2, all(2))
	clock.Advance(29 * time.Second)
	n.apply(3, rollout.Weights{1: 1, 2: 99})
	clock.Advance(time.Hour)
	b.Release()
	if err := ends(slow); err != nil {
		t.Errorf("the answer was cut: %v", err)
	}
	n.eventually("the end", func() bool { return n.openOn(1) == 0 })
	if n.Cut("shop", 1) != 0 {
		t.Errorf("%d cut", n.Cut("shop", 1))
	}
}

// Without a drain time everything is cut with the flip.
func TestDrain_OfNothing(t *testing.T) {
	t.Parallel()
	n := served(t)
	n.stage(2)
	_, slow := n.begun("/slow")
	r := route(2, all(2))
	r.Drain = 0
	if err := n.Apply(t.Context(), router.Fence{}, r); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(slow); bytes.Contains(rest, []byte("done")) {
		t.Errorf("not cut: %q", rest)
	}
	n.eventually("the cut", func() bool { return n.openOn(1) == 0 })
}

// A client that does not read, and one that does not go on writing, are cut too.
func TestDrain_CutsClientsThatHang(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	n := startNode(t, t.TempDir(), func(n *node) { n.clock = clock })
	n.stage(1, listen(t, func(c net.Conn) { // answers without end
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		for block := make([]byte, 1<<20); err == nil; {
			_, err = c.Write(block)
		}
	}))
	uploads := routertest.NewBackend(t, 2)
	n.stage(2, uploads.Instance("a"))
	n.stage(3)
	n.apply(1, all(1))
	n.begun("/")
	n.apply(2, all(2))
	c := n.dial()
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "POST /body HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 100\r\n\r\nhalf"); err != nil {
		t.Fatal(err)
	}
	n.eventually("the upload", func() bool { return n.openOn(2) == 1 })
	n.apply(3, all(3))
	clock.Advance(30 * time.Second)
	n.eventually("the cut", func() bool { return n.openOn(1) == 0 && n.openOn(2) == 0 })
	if n.Cut("shop", 1) != 1 || n.Cut("shop", 2) != 1 {
		t.Errorf("%d and %d cut, want 1 and 1", n.Cut("shop", 1), n.Cut("shop", 2))
	}
}

// Once Apply has returned and nothing is in flight, the old generation may be taken down: nothing goes there any more.
func TestDrain_NothingArrivesAfterZero(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	b := n.stage(1)
	n.apply(1, all(1))
	traffic := routertest.Load{Address: n.address, Host: host, KeepAlive: 6, Fresh: 2}.Start()
	for i := 2; i <= 60; i++ {
		next := n.stage(i)
		n.apply(int64(i), all(i))
		n.eventually("the drain", func() bool { return n.openOn(i-1) == 0 })
		b.Close()
		if err := n.Remove(t.Context(), router.Fence{Revision: int64(i)}, "shop", i-1); err != nil {
			t.Fatal(err)
		}
		b = next
	}
	for _, a := range traffic.Stop() {
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
}

// A request that chose its generation just before a flip, and has not been counted there yet, chooses again.
func TestAdmit_FlipInBetween(t *testing.T) {
	t.Parallel()
	var n *node
	var flip sync.Once
	n = served(t, func(n *node) {
		n.random = func(int) int {
			flip.Do(func() { n.apply(3, all(2)) })
			return 0
		}
	})
	n.stage(2)
	n.apply(2, rollout.Weights{1: 50, 2: 50})
	n.serves(2)
	if n.openOn(1) != 0 {
		t.Errorf("%d open on a generation that served nothing", n.openOn(1))
	}
}

// A drain that was over at the moment when weight came back cuts nothing.
func TestDrain_OverTooLate(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), func(n *node) { n.clock = clockwork.NewFakeClock() })
	b := n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	_, slow := n.begun("/slow")
	n.apply(2, all(2))
	env := n.known("shop")
	env.mu.Lock()
	g := env.generations[1]
	timer := g.drain
	env.mu.Unlock()
	n.apply(3, all(1))
	env.mu.Lock()
	n.drainOver(g, timer)
	env.mu.Unlock()
	b.Release()
	if err := ends(slow); err != nil {
		t.Errorf("the answer was cut: %v", err)
	}
}
