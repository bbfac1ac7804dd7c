package static_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
	"go.uber.org/goleak"

	"viridian/registry"
	"viridian/registry/registrytest"
	"viridian/registry/static"
	"viridian/rollout"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRegistry_Conforms(t *testing.T) {
	t.Parallel()
	registrytest.Exercise(t, registrytest.Fixture{
		New: func(*testing.T) registry.Registry { return static.New(static.Options{}) },
	})
}

func spec(timeout time.Duration) rollout.Spec {
	return rollout.Spec{Services: []rollout.Service{{Name: "web", Health: rollout.Health{
		Type: rollout.HealthTCP, Interval: rollout.Duration(200 * time.Millisecond), Timeout: rollout.Duration(timeout),
		HealthyAfter: 1, UnhealthyAfter: 1,
	}}}}
}

func generation(instances ...rollout.Instance) rollout.Generation {
	return rollout.Generation{
		Environment: "shop", Number: 7, Groups: []rollout.Group{{Service: "web", Instances: instances}},
		Sizes: map[string]int{"web": len(instances)},
	}
}

// listen accepts connections, and closes them, until the test ends.
func listen(t *testing.T) (port int) {
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
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	address, _ := listener.Addr().(*net.TCPAddr)
	return address.Port
}

// start watches in the background and returns the reports; the watch ends with the test.
func start(t *testing.T, reg registry.Registry, spec rollout.Spec, generation rollout.Generation) <-chan rollout.Reading {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	reports, done := make(chan rollout.Reading, 1000), make(chan error, 1)
	go func() {
		done <- reg.Watch(ctx, spec, generation, func(seen registry.Seen) { reports <- seen.Readings[0] })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch returned %v", err)
		}
	})
	return reports
}

func next(t *testing.T, reports <-chan rollout.Reading) rollout.Reading {
	t.Helper()
	select {
	case r := <-reports:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was reported")
		return rollout.Reading{}
	}
}

func TestWatch_DetailIsOfTheFirstUnhealthyByID(t *testing.T) {
	t.Parallel()
	up := listen(t)
	reports := start(t, static.New(static.Options{}), spec(5*time.Second), generation(
		rollout.Instance{ID: "web-3", Address: "127.0.0.1", Port: 1}, rollout.Instance{ID: "web-2", Address: "::1", Port: 1},
		rollout.Instance{ID: "web-1", Address: "127.0.0.1", Port: up}))
	got := next(t, reports)
	if got.Healthy != 1 || got.Unhealthy != 2 || got.Total != 3 || got.Generation != 7 || got.Service != "web" {
		t.Fatalf("%+v", got)
	}
	// A host without IPv6 says so instead of refusing.
	if want := "web-2 [::1]:1: "; len(got.Detail) <= len(want) || got.Detail[:len(want)] != want {
		t.Fatalf("detail %q, want it to begin with %q", got.Detail, want)
	}
}

func TestWatch_ReportsEveryTwoSecondsWithoutChange(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	reports := start(t, static.New(static.Options{Clock: clock}), spec(5*time.Second),
		generation(rollout.Instance{ID: "a", Address: "127.0.0.1", Port: listen(t)}))
	next(t, reports)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := clock.BlockUntilContext(ctx, 2); err != nil { // the pauses of the probe and of the reports
			t.Fatal(err)
		}
		cancel()
		clock.Advance(2 * time.Second)
		if got := next(t, reports); got.Healthy != 1 {
			t.Fatalf("%+v", got)
		}
	}
}

func TestWatch_ReportsAChangeAtOnce(t *testing.T) {
	t.Parallel()
	clock := clockwork.NewFakeClock()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	address, _ := listener.Addr().(*net.TCPAddr)
	reports := start(t, static.New(static.Options{Clock: clock}), spec(5*time.Second),
		generation(rollout.Instance{ID: "a", Address: "127.0.0.1", Port: address.Port}))
	if got := next(t, reports); got.Healthy != 1 {
		t.Fatalf("%+v", got)
	}
	_ = listener.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := clock.BlockUntilContext(ctx, 2); err != nil {
		t.Fatal(err)
	}
	clock.Advance(230 * time.Millisecond) // the interval with its jitter
	// The answer comes in real time; until then the clock goes on, but not as far as the next report without change.
	for range 60 {
		select {
		case got := <-reports:
			if got.Healthy == 1 {
				continue // it was under way
			}
			if got.Unhealthy != 1 || got.Detail != fmt.Sprintf("a 127.0.0.1:%d: connection refused", address.Port) {
				t.Fatalf("%+v", got)
			}
			return
		case <-time.After(50 * time.Millisecond):
			clock.Advance(20 * time.Millisecond)
		}
	}
	t.Fatal("the change was not reported")
}

func TestWatch_TwoThousandInstances(t *testing.T) {
	t.Parallel()
	const size = 2000
	port := listen(t)
	var instances []rollout.Instance
	for n := range size {
		instances = append(instances, rollout.Instance{ID: fmt.Sprintf("web-%04d", n), Address: "127.0.0.1", Port: port})
	}
	spec := spec(30 * time.Second)
	spec.Services[0].Health.Interval = rollout.Duration(5 * time.Second)
	spec.Services[0].Health.HealthyAfter, spec.Services[0].Health.UnhealthyAfter = 2, 100
	reports := start(t, static.New(static.Options{}), spec, generation(instances...))
	count := 1
	for got := next(t, reports); got.Healthy < size; got = next(t, reports) {
		if got.Total != size || got.Unhealthy > 0 {
			t.Fatalf("%+v", got)
		}
		count++
	}
	if count > size/4 {
		t.Errorf("%d reports of %d changes that came together", count, size)
	}
}

func TestWatch_BoundsOpenQuestions(t *testing.T) {
	t.Parallel()
	// Instances that accept and never answer keep every question open.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open, most atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			most.Store(max(most.Load(), open.Add(1)))
			go func() {
				defer conn.Close()
				buffer := make([]byte, 1024)
				for {
					if _, err := conn.Read(buffer); err != nil {
						open.Add(-1)
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-ended })
	address, _ := listener.Addr().(*net.TCPAddr)
	var instances []rollout.Instance
	for n := range 200 {
		instances = append(instances, rollout.Instance{ID: fmt.Sprintf("web-%03d", n), Address: "127.0.0.1", Port: address.Port})
	}
	spec := spec(400 * time.Millisecond)
	spec.Services[0].Health.Type, spec.Services[0].Health.Path = rollout.HealthHTTP, "/"
	got := next(t, start(t, static.New(static.Options{}), spec, generation(instances...)))
	if got.Unhealthy != 200 || got.Total != 200 {
		t.Errorf("%+v", got)
	}
	// A connection given up counts until the server has noticed, so the bound is not exact from here.
	if n := most.Load(); n < 2 || n > 150 {
		t.Errorf("%d questions were open at once, want about 64", n)
	}
}

func TestRegistry_RefusesWhatCannotBeAsked(t *testing.T) {
	t.Parallel()
	good := rollout.Instance{ID: "a", Address: "127.0.0.1", Port: 80}
	noGroups, otherService, noNumber := generation(good), generation(good), generation(good)
	noGroups.Groups = nil
	otherService.Groups = []rollout.Group{{Service: "api", Instances: []rollout.Instance{good}}}
	noNumber.Number = 0
	noInterval := spec(time.Second)
	noInterval.Services[0].Health.Interval = 0
	for name, c := range map[string]struct {
		spec       rollout.Spec
		generation rollout.Generation
	}{
		"groups not loaded": {spec(time.Second), noGroups},
		"empty group":       {spec(time.Second), generation()},
		"other service":     {spec(time.Second), otherService},
		"no number":         {spec(time.Second), noNumber},
		"no id":             {spec(time.Second), generation(rollout.Instance{Address: "127.0.0.1", Port: 80})},
		"no address":        {spec(time.Second), generation(rollout.Instance{ID: "a", Port: 80})},
		"port 0":            {spec(time.Second), generation(rollout.Instance{ID: "a", Address: "127.0.0.1"})},
		"port 70000":        {spec(time.Second), generation(rollout.Instance{ID: "a", Address: "127.0.0.1", Port: 70000})},
		"no interval":       {noInterval, generation(good)},
	} {
		reg := static.New(static.Options{})
		if err := reg.Register(t.Context(), c.spec, c.generation); err == nil {
			t.Errorf("%s: Register accepts it", name)
		}
		err := reg.Watch(t.Context(), c.spec, c.generation, func(seen registry.Seen) { t.Errorf("%s: reported %+v", name, seen) })
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: Watch returned %v", name, err)
		}
	}
}
