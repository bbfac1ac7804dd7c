package haproxy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, unfenced := range map[string]bool{"fenced": false, "read back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			routertest.Exercise(t, func(t testing.TB, routes []rollout.Route) routertest.Fixture {
				h := startHAProxy(t, Config{Environments: environmentsOf(routes)}, func(h *haproxy) { h.unfenced = unfenced })
				return routertest.Fixture{Router: h.node(t), Address: h.listen, Restart: func() router.Router {
					h.kill()
					h.boot()
					return h.node(t)
				}, Undurable: func() router.Router {
					return h.bareNode(t, func(o *Options) { o.Failpoints = noDisk(t) })
				}}
			})
		})
	}
}

// noDisk fails whatever is to be written for a restart.
func noDisk(t testing.TB) *failpoint.Set {
	t.Helper()
	set, err := failpoint.New(string(failpoint.StateFileTemp) + "=error")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// environmentsOf are the environments of routes, as far as the configuration shows them.
func environmentsOf(routes []rollout.Route) []Environment {
	var out []Environment
	for _, route := range routes {
		e := Environment{Name: route.Environment, Spec: rollout.Spec{Retention: rollout.Retention{KeepGenerations: 1},
			Networks: rollout.Networks{PreviewAllow: []string{"127.0.0.0/8", "::1/128"}}}}
		for _, svc := range route.Services {
			svc.Service.Hosts = svc.Hosts
			e.Spec.Services = append(e.Spec.Services, svc.Service)
		}
		out = append(out, e)
	}
	return out
}

// haproxy is a real one at work, on the configuration that --init prints.
type haproxy struct {
	testing.TB
	Config
	path, dir, listen string
	file              string // the printed configuration
	masterWorker      bool
	unfenced          bool
	rest              time.Duration
	failpoints        *failpoint.Set
	process           *exec.Cmd
	output            *output
}

// output is what a process says, for when a test fails.
type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.String()
}

// startHAProxy prints the configuration into a folder of its own and starts HAProxy on it, until the end of the test.
func startHAProxy(t testing.TB, c Config, options ...func(*haproxy)) *haproxy {
	t.Helper()
	dir, err := os.MkdirTemp("", "vir-hap") // sockets need a short path
	if err != nil {
		t.Fatal(err)
	}
	h := &haproxy{TB: t, path: routertest.HAProxy(t), dir: dir, listen: freeAddress(t), file: filepath.Join(dir, "haproxy.cfg"),
		Config: c, rest: time.Nanosecond, output: &output{}}
	for _, change := range options {
		change(h)
	}
	h.Folder, h.Socket, h.Fence, h.Init, h.Listen = dir, filepath.Join(dir, "admin.sock"), filepath.Join(dir, "fence.sock"), true, h.listen
	h.NoFence = h.unfenced
	h.print()
	if err := os.WriteFile(filepath.Join(dir, mapName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.kill()
		if t.Failed() {
			t.Logf("HAProxy said:\n%s", h.output)
		}
		_ = os.RemoveAll(dir)
	})
	h.boot()
	return h
}

// print writes the configuration, to be in force after the next start.
func (h *haproxy) print() {
	h.Helper()
	var text bytes.Buffer
	if err := Fragment(&text, h.Config); err != nil {
		h.Fatal(err)
	}
	if err := os.WriteFile(h.file, text.Bytes(), 0o600); err != nil {
		h.Fatal(err)
	}
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// boot starts HAProxy and waits until its runtime socket answers.
func (h *haproxy) boot() {
	h.Helper()
	mode := "-db"
	if h.masterWorker {
		mode = "-W"
	}
	h.process = exec.Command(h.path, mode, "-f", h.file)
	h.process.Stdout, h.process.Stderr = h.output, h.output
	h.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a master and its workers end together
	if err := h.process.Start(); err != nil {
		h.Fatal(err)
	}
	n := h.bareNode(h)
	eventually(h, "HAProxy answers", func() bool {
		_, err := n.Pulse(context.Background())
		return err == nil
	})
}

// kill ends HAProxy at once.
func (h *haproxy) kill() {
	if h.process != nil {
		_ = syscall.Kill(-h.process.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = h.process.Wait()                                      // by the signal
		h.process = nil
	}
}

// bareNode is a driver that nothing runs.
func (h *haproxy) bareNode(t testing.TB, change ...func(*Options)) *Node {
	t.Helper()
	o := Options{Router: "edge", Node: "one", Socket: "unix:" + h.dir + "/admin.sock", Fence: "unix:" + h.dir + "/fence.sock",
		MapFile: filepath.Join(h.dir, mapName), SlotRest: h.rest, Failpoints: h.failpoints, Logger: testLogger(t), Timeout: 5 * time.Second}
	if h.unfenced {
		o.Fence = ""
	}
	for _, c := range change {
		c(&o)
	}
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

// node is a driver at work.
func (h *haproxy) node(t testing.TB, change ...func(*Options)) *Node {
	t.Helper()
	n := h.bareNode(t, change...)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	return n
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(30 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
		<-tick.C
	}
}
