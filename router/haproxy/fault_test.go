package haproxy

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// fault is what a bad line does to an exchange.
type fault int32

const (
	sound    fault = iota
	hangs          // takes the connection and says nothing
	garbage        // answers something else
	endless        // answers something else, and does not stop
	halves         // passes half of the answer on, and closes
	loses          // passes the question on and loses the answer
	drops          // closes before the question
	trickles       // passes everything on, byte by byte
	faults
	waits // passes nothing on until it is told to resume
)

func (f fault) String() string {
	return [...]string{"sound", "hangs", "garbage", "endless", "halves", "loses", "drops", "trickles", "", "waits"}[f]
}

// badLine is a socket in front of another one, with a fault.
type badLine struct {
	path  string
	fault atomic.Int32
	ends  chan struct{}
	// Of waits: reached holds one for each exchange that came, resume lets them go on.
	reached, resume chan struct{}
}

func newBadLine(t testing.TB, target string) *badLine {
	t.Helper()
	b := &badLine{path: target + ".bad", ends: make(chan struct{}),
		reached: make(chan struct{}, 100), resume: make(chan struct{})}
	l, err := net.Listen("unix", b.path)
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
			go b.serve(conn, target, fault(b.fault.Load()))
		}
	}()
	t.Cleanup(func() {
		close(b.ends)
		l.Close()
		<-done
	})
	return b
}

func (b *badLine) serve(conn net.Conn, target string, f fault) {
	defer conn.Close()
	switch f {
	case hangs:
		<-b.ends
		return
	case drops:
		return
	case waits:
		b.reached <- struct{}{}
		select {
		case <-b.resume:
		case <-b.ends:
		}
	case garbage:
		_, _ = io.WriteString(conn, "Pid: 1\n\nHTTP/1.1 200 OK\r\n\r\n1 \x00\xff;del map\n\n") // the other side may be gone
		return
	case endless:
		for {
			if _, err := conn.Write(make([]byte, 64<<10)); err != nil {
				return
			}
		}
	}
	real, err := net.Dial("unix", target)
	if err != nil {
		return
	}
	defer real.Close()
	go func() { _, _ = io.Copy(real, conn) }() // until either side ends
	answer, _ := io.ReadAll(real)
	switch f {
	case halves:
		answer = answer[:len(answer)/2]
	case loses:
		<-b.ends
		return
	case trickles:
		for len(answer) > 1 && len(answer) < 200 {
			if _, err := conn.Write(answer[:1]); err != nil {
				return
			}
			answer = answer[1:]
		}
	}
	_, _ = conn.Write(answer)
}

// TestFaults_AreBoundedAndTold drives a node over lines that fail in every way. Each call ends in time; what says that
// it worked did; what says that it failed may have worked, and a second call finds out.
func TestFaults_AreBoundedAndTold(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	socket, fence := newBadLine(t, filepath.Join(l.dir, "admin.sock")), newBadLine(t, filepath.Join(l.dir, "fence.sock"))
	timeout := 100 * time.Millisecond
	n := l.haproxy.bareNode(t, func(o *Options) { o.Socket, o.Fence, o.Timeout = "unix:"+socket.path, "unix:"+fence.path, timeout })
	rounds := full(150, 3000)
	revision := int64(1)
	outcomes := map[string]int{}
	for i := range rounds {
		f := fault(rand.Int32N(int32(faults)))
		line := socket
		if rand.IntN(2) == 0 {
			line = fence
		}
		line.fault.Store(int32(f))
		route := l.route(revision+1, all(1+int(revision)%2))
		began := time.Now()
		ctx, cancel := context.WithTimeout(l.ctx, 500*time.Millisecond)
		err := n.Apply(ctx, router.Fence{Revision: route.Revision}, route)
		cancel()
		if took := time.Since(began); took > 2*time.Second { // a busy machine; else 0.5 s
			t.Fatalf("%v: Apply took %v", f, took)
		}
		line.fault.Store(int32(sound))
		o := l.observe()
		switch {
		case err == nil && (o.Revision != route.Revision || o.Hash != route.Hash()):
			t.Fatalf("round %d, %v: applied, and the node is at revision %d: %s", i, f, o.Revision, o.Error)
		case o.Revision != route.Revision && o.Revision != revision:
			t.Fatalf("round %d, %v: the node is at revision %d after %d", i, f, o.Revision, revision)
		case err != nil:
			outcomes[f.String()+" fails"]++
			eventually(t, "the same once more, over a sound line", func() bool {
				return n.Apply(l.ctx, router.Fence{Revision: route.Revision}, route) == nil
			})
		default:
			outcomes[f.String()+" works"]++
		}
		revision = route.Revision
	}
	t.Logf("%d rounds: %v", rounds, outcomes)
	if o := l.observe(); o.Revision != revision || o.Error != "" {
		t.Errorf("at the end: revision %d: %s", o.Revision, o.Error)
	}
}

// TestFaults_OfEveryCall has each call meet each fault.
func TestFaults_OfEveryCall(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	socket := newBadLine(t, filepath.Join(l.dir, "admin.sock"))
	n := l.haproxy.bareNode(t, func(o *Options) { o.Socket, o.Timeout = "unix:"+socket.path, 100*time.Millisecond })
	route := l.route(1, all(1))
	for name, call := range map[string]func(context.Context) error{
		"pulse":   func(ctx context.Context) error { _, err := n.Pulse(ctx); return err },
		"observe": func(ctx context.Context) error { _, err := n.Observe(ctx, "shop"); return err },
		"stage": func(ctx context.Context) error {
			return n.Stage(ctx, router.Fence{Revision: 1}, route, l.generation(2))
		},
		"remove":  func(ctx context.Context) error { return n.Remove(ctx, router.Fence{Revision: 1}, "shop", 2) },
		"forget":  func(ctx context.Context) error { return n.Forget(ctx, router.Fence{Revision: 1}, "shop") },
		"count":   func(ctx context.Context) error { _, err := n.InFlight(ctx, "shop", 1); return err },
		"measure": func(ctx context.Context) error { _, err := n.Measure(ctx, "shop", time.Time{}, time.Now()); return err },
		"preview": func(ctx context.Context) error { _, err := n.Preview(ctx, "shop", 1); return err },
	} {
		for f := hangs; f < trickles; f++ {
			socket.fault.Store(int32(f))
			began := time.Now()
			ctx, cancel := context.WithTimeout(l.ctx, 300*time.Millisecond)
			err := call(ctx)
			cancel()
			if took := time.Since(began); err == nil || took > 2*time.Second {
				t.Errorf("%s over a line that %v: %v after %v", name, f, err, took)
			}
		}
	}
	socket.fault.Store(int32(sound))
	if o := l.observe(); o.Revision != 1 || len(o.Staged) != 2 {
		t.Errorf("afterwards: revision %d, staged %v: %s", o.Revision, o.Staged, o.Error)
	}
}

// TestFaults_SayWhatToDo: what is configured wrongly shows with the first look, not at the first rollback, and says how it
// is put right.
func TestFaults_SayWhatToDo(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	runtime, fence := "unix:"+filepath.Join(l.dir, "admin.sock"), "unix:"+filepath.Join(l.dir, "fence.sock")
	other := "unix:" + filepath.Join(newLab(t).dir, "fence.sock")
	for name, c := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"another's fence":  {func(o *Options) { o.Fence = other }, "it is another HAProxy's, or"},
		"no socket there":  {func(o *Options) { o.Socket = "unix:/nonexistent/viridian.sock" }, "HAProxy does not run, or was given another path"},
		"nobody listens":   {func(o *Options) { o.Socket = "tcp:127.0.0.1:1" }, "HAProxy does not run, or does not listen here"},
		"exchanged":        {func(o *Options) { o.Socket, o.Fence = fence, runtime }, "HTTP is spoken at socket: it must be the runtime socket"},
		"no fence there":   {func(o *Options) { o.Fence = "unix:/nonexistent/fence.sock" }, "fence: HAProxy was not reached"},
		"fence is another": {func(o *Options) { o.Fence = runtime }, "this is not the printed frontend viridian-fence"},
	} {
		if o, err := l.haproxy.bareNode(t, c.change).Observe(l.ctx, "shop"); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v (%s), want %q", name, err, o.Error, c.says)
		}
	}
	folder := l.haproxy.bareNode(t, func(o *Options) { o.MapFile = "/nonexistent/viridian.map" })
	if err := folder.Apply(l.ctx, router.Fence{}, l.route(2, all(2))); err == nil || !strings.Contains(err.Error(), "the folder of map_file is not there") {
		t.Errorf("no folder there: %v", err)
	}
	l.serves("2", 200) // the flip needs no disk
	denied := address{network: "unix"}.remedy(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	if !strings.Contains(denied, "must be in the group of this socket") {
		t.Errorf("not permitted: %q", denied)
	}
}

// TestFaults_OfAnotherMapFile warns of a file that HAProxy does not read.
func TestFaults_OfAnotherMapFile(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	for path, warns := range map[string]bool{l.mapPath(): false, filepath.Join(t.TempDir(), mapName): true, filepath.Join(l.dir, "..", filepath.Base(l.dir), mapName): false} {
		said := &output{}
		n := l.haproxy.bareNode(t, func(o *Options) { o.MapFile, o.Logger = path, slog.New(slog.NewTextHandler(said, nil)) })
		for range 2 {
			if _, err := n.Observe(l.ctx, "shop"); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Count(said.String(), "is not the file that this HAProxy reads"); (got == 1) != warns {
			t.Errorf("%s: warned %d times", path, got)
		}
	}
}

// TestFaults_OfAnAbsentNode says so at once.
func TestFaults_OfAnAbsentNode(t *testing.T) {
	t.Parallel()
	n, err := New(Options{Router: "edge", Node: "one", Socket: "unix:/nonexistent/viridian.sock"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Pulse(t.Context()); !errors.Is(err, errNotSent) {
		t.Errorf("pulse: %v", err)
	}
	if o, err := n.Observe(t.Context(), "shop"); err == nil {
		t.Errorf("observed %+v", o)
	}
	if err := n.Apply(t.Context(), router.Fence{}, rollout.Route{Environment: "shop", Revision: 1}); err == nil {
		t.Error("applied to nobody")
	}
}
