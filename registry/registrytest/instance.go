package registrytest

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viridian/rollout"
)

// instance is a real HTTP server that can be told to fail, to keep its callers waiting, and to go away.
type instance struct {
	rollout.Instance
	asked   atomic.Int64 // requests that reached it
	failing atomic.Bool
	gate    chan struct{} // answers wait until it is closed
	absent  bool          // never listens while the test runs

	mu     sync.Mutex
	server *httptest.Server
}

// startInstance starts a healthy instance that ends with the test.
func startInstance(t *testing.T, id string) *instance {
	t.Helper()
	open := make(chan struct{})
	close(open)
	return startGated(t, id, open)
}

// startGated starts an instance that answers nobody until the gate is closed.
func startGated(t *testing.T, id string, gate chan struct{}) *instance {
	t.Helper()
	i := &instance{gate: gate}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := netip.MustParseAddrPort(listener.Addr().String())
	i.Instance = rollout.Instance{ID: id, Address: address.Addr().String(), Port: int(address.Port())}
	i.serve(listener)
	t.Cleanup(i.stop)
	return i
}

func (i *instance) serve(listener net.Listener) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(i.answer))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	i.mu.Lock()
	i.server = server
	i.mu.Unlock()
}

func (i *instance) answer(w http.ResponseWriter, r *http.Request) {
	i.asked.Add(1)
	select {
	case <-i.gate:
	case <-r.Context().Done():
		return
	}
	if i.failing.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// stop makes the instance refuse connections; stopping it again does nothing.
func (i *instance) stop() {
	i.mu.Lock()
	server := i.server
	i.server = nil
	i.mu.Unlock()
	if server != nil {
		server.CloseClientConnections()
		server.Close()
	}
}

// start brings a stopped instance back on its port.
func (i *instance) start(t *testing.T, within time.Duration) {
	t.Helper()
	address := net.JoinHostPort(i.Address, fmt.Sprint(i.Port))
	deadline, tick := time.After(within), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		listener, err := net.Listen("tcp", address)
		if err == nil {
			i.serve(listener)
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("instance %s cannot have its port again: %v", i.ID, err)
		}
	}
}

// refusingInstance is an instance on whose port nobody listens.
func refusingInstance(t *testing.T, id string) *instance {
	t.Helper()
	i := startInstance(t, id)
	i.stop()
	i.absent = true
	return i
}
