package builtin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

func TestHostKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"shop.localhost": "shop.localhost", "Shop.LOCALHOST:8080": "shop.localhost", "shop.localhost.": "shop.localhost",
		"shop.localhost.:80": "shop.localhost", "[::1]:80": "[::1]", "[::1]": "[::1]", "127.0.0.1:80": "127.0.0.1", "": "", ".": "", ":80": "",
	} {
		if got := hostKey(in); got != want {
			t.Errorf("hostKey(%q) = %q, want %q", in, got, want)
		}
	}
}

// served starts a node whose live generation is 1.
func served(t *testing.T, options ...func(*node)) *node {
	t.Helper()
	n := startNode(t, t.TempDir(), options...)
	n.stage(1)
	n.apply(1, all(1))
	return n
}

func TestProxy_BelievesNoForwardingHeaders(t *testing.T) {
	t.Parallel()
	n := served(t)
	answer := n.raw("GET /headers HTTP/1.1\r\nHost: SHOP.localhost:8080\r\nConnection: close, X-Secret\r\n" +
		"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n" +
		"X-Real-IP: 6.6.6.6\r\nX-Viridian-Generation: 2\r\nX-Secret: hop\r\nKeep-Alive: 1\r\nProxy-Authorization: x\r\nTE: gzip\r\nX-Kept: yes\r\n\r\n")
	for _, want := range []string{"Host: SHOP.localhost:8080\r\n", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: http\r\n",
		"X-Forwarded-Host: SHOP.localhost:8080\r\n", "X-Kept: yes\r\n", "X-Viridian-Generation: 1\r\n"} {
		if !strings.Contains(answer, want) {
			t.Errorf("%q is missing in\n%s", want, answer)
		}
	}
	for _, not := range []string{"6.6.6.6", "evil", "Forwarded-Port", "X-Secret", "Proxy-Auth", "gzip", "X-Viridian-Generation: 2"} {
		if strings.Contains(answer, not) {
			t.Errorf("%q got through:\n%s", not, answer)
		}
	}
}

// The generation in the answer is ours, whatever the instance says.
func TestProxy_NamesTheGeneration(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(7, listen(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Viridian-Generation: 99\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	}))
	n.apply(1, all(7))
	answer := n.raw("GET / HTTP/1.0\r\nHost: shop.localhost\r\n\r\n")
	if strings.Count(answer, "X-Viridian-Generation") != 1 || !strings.Contains(answer, "X-Viridian-Generation: 7\r\n") {
		t.Errorf("%s", answer)
	}
}

func TestProxy_PassesPathAndQueryAsTheyCame(t *testing.T) {
	t.Parallel()
	n := served(t)
	for _, path := range []string{"/headers?a=1;b=2&c=%zz", "/headers?x=%2F..%2f", "/headers?", "/headers?q=a+b&q=%20"} {
		if _, body := n.get(path); !strings.HasPrefix(body, "GET "+path+"\r\n") {
			t.Errorf("%s arrived as %.60q", path, body)
		}
	}
}

// One request in, at most one request out, with one meaning; or a refusal.
func TestProxy_SmugglesNothing(t *testing.T) {
	t.Parallel()
	n := served(t)
	const hidden = "GET /headers HTTP/1.1\r\nHost: shop.localhost\r\nX-Hidden: yes\r\n\r\n"
	for name, c := range map[string]struct {
		request string
		status  string // "" where several are right
	}{
		"CL and TE":               {"POST /body HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		"two lengths":             {"POST /body HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", " 400 "},
		"a length with a sign":    {"POST /body HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: +4\r\n\r\nabcd", " 400 "},
		"unknown coding":          {"POST /body HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", " 501 "},
		"coding with a space":     {"POST /body HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", " 400 "},
		"bad chunk":               {"POST /body HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", ""},
		"two hosts":               {"GET / HTTP/1.1\r\nHost: shop.localhost\r\nHost: other.localhost\r\n\r\n", " 400 "},
		"no host":                 {"GET / HTTP/1.1\r\n\r\n", " 400 "},
		"folded first line":       {"GET / HTTP/1.1\r\n X: y\r\nHost: shop.localhost\r\n\r\n", " 400 "},
		"NUL in a value":          {"GET / HTTP/1.1\r\nHost: shop.localhost\r\nX: a\x00b\r\n\r\n", " 400 "},
		"space in a name":         {"GET / HTTP/1.1\r\nHost: shop.localhost\r\nX Y: a\r\n\r\n", " 400 "},
		"host with a slash":       {"GET / HTTP/1.1\r\nHost: shop.localhost/x\r\n\r\n", ""},
		"CONNECT":                 {"CONNECT shop.localhost:80 HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n", " 405 "},
		"absolute form":           {"GET http://other.localhost/ HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n", " 421 "},
		"head above 16 KiB":       {"GET / HTTP/1.1\r\nHost: shop.localhost\r\nX: " + strings.Repeat("a", 17<<10) + "\r\n\r\n", " 431 "},
		"body of a GET":           {"GET /body HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\nContent-Length: " + fmt.Sprint(len(hidden)) + "\r\n\r\n" + hidden, " 200 "},
		"upgrade to h2c":          {"GET /headers HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\r\n", " 200 "},
		"upgrade to nobody knows": {"GET /headers HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade, close\r\nUpgrade: \x01\r\n\r\n", " 400 "},
	} {
		answer := n.raw(c.request)
		if !strings.Contains(firstLine(answer), c.status) || strings.Count(answer, "HTTP/1.1 ") > 1 && strings.Contains(answer, " 200 ") {
			t.Errorf("%s: %.200q", name, answer)
		}
		if body := strings.SplitN(answer, "\r\n\r\n", 2); len(body) == 2 && (strings.Contains(body[1], "Upgrade") || strings.HasPrefix(body[1], "GET /headers HTTP/1.1\r\nX-Hidden")) {
			t.Errorf("%s: got through: %.200q", name, answer)
		}
	}
	// A folded header is one header: the second line is no header of its own.
	answer := n.raw("GET /headers HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\nX-A: one\r\n X-B: two\r\n\r\n")
	if strings.Contains(answer, "\nX-B:") {
		t.Errorf("a folded line became a header: %s", answer)
	}
	n.serves(1)
}

func firstLine(answer string) string {
	line, _, _ := strings.Cut(answer, "\r\n")
	return line
}

func TestProxy_Unreachable(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1, closedPort(t, "a"), closedPort(t, "b"))
	n.apply(1, all(1))
	status, body := n.get("/")
	if status != http.StatusBadGateway || strings.Contains(body, "127.0.0.1") || strings.Contains(body, "refused") {
		t.Errorf("got %d %q", status, body)
	}
	n.stage(2, listen(t, func(net.Conn) {})) // closes every connection at once
	n.apply(2, all(2))
	if status, body = n.get("/"); status != http.StatusBadGateway || strings.Contains(body, "EOF") {
		t.Errorf("got %d %q", status, body)
	}
	errors := n.measured(func(b router.Bucket) int64 { return b.Errors })
	if errors[1] != 1 || errors[2] != 1 {
		t.Errorf("errors by generation: %v", errors)
	}
}

// A connection that is refused has cost the request nothing, so even a POST goes to the next instance, body and all.
func TestProxy_RetriesWhatDidNotConnect(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	good := n.stage(9).Instance("good")
	n.stage(1, closedPort(t, "dead-1"), good, closedPort(t, "dead-2"))
	n.apply(1, all(1))
	for i := range 20 {
		body := fmt.Sprintf("number %d", i)
		answer := n.raw(fmt.Sprintf("POST /body HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		if !strings.Contains(firstLine(answer), " 200 ") || !strings.HasSuffix(answer, body) {
			t.Fatalf("%q", answer)
		}
	}
}

// What may have reached an instance is not sent again.
func TestProxy_DoesNotRepeatAPost(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	var seen atomic.Int64
	n.stage(1, listen(t, func(c net.Conn) {
		seen.Add(1)
		_, _ = http.ReadRequest(bufio.NewReader(c))
	}), closedPort(t, "other"))
	n.apply(1, all(1))
	answer := n.raw("POST /body HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
	if !strings.Contains(firstLine(answer), " 502 ") || seen.Load() != 1 {
		t.Errorf("sent %d times: %q", seen.Load(), answer)
	}
}

// A client that leaves is nobody's error, and its request does not stay open.
func TestProxy_ClientLeaves(t *testing.T) {
	t.Parallel()
	n := served(t)
	c := n.dial()
	if _, err := io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil { //nolint:bodyclose // the connection is closed
		t.Fatal(err)
	}
	if n.openOn(1) != 1 {
		t.Errorf("%d open", n.openOn(1))
	}
	_ = c.Close()
	n.eventually("the request to end", func() bool { return n.openOn(1) == 0 })
	n.eventually("the request to be counted", func() bool {
		return n.measured(func(b router.Bucket) int64 { return b.Requests })[1] == 1
	})
	if errors := n.measured(func(b router.Bucket) int64 { return b.Errors }); errors[1] != 0 {
		t.Errorf("errors by generation: %v", errors)
	}
}

// Of a host that two environments claim, the one that has it keeps it.
func TestProxy_HostMoves(t *testing.T) {
	t.Parallel()
	n := served(t)
	other := route(1, nil)
	other.Environment = "another"
	if err := n.Apply(t.Context(), router.Fence{}, other); err != nil {
		t.Fatal(err)
	}
	n.serves(1)
	moved := route(2, all(1))
	moved.SpecVersion, moved.Services[0].Hosts = 2, []string{"new.localhost"}
	if err := n.Apply(t.Context(), router.Fence{}, moved); err != nil {
		t.Fatal(err)
	}
	if status, _ := n.get("/"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d; the host was let go, so the other environment has it", status)
	}
	late := route(2, all(1)) // of before the spec changed
	if err := n.Apply(t.Context(), router.Fence{}, late); err != nil {
		t.Fatal(err)
	}
	if o := n.observe(); o.SpecVersion != 2 {
		t.Errorf("an older spec was taken: version %d", o.SpecVersion)
	}
}

// A state file that was left over, of an environment that nobody knows any more, keeps no host from its owner.
func TestProxy_HostOfALeftOverStateFile(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1)
	n.apply(1, all(1))
	n.stop()
	n.start()
	n.serves(1) // until somebody claims the host, it is served as before
	owner := route(1, all(2))
	owner.Environment = "zoo"
	g := rollout.Generation{Environment: "zoo", Number: 2, Groups: group(routertest.NewBackend(n, 2).Instance("web-1"))}
	if err := errors.Join(n.Stage(t.Context(), router.Fence{Revision: 1}, owner, g), n.Apply(t.Context(), router.Fence{Revision: 1}, owner)); err != nil {
		t.Fatal(err)
	}
	n.serves(2)
	n.apply(1, all(1)) // it is known after all: whoever has the host keeps it
	n.serves(2)
}

func TestSite_PicksByWeight(t *testing.T) {
	t.Parallel()
	a, b := &pool{}, &pool{}
	s := &site{choices: []choice{{30, a}, {100, b}}}
	for drawn, want := range map[int]*pool{0: a, 29: a, 30: b, 99: b} {
		if s.pick(func(int) int { return drawn }) != want {
			t.Errorf("%d picks the wrong generation", drawn)
		}
	}
}

func TestStage_Refuses(t *testing.T) {
	t.Parallel()
	n := served(t)
	good := rollout.Instance{ID: "a", Address: "10.0.0.1", Port: 80}
	plain := route(0, nil)
	tls, tcp := route(0, nil), route(0, nil)
	tls.Services[0].UpstreamTLS, tcp.Services[0].Protocol = true, "tcp"
	for name, c := range map[string]struct {
		route  rollout.Route
		number int
		groups []rollout.Group
	}{
		"no groups":    {plain, 5, nil},
		"no instances": {plain, 5, group()},
		"no number":    {plain, 0, group(good)},
		"port 0":       {plain, 5, group(rollout.Instance{Address: "10.0.0.1"})},
		"port 70000":   {plain, 5, group(rollout.Instance{Address: "10.0.0.1", Port: 70000})},
		"a path":       {plain, 5, group(rollout.Instance{Address: "10.0.0.1/x", Port: 80})},
		"no address":   {plain, 5, group(rollout.Instance{Port: 80})},
		"other groups": {plain, 1, group(good)},
		"TLS":          {tls, 5, group(good)},
		"TCP":          {tcp, 5, group(good)},
	} {
		g := rollout.Generation{Environment: "shop", Number: c.number, Groups: c.groups}
		if err := n.Stage(t.Context(), router.Fence{Revision: 1}, c.route, g); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if o := n.observe(); fmt.Sprint(o.Staged) != "[1]" {
		t.Errorf("staged: %v", o.Staged)
	}
}

// listen is an instance that does with each connection what the test says, one after the other, and then closes it.
func listen(t *testing.T, serve func(net.Conn)) rollout.Instance {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serve(c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-ended })
	return rollout.Instance{ID: "raw", Address: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
}

// closedPort is an instance that refuses connections: its port is taken, but nobody listens.
func closedPort(t *testing.T, id string) rollout.Instance {
	t.Helper()
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(s) })
	if err := syscall.Bind(s, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(s)
	if err != nil {
		t.Fatal(err)
	}
	return rollout.Instance{ID: id, Address: "127.0.0.1", Port: at.(*syscall.SockaddrInet4).Port}
}

// openOn counts what is open on the generation.
func (n *node) openOn(generation int) int {
	n.Helper()
	open, err := n.InFlight(n.Context(), "shop", generation)
	if err != nil {
		n.Fatal(err)
	}
	return open
}

// measured sums a number of all buckets by generation.
func (n *node) measured(of func(router.Bucket) int64) map[int]int64 {
	n.Helper()
	now := n.Router.clock.Now()
	buckets, err := n.Measure(n.Context(), "shop", now.Add(-time.Hour), now.Add(time.Second))
	if err != nil {
		n.Fatal(err)
	}
	out := map[int]int64{}
	for _, b := range buckets {
		out[b.Generation] += of(b)
	}
	return out
}

// What a client garbles is the client's error, not one of the generation that would have got it.
func TestProxy_ClientGarblesItsBody(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1)
	n.apply(1, all(1))
	answer := n.raw("POST /body HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\nnonsense\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 400 ") {
		t.Errorf("answered %q", answer)
	}
	if failed := n.measured(func(b router.Bucket) int64 { return b.Errors }); failed[1] != 0 {
		t.Errorf("%d errors of the generation", failed[1])
	}
}
