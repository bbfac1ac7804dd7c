package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"viridian/rollout"
)

func httpHealth(timeout time.Duration) rollout.Health {
	return rollout.Health{
		Type: rollout.HealthHTTP, Path: "/up?deep=1", ExpectStatus: []rollout.StatusRange{{From: 200, To: 299}, {From: 401, To: 401}},
		Interval: rollout.Duration(time.Second), Timeout: rollout.Duration(timeout), HealthyAfter: 2, UnhealthyAfter: 3,
	}
}

func target(t *testing.T, addr net.Addr) (string, int) {
	t.Helper()
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		t.Fatalf("no TCP address: %v", addr)
	}
	return tcp.IP.String(), tcp.Port
}

func ask(t *testing.T, health rollout.Health, handler http.HandlerFunc) error {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	address, port := target(t, server.Listener.Addr())
	return Ask(t.Context(), health, address, port)
}

// raw serves each connection by f and returns the listener's address.
func raw(t *testing.T, f func(net.Conn)) (string, int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return target(t, listener.Addr())
}

func refused(t *testing.T) (string, int) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address, port := target(t, listener.Addr())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	return address, port
}

func TestAsk_Statuses(t *testing.T) {
	t.Parallel()
	for status, pass := range map[int]bool{200: true, 204: true, 299: true, 401: true, 301: false, 304: false, 400: false, 500: false, 503: false} {
		err := ask(t, httpHealth(5*time.Second), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		if (err == nil) != pass {
			t.Errorf("status %d: %v, want pass %v", status, err, pass)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprint(status)) {
			t.Errorf("status %d is not named: %v", status, err)
		}
	}
}

func TestAsk_Request(t *testing.T) {
	// A proxy named by the environment must not be asked.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		if r.Method != "GET" || r.RequestURI != "/up?deep=1" || r.Host != local.String() || r.UserAgent() != "viridian-probe" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("asked %s %s at host %s with %v", r.Method, r.RequestURI, r.Host, r.Header)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	address, port := target(t, server.Listener.Addr())
	for range 3 {
		if err := Ask(t.Context(), httpHealth(5*time.Second), address, port); err != nil {
			t.Fatal(err)
		}
	}
	if n := connections.Load(); n != 3 {
		t.Errorf("%d connections for three questions", n)
	}
}

func TestAsk_RedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	health := httpHealth(5 * time.Second)
	redirect := func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}
	if err := ask(t, health, redirect); err == nil {
		t.Error("a redirect passed where only 2xx is expected")
	}
	health.ExpectStatus = []rollout.StatusRange{{From: 302, To: 302}}
	if err := ask(t, health, redirect); err != nil {
		t.Errorf("an expected redirect: %v", err)
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d requests for two questions", n)
	}
}

func TestAsk_HugeBody(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	err := ask(t, httpHealth(10*time.Second), func(w http.ResponseWriter, r *http.Request) {
		block := make([]byte, 64<<10)
		for range 1 << 14 { // 1 GiB
			n, err := w.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	})
	if err != nil || sent.Load() > 64<<20 {
		t.Errorf("huge body: %v after %d bytes, want a pass after little", err, sent.Load())
	}
}

func TestAsk_TooLate(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"never answers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"never ends": func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for {
				_, _ = io.WriteString(w, "x")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			err := ask(t, httpHealth(200*time.Millisecond), handler)
			if err == nil || !strings.Contains(err.Error(), "200ms") {
				t.Errorf("%v, want one that names the timeout", err)
			}
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestAsk_HostileAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"not HTTP":       "SSH-2.0-x\x1b[31m\r\n" + strings.Repeat("ü", 9000) + "\r\n",
		"endless header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20),
		"cut body":       "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
		"nothing":        "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, port := raw(t, func(c net.Conn) {
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, answer)
			})
			err := Ask(t.Context(), httpHealth(5*time.Second), address, port)
			if err == nil {
				t.Fatal("passed")
			}
			if text := err.Error(); len(text) > maxReason+3 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("reason of %d bytes: %q", len(text), text)
			}
		})
	}
}

func TestAsk_PathCannotLeadElsewhere(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"//127.0.0.1:1/x", "http://127.0.0.1:1/x", "/@127.0.0.1:1/"} {
		health := httpHealth(5 * time.Second)
		health.Path = path
		if err := ask(t, health, func(http.ResponseWriter, *http.Request) {}); err != nil {
			t.Errorf("%s left the instance: %v", path, err)
		}
	}
}

func TestAsk_TCP(t *testing.T) {
	t.Parallel()
	health := httpHealth(5 * time.Second)
	health.Type = rollout.HealthTCP
	address, port := raw(t, func(net.Conn) {})
	if err := Ask(t.Context(), health, address, port); err != nil {
		t.Errorf("open port: %v", err)
	}
	address, port = refused(t)
	for _, kind := range []rollout.HealthType{rollout.HealthTCP, rollout.HealthHTTP} {
		health.Type = kind
		if err := Ask(t.Context(), health, address, port); err == nil || err.Error() != "connection refused" {
			t.Errorf("%s at a closed port: %v", kind, err)
		}
	}
	health.Type = "icmp"
	if err := Ask(t.Context(), health, address, port); err == nil {
		t.Error("an unknown type passed")
	}
}

func TestAsk_ContextsErrorIsNotTheInstances(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	address, port := raw(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		cancel()
		_, _ = io.Copy(io.Discard, c)
	})
	if err := Ask(ctx, httpHealth(time.Minute), address, port); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
}
