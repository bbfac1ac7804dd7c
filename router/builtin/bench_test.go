package builtin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"syscall"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// BenchmarkProxy compares requests through the router with those through a plain reverse proxy with default settings.
// The backend and the clients do as little as they can.
func BenchmarkProxy(b *testing.B) {
	target := bareBackend(b)
	r, err := New(Options{Node: "here", Incarnation: "1", StateDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	g := rollout.Generation{Environment: "shop", Number: 1, Groups: group(rollout.Instance{ID: "a", Address: "127.0.0.1", Port: target.Port})}
	if err := r.Stage(b.Context(), router.Fence{}, route(0, nil), g); err != nil {
		b.Fatal(err)
	}
	if err := r.Apply(b.Context(), router.Fence{Revision: 1}, route(1, all(1))); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(r.Close)
	backend := &url.URL{Scheme: "http", Host: target.String()}
	transport := &http.Transport{MaxIdleConnsPerHost: 1024}
	b.Cleanup(transport.CloseIdleConnections)
	plain := &httputil.ReverseProxy{Transport: transport, Rewrite: func(pr *httputil.ProxyRequest) {
		pr.SetURL(backend)
		pr.SetXForwarded()
	}}
	b.Run("plain", func(b *testing.B) { drive(b, plain) })
	b.Run("builtin", func(b *testing.B) { drive(b, r) })
}

// drive sends b.N requests over keep-alive connections to a server with the handler.
func drive(b *testing.B, handler http.Handler) {
	b.ReportAllocs()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() { _ = server.Close(); <-ended }()
	b.SetParallelism(16)
	before := processorTime(b)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c, err := new(net.Dialer).DialContext(context.Background(), "tcp", l.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		reader := bufio.NewReader(c)
		for pb.Next() {
			if err := once(c, reader); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
	b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
}

// processorTime is what this process used so far. It depends less on what else the machine does than elapsed time.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func once(c net.Conn, reader *bufio.Reader) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nUser-Agent: bench\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(reader, nil)
	if err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", res.StatusCode)
	}
	return nil
}

// bareBackend answers whatever comes in one read with the same bytes.
func bareBackend(b *testing.B) *net.TCPAddr {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				in := make([]byte, 4096)
				for {
					if _, err := c.Read(in); err != nil {
						return
					}
					if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\ngeneration 1\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr)
}
