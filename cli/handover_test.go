package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"viridian/rollout"
	"viridian/router"
)

// recorder is a router that remembers what it was told.
type recorder struct {
	ownRouter
	calls []any
	open  map[int]int
	err   error
	hang  chan struct{}
}

func (r *recorder) Stage(_ context.Context, f router.Fence, route rollout.Route, g rollout.Generation) error {
	r.calls = append(r.calls, f, route, g)
	return r.err
}

func (r *recorder) Apply(_ context.Context, f router.Fence, route rollout.Route) error {
	r.calls = append(r.calls, f, route)
	if r.hang != nil {
		<-r.hang
	}
	return r.err
}

func (r *recorder) Observe(context.Context, string) (router.Observation, error) {
	return router.Observation{Receipt: rollout.Receipt{Revision: 7, InFlight: r.open}}, r.err
}

// connectTwin makes a router of this process and its predecessor. The predecessor's process is a sleeping one.
func connectTwin(t *testing.T, own, old ownRouter) (*twin, *os.Process) {
	t.Helper()
	p := sleepingPredecessor(t, &Handover{router: old})
	process, err := os.FindProcess(p.pid)
	if err != nil {
		t.Fatal(err)
	}
	return &twin{ownRouter: own, old: p, log: slog.New(slog.DiscardHandler)}, process
}

// sleepingPredecessor answers as h does, for a process that sleeps.
func sleepingPredecessor(t *testing.T, h *Handover) *predecessor {
	t.Helper()
	near, far := net.Pipe()
	server := rpc.NewServer()
	if err := server.RegisterName(handoverService, h); err != nil {
		t.Fatal(err)
	}
	sleeper := exec.Command("sleep", "600")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	go server.ServeCodec(jsonrpc.NewServerCodec(near))
	go func() {
		_ = sleeper.Wait()
		near.Close() // as the kernel does for a process that ends
	}()
	p := newPredecessor(sleeper.Process.Pid, far)
	t.Cleanup(func() {
		_ = sleeper.Process.Kill()
		<-p.conn.ended
		p.close()
	})
	return p
}

var (
	wireRoute = rollout.Route{Environment: "shop", Revision: 8, Weights: rollout.Weights{1: 90, 2: 10}, Live: 1, Previous: 3, SpecVersion: 4,
		Drain: rollout.Duration(30 * time.Second), Services: []rollout.RouteService{{Hosts: []string{"a.example", "b.example"},
			Service: rollout.Service{Name: "web", Hosts: []string{"a.example"}, Protocol: "http", UpstreamTLS: true, Health: rollout.Health{
				Type: rollout.HealthHTTP, Path: "/healthz", ExpectStatus: []rollout.StatusRange{{From: 200, To: 399}, {From: 404, To: 404}},
				Interval: rollout.Duration(time.Second), Timeout: rollout.Duration(time.Millisecond), HealthyAfter: 2, UnhealthyAfter: 3}}}}}
	wireGeneration = rollout.Generation{Environment: "shop", Number: 2, Groups: []rollout.Group{{Service: "web",
		Instances: []rollout.Instance{{ID: "a", Address: "10.0.0.1", Port: 80, Meta: map[string]string{"k": "v"}}}}}}
	wireFence = router.Fence{Term: 3, Revision: 8}
)

// TestTwin_TellsBoth: nothing of a route is lost on the way to the predecessor.
func TestTwin_TellsBoth(t *testing.T) {
	t.Parallel()
	own, old := &recorder{open: map[int]int{1: 2}}, &recorder{open: map[int]int{1: 1, 3: 4}}
	both, _ := connectTwin(t, own, old)
	if err := both.Stage(t.Context(), wireFence, wireRoute, wireGeneration); err != nil {
		t.Fatal(err)
	}
	if err := both.Apply(t.Context(), wireFence, wireRoute); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(own.calls, old.calls); diff != "" || len(own.calls) != 5 {
		t.Errorf("the predecessor was told something else: %s", diff)
	}
	o, err := both.Observe(t.Context(), "shop")
	own.open = nil // it is the receipt's own map
	if diff := cmp.Diff(map[int]int{1: 3, 3: 4}, o.InFlight); diff != "" || err != nil || o.Revision != 7 {
		t.Errorf("observed %+v, %v: %s", o, err, diff)
	}
	old.open = nil
	for range 2 {
		if o, err = both.Observe(t.Context(), "shop"); err != nil {
			t.Error(err)
		}
	}
	if both.old.gone() {
		t.Error("the predecessor was ended")
	}
}

// TestTwin_EndsWhoDoesNotFollow: a predecessor that cannot be moved would serve what was left.
func TestTwin_EndsWhoDoesNotFollow(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	defer close(hang)
	for name, old := range map[string]*recorder{"refuses": {err: errors.New("no")}, "hangs": {hang: hang}} {
		both, _ := connectTwin(t, &recorder{}, old)
		began := time.Now()
		if err := both.Apply(t.Context(), wireFence, wireRoute); err != nil || !both.old.gone() {
			t.Errorf("%s: %v, and is there: %v", name, err, !both.old.gone())
		}
		if took := time.Since(began); took > followTime+10*time.Second {
			t.Errorf("%s: a flip took %v", name, took)
		}
	}
}

// TestTwin_KeepsWhoIsNotToBlame: what this process's own router refuses, the predecessor is not told.
func TestTwin_KeepsWhoIsNotToBlame(t *testing.T) {
	t.Parallel()
	for _, refusal := range []error{router.ErrStale, router.ErrDiverged, router.ErrNotStaged} {
		old := &recorder{}
		both, _ := connectTwin(t, &recorder{err: refusal}, old)
		if err := both.Apply(t.Context(), wireFence, wireRoute); !errors.Is(err, refusal) || len(old.calls) != 0 || both.old.gone() {
			t.Errorf("%v: answered %v, the predecessor was told %v", refusal, err, old.calls)
		}
	}
	old := &recorder{}
	both, _ := connectTwin(t, &recorder{err: errors.New("disk full")}, old)
	if err := both.Apply(t.Context(), wireFence, wireRoute); err == nil || len(old.calls) != 2 {
		t.Errorf("the traffic moved here, and the predecessor was told %v", old.calls)
	}
}

// TestTwin_Alone: a predecessor that is gone by itself is not missed.
func TestTwin_Alone(t *testing.T) {
	t.Parallel()
	both, process := connectTwin(t, &recorder{open: map[int]int{1: 1}}, &recorder{open: map[int]int{1: 1}})
	_ = process.Kill()
	<-both.old.conn.ended
	if err := both.Apply(t.Context(), wireFence, wireRoute); err != nil {
		t.Error(err)
	}
	if o, err := both.Observe(t.Context(), "shop"); err != nil || o.InFlight[1] != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestPredecessor_Leave: one that hangs is ended, since it must not go on beside this process later; one that refuses is
// not.
func TestPredecessor_Leave(t *testing.T) {
	t.Parallel()
	never := make(chan struct{})
	t.Cleanup(func() { close(never) })
	for name, c := range map[string]struct {
		ask   func(step) error
		err   bool
		ended bool
	}{
		"agrees":  {ask: func(step) error { return nil }},
		"refuses": {ask: func(step) error { return errors.New("it comes too late") }, err: true},
		"hangs":   {ask: func(step) error { <-never; return nil }, ended: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := sleepingPredecessor(t, &Handover{ask: c.ask})
			if err := p.leave(slog.New(slog.DiscardHandler)); (err != nil) != c.err || p.gone() != c.ended {
				t.Errorf("%v, and it is gone: %v", err, p.gone())
			}
		})
	}
}

// TestUpgrade_Leave: a process leaves only to one that can still serve. It may have been stopped since that one spoke.
func TestUpgrade_Leave(t *testing.T) {
	t.Parallel()
	now := time.Now()
	gone := make(chan struct{})
	close(gone)
	for name, c := range map[string]struct {
		ended  chan struct{}
		at     time.Time
		leaves bool
	}{
		"in time":  {make(chan struct{}), now, true},
		"too late": {make(chan struct{}), now.Add(1), false},
		"gone":     {gone, now, false},
	} {
		failed := false
		u := upgrade{successor: &successor{ended: c.ended, fail: func() { failed = true }}, sealed: true, until: now}
		next, err := u.leave(c.at)
		if left := next != nil && u.successor == nil; left != c.leaves || (err == nil) != c.leaves || failed == c.leaves {
			t.Errorf("%s: left %v, failed %v, %v", name, left, failed, err)
		}
	}
}
