package haproxy

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// TestPreview reaches a generation without weight by header and by host, only from the networks that may.
func TestPreview(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		allow []string
		let   bool
	}{"allowed": {[]string{"127.0.0.0/8", "::1/128"}, true}, "not allowed": {[]string{"10.0.0.0/8"}, false}, "nobody allowed": {nil, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(_ *haproxy, cfg *Config) { cfg.Environments[0].Spec.Networks.PreviewAllow = c.allow })
			l.stage(0, 1, 2)
			l.apply(1, all(1))
			p, err := l.Preview(l.ctx, "shop", 2)
			if err != nil || fmt.Sprint(p.Hosts) != "[g2."+shopHost+"]" {
				t.Fatalf("preview: %+v, %v", p, err)
			}
			if _, err := l.Preview(l.ctx, "shop", 3); !errors.Is(err, router.ErrNotStaged) {
				t.Errorf("preview of what is not staged: %v", err)
			}
			want := func(status int, generation string, host string, header ...string) {
				t.Helper()
				if !c.let && status == http.StatusOK && generation == "2" {
					status, generation = http.StatusForbidden, ""
				}
				if s, g := l.haproxy.ask(host, "/", header...); s != status || g != generation {
					t.Errorf("%s with %v: status %d from generation %q, want %d from %q", host, header, s, g, status, generation)
				}
			}
			want(200, "1", shopHost)
			want(200, "2", shopHost, p.Header, p.Value)
			want(200, "2", p.Hosts[0])
			want(200, "2", "G2.SHOP.localhost.:8080")
			want(503, "", shopHost, p.Header, "9")
			want(503, "", "g9."+shopHost)
			want(404, "", "g2.elsewhere.localhost")
			want(404, "", "g0."+shopHost)
			for _, garbage := range []string{"0", "-1", "2x", "2|1", "", "99999999999999999999", "env/shop"} {
				want(200, "1", shopHost, p.Header, garbage)
			}
			l.remove(1, 2)
			want(503, "", shopHost, p.Header, "2")
		})
	}
}

// TestHosts_AreNoKeys: what clients send as a host looks up nothing but hosts.
func TestHosts_AreNoKeys(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1)
	l.apply(1, all(1))
	for _, host := range []string{"env/shop", "../env/shop", "host/shop.localhost", "gen/shop/1", "shop.web", "shop", "shop.localhost/", "none", "*"} {
		conn, err := net.Dial("tcp", l.listen)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) {
			t.Errorf("host %q is answered %.40q, %v", host, answer, err)
		}
	}
}

// TestHosts_BeforeTheFirstPromote: what an owner's own rules did with a host goes on until a generation is promoted.
func TestHosts_BeforeTheFirstPromote(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.kill()
	text, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(string(text), "    default_backend viridian-nobody\n", "    default_backend own\n", 1) +
		"\nbackend own\n    mode http\n    http-request return status 218\n"
	if err := os.WriteFile(l.file, []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	l.boot()
	want := func(when string, status int, header ...string) {
		t.Helper()
		if s, _ := l.haproxy.ask(shopHost, "/", header...); s != status {
			t.Errorf("%s it is answered with %d, want %d", when, s, status)
		}
	}
	want("at the start", 218)
	l.stage(0, 1)
	want("when a generation is staged", 218)
	want("as a preview", 200, PreviewHeader, "1")
	want("as a preview of another", 503, PreviewHeader, "2")
	l.apply(1, all(1))
	want("promoted", 200)
	l.say("del map " + l.mapPath() + " env/shop")
	want("by a hand", 503)
	l.apply(1, all(1))
	l.apply(2, rollout.Weights{})
	want("without weights", 503)
}

// TestHosts_ChangeWithTheSpec: a newer version brings hosts and takes others away, an older one does nothing.
func TestHosts_ChangeWithTheSpec(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1)
	l.apply(1, all(1))
	answers := func(host string, status int) {
		t.Helper()
		if s, _ := l.haproxy.ask(host, "/"); s != status {
			t.Errorf("%s is answered with %d, want %d", host, s, status)
		}
	}
	old := l.spec
	l.spec.SpecVersion, l.spec.Services = 2, []rollout.RouteService{{Service: old.Services[0].Service, Hosts: []string{"new.localhost", "Also.New.localhost"}}}
	l.apply(1, all(1)) // no other revision is needed
	answers("new.localhost", 200)
	answers("also.new.localhost", 200)
	answers(shopHost, 404)
	l.spec = old
	l.apply(2, all(1))
	answers(shopHost, 404)
	answers("new.localhost", 200)
	if o := l.observe(); o.SpecVersion != 2 || o.Error != "" {
		t.Errorf("spec version %d: %s", o.SpecVersion, o.Error)
	}
}

// TestRestart_WithoutFiles: a node whose folder is out of reach forgets all, answers 503, and is brought back by staging
// and applying again.
func TestRestart_WithoutFiles(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.Node = l.haproxy.node(t, func(o *Options) { o.MapFile = "" })
	l.stage(0, 1, 2)
	l.apply(4, all(2))
	before, err := l.Pulse(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	l.kill()
	l.boot()
	if now, err := l.Pulse(l.ctx); err != nil || now == before {
		t.Errorf("the run is %q after %q (%v)", now, before, err)
	}
	if o := l.observe(); o.Revision != 0 || len(o.Staged) > 0 || o.Error != "" {
		t.Errorf("after the restart: %+v", o)
	}
	if s, _ := l.haproxy.ask(shopHost, "/"); s != 404 {
		t.Errorf("an unknown host is answered with %d", s)
	}
	if err := l.tryApply(4, all(2)); !errors.Is(err, router.ErrNotStaged) {
		t.Errorf("apply: %v", err)
	}
	l.mends(4)
}

// TestRestart_LeavesNothingToRepair: with its files a node comes back as it was, and staging and applying find nothing
// to do.
func TestRestart_LeavesNothingToRepair(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1, 2, 3)
	l.apply(4, rollout.Weights{1: 90, 2: 10})
	before := l.entryText()
	for range 3 {
		l.kill()
		l.boot()
		if o := l.observe(); o.Revision != 4 || o.Error != "" || fmt.Sprint(o.Staged) != "[1 2 3]" {
			t.Fatalf("after a restart: %+v", o)
		}
		l.apply(4, rollout.Weights{1: 90, 2: 10})
		if now := l.entryText(); now != before {
			t.Fatalf("the entry went from %s to %s", before, now)
		}
	}
}

// TestDrain_GoesOnInAnotherProcess: who observes the node next cuts what the one before would have cut.
func TestDrain_GoesOnInAnotherProcess(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.spec.Drain = rollout.Duration(time.Second)
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	conn, err := net.Dial("tcp", l.listen)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "GET /slow HTTP/1.1\r\nHost: %s\r\n\r\n", shopHost)
	eventually(t, "the request is under way", func() bool { n, err := l.InFlight(l.ctx, "shop", 1); return err == nil && n == 1 })
	l.apply(2, all(2))
	l.Close() // the process is gone
	other := l.haproxy.bareNode(t)
	eventually(t, "the drain", func() bool {
		o, err := other.Observe(l.ctx, "shop")
		return err == nil && o.Revision == 2 && len(o.InFlight) == 0
	})
	l.backends[1].Release()
	if answer, err := io.ReadAll(conn); err == nil && strings.Contains(string(answer), "done") {
		t.Errorf("the request outlasted its drain: %q", answer)
	}
	eventually(t, "the end of the drain is durable", func() bool {
		e, err := parseEntry(l.entryText())
		s, _ := e.of(1)
		return err == nil && !s.draining() && l.observe().Error == ""
	})
}

// TestTCP flips a service of protocol tcp: new connections go to the new generation, open ones stay until the drain is
// over and are cut then.
func TestTCP(t *testing.T) {
	t.Parallel()
	bind := freeAddress(t)
	l := newLab(t, func(_ *haproxy, c *Config) {
		c.Environments[0].Spec.Services[0].Protocol = protocolTCP
		c.Binds = map[string]string{"shop/web": bind}
	})
	l.spec.Services[0].Protocol, l.spec.Drain = protocolTCP, rollout.Duration(700*time.Millisecond)
	if conn, err := net.Dial("tcp", bind); err == nil { // before the first route nothing answers
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes before the first route", n)
		}
		conn.Close()
	}
	g1, g2 := echo(t, 1), echo(t, 2)
	for number, in := range map[int]rollout.Instance{1: g1, 2: g2} {
		if err := l.tryStage(0, at(number, in)); err != nil {
			t.Fatal(err)
		}
	}
	l.apply(1, all(1))
	old := dialEcho(t, bind)
	if got := old.say("a"); got != "1a" {
		t.Fatalf("generation 1 answers %q", got)
	}
	l.apply(2, all(2))
	if got := dialEcho(t, bind).say("b"); got != "2b" {
		t.Errorf("a new connection is answered %q", got)
	}
	if got := old.say("c"); got != "1c" {
		t.Errorf("the open connection is answered %q", got)
	}
	if o := l.observe(); o.InFlight[1] != 1 {
		t.Errorf("open on generation 1: %v", o.InFlight)
	}
	eventually(t, "the drain", func() bool { return l.observe().InFlight[1] == 0 })
	if got := old.say("d"); got != "" {
		t.Errorf("after the drain the old connection is answered %q", got)
	}
	buckets, err := l.Measure(l.ctx, "shop", time.Now().Add(-time.Minute), time.Now().Add(time.Minute))
	if err != nil || len(buckets) == 0 {
		t.Errorf("measured %v, %v", buckets, err)
	}
	v, err := l.look(l.ctx, "shop")
	if err != nil || len(v.sites("shop")) > 0 {
		t.Errorf("a tcp service has hosts: %v, %v", v.sites("shop"), err)
	}
}

// echo is an instance that answers each message with its generation before it.
func echo(t testing.TB, generation int) rollout.Instance {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				b := make([]byte, 100)
				for {
					n, err := conn.Read(b)
					if err != nil {
						return
					}
					if _, err := conn.Write(append([]byte(strconv.Itoa(generation)), b[:n]...)); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	a := l.Addr().(*net.TCPAddr)
	return rollout.Instance{ID: "db-1", Address: "127.0.0.1", Port: a.Port}
}

type echoConn struct {
	testing.TB
	net.Conn
}

func dialEcho(t testing.TB, address string) echoConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return echoConn{t, conn}
}

// say returns the answer, "" when the connection is gone.
func (c echoConn) say(text string) string {
	c.Helper()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		c.Fatal(err)
	}
	if _, err := c.Write([]byte(text)); err != nil {
		return ""
	}
	b := make([]byte, 100)
	n, _ := c.Read(b)
	return string(b[:n])
}

// TestSocket_OverTLS drives a node from afar, as GUIDE.md tells: HAProxy itself takes TLS, with certificates of both
// sides, and hands on to its sockets.
func TestSocket_OverTLS(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	pair, pool := certificate(t, l.dir)
	socket, fence := freeAddress(t), freeAddress(t)
	l.kill()
	text, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	secured := " ssl crt " + filepath.Join(l.dir, "pair.pem") + " ca-file " + filepath.Join(l.dir, "cert.pem") + " verify required"
	changed := string(text)
	for address, path := range map[string]string{socket: "admin.sock", fence: "fence.sock"} {
		changed += fmt.Sprintf(`
listen viridian-remote-%s
    mode tcp
    bind %s%s
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    server socket unix@%s/%s
`, path, address, secured, l.dir, path)
	}
	if err := os.WriteFile(l.file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	l.boot()
	config := &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	l.Node = l.haproxy.node(t, func(o *Options) { o.Socket, o.Fence, o.TLS = "tls:"+socket, "tls:"+fence, config })
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	l.apply(2, all(2))
	l.serves("2", 200)
	if o := l.observe(); o.Revision != 2 || o.Error != "" {
		t.Errorf("revision %d: %s", o.Revision, o.Error)
	}
	for name, o := range map[string]Options{
		"without a certificate":    {Socket: "tls:" + socket, TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}},
		"of an unknown authority":  {Socket: "tls:" + socket, TLS: &tls.Config{RootCAs: x509.NewCertPool(), Certificates: config.Certificates, MinVersion: tls.VersionTLS12}},
		"without TLS":              {Socket: "tcp:" + socket},
		"with the machine's roots": {Socket: "tls:" + socket},
	} {
		o.Router, o.Node = "edge", "one"
		n, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Pulse(l.ctx); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
}
