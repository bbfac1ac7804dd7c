package registrytest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"viridian/registry"
	"viridian/rollout"
)

// Fixture says how to make the registry under test and what may be asked of it.
type Fixture struct {
	// New makes a registry; whatever it starts must end with the test.
	New func(t *testing.T) registry.Registry
	// Within is how soon a report must follow a change of an instance that is asked every 100 ms and is judged by two
	// answers in a row. 0 means 10 s, which leaves room for a busy machine.
	Within time.Duration
	// Prefix begins the names of the environments used, for registries that outlive a test.
	Prefix string
}

// suite is a fixture with its defaults.
type suite struct{ Fixture }

// large is the size of the largest group that is tried.
const large = 300

// Exercise holds a registry against the contract of registry.Registry; every test has a registry of its own.
func Exercise(t *testing.T, fixture Fixture) {
	t.Helper()
	s := suite{fixture}
	if s.Within == 0 {
		s.Within = 10 * time.Second
	}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"RegisterAgain", s.registerAgain},
		{"RegisterWithEndedContext", s.registerWithEndedContext},
		{"DeregisterAgain", s.deregisterAgain},
		{"DeregisterLeavesOthers", s.deregisterLeavesOthers},
		{"AllHealthy", s.allHealthy},
		{"HTTPFailsAndComesBack", s.httpFailsAndComesBack},
		{"TCPDiesAndComesBack", s.tcpDiesAndComesBack},
		{"RefusedFromTheStart", s.refusedFromTheStart},
		{"SeveralServices", s.severalServices},
		{"ReportsWithoutChange", s.reportsWithoutChange},
		{"NoReportBeforeAllWereAsked", s.noReportBeforeAllWereAsked},
		{"WatchEndsWithContext", s.watchEndsWithContext},
		{"WatchWithEndedContext", s.watchWithEndedContext},
		{"TwoWatches", s.twoWatches},
		{"LargeGroup", s.largeGroup},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
}

// announce registers the world until the end of the test.
func (s suite) announce(t *testing.T, reg registry.Registry, w *world) {
	t.Helper()
	if err := reg.Register(t.Context(), w.spec, w.generation); err != nil {
		t.Fatalf("Register: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.Within)
		defer cancel()
		if err := reg.Deregister(ctx, w.spec, w.generation); err != nil {
			t.Errorf("Deregister: %v", err)
		}
	})
}

// begin makes a registry, announces the world and watches it.
func (s suite) begin(t *testing.T, w *world) (registry.Registry, *watcher) {
	t.Helper()
	reg := s.New(t)
	s.announce(t, reg, w)
	return reg, watch(t, reg, w, s.Within)
}

func (s suite) web(environment string, kind rollout.HealthType, instances ...*instance) *world {
	return newWorld(s.Prefix+environment, 1, kind, map[string][]*instance{"web": instances})
}

func (s suite) registerAgain(t *testing.T) {
	w := s.web("register-again", rollout.HealthHTTP, group(t, "web", 2)...)
	reg, watcher := s.begin(t, w)
	watcher.untilHealthy(t, "web", 2)
	for range 3 {
		if err := reg.Register(t.Context(), w.spec, w.generation); err != nil {
			t.Fatalf("Register again: %v", err)
		}
	}
	watch(t, reg, w, s.Within).untilHealthy(t, "web", 2)
}

func (s suite) registerWithEndedContext(t *testing.T) {
	w, reg := s.web("register-ended", rollout.HealthHTTP, group(t, "web", 1)...), s.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reg.Register(ctx, w.spec, w.generation); !errors.Is(err, context.Canceled) {
		t.Errorf("Register answers %v, want the error of its context", err)
	}
	if err := reg.Deregister(ctx, w.spec, w.generation); !errors.Is(err, context.Canceled) {
		t.Errorf("Deregister answers %v, want the error of its context", err)
	}
}

func (s suite) deregisterAgain(t *testing.T) {
	w, reg := s.web("deregister-again", rollout.HealthHTTP, group(t, "web", 2)...), s.New(t)
	if err := reg.Deregister(t.Context(), w.spec, w.generation); err != nil {
		t.Fatalf("Deregister of what was never registered: %v", err)
	}
	s.announce(t, reg, w)
	for range 3 {
		if err := reg.Deregister(t.Context(), w.spec, w.generation); err != nil {
			t.Fatalf("Deregister: %v", err)
		}
	}
	s.announce(t, reg, w)
	watch(t, reg, w, s.Within).untilHealthy(t, "web", 2)
}

func (s suite) deregisterLeavesOthers(t *testing.T) {
	environment := s.Prefix + "deregister-others"
	old := newWorld(environment, 1, rollout.HealthHTTP, map[string][]*instance{"web": group(t, "old", 2)})
	reg, _ := s.begin(t, old)
	young := newWorld(environment, 2, rollout.HealthHTTP, map[string][]*instance{"web": group(t, "young", 3)})
	s.announce(t, reg, young)
	watcher := watch(t, reg, young, s.Within)
	watcher.untilHealthy(t, "web", 3)
	if err := reg.Deregister(t.Context(), old.spec, old.generation); err != nil {
		t.Fatalf("Deregister: %v", err)
	}
	watch(t, reg, young, s.Within).untilHealthy(t, "web", 3)
}

func (s suite) allHealthy(t *testing.T) {
	for _, kind := range []rollout.HealthType{rollout.HealthTCP, rollout.HealthHTTP} {
		_, watcher := s.begin(t, s.web("all-healthy-"+string(kind), kind, group(t, "web", 3)...))
		if r := watcher.untilHealthy(t, "web", 3); r.Detail != "" {
			t.Errorf("%s: all healthy, and yet a detail: %q", kind, r.Detail)
		}
	}
}

func (s suite) httpFailsAndComesBack(t *testing.T) {
	instances := group(t, "web", 3)
	_, watcher := s.begin(t, s.web("http-fails", rollout.HealthHTTP, instances...))
	watcher.untilHealthy(t, "web", 3)
	instances[1].failing.Store(true)
	if r := watcher.untilUnhealthy(t, "web", 1); !strings.Contains(r.Detail, instances[1].ID) {
		t.Errorf("the detail %q does not name %s", r.Detail, instances[1].ID)
	}
	instances[1].failing.Store(false)
	watcher.untilHealthy(t, "web", 3)
}

func (s suite) tcpDiesAndComesBack(t *testing.T) {
	instances := group(t, "web", 2)
	_, watcher := s.begin(t, s.web("tcp-dies", rollout.HealthTCP, instances...))
	watcher.untilHealthy(t, "web", 2)
	instances[0].stop()
	watcher.untilUnhealthy(t, "web", 1)
	instances[0].start(t, s.Within)
	watcher.untilHealthy(t, "web", 2)
}

func (s suite) refusedFromTheStart(t *testing.T) {
	for _, kind := range []rollout.HealthType{rollout.HealthTCP, rollout.HealthHTTP} {
		mixed := append(group(t, "web", 2), refusingInstance(t, "web-refusing"))
		_, watcher := s.begin(t, s.web("refused-"+string(kind), kind, mixed...))
		if r := watcher.untilUnhealthy(t, "web", 1); !strings.Contains(r.Detail, "web-refusing") {
			t.Errorf("%s: the detail %q does not name web-refusing", kind, r.Detail)
		}
		_, watcher = s.begin(t, s.web("all-refused-"+string(kind), kind, refusingInstance(t, "alone")))
		watcher.untilUnhealthy(t, "web", 1)
	}
}

func (s suite) severalServices(t *testing.T) {
	web, api := group(t, "web", 2), group(t, "api", 3)
	_, watcher := s.begin(t, newWorld(s.Prefix+"several-services", 1, rollout.HealthHTTP, map[string][]*instance{"web": web, "api": api}))
	watcher.untilHealthy(t, "web", 2)
	watcher.untilHealthy(t, "api", 3)
	for _, i := range api {
		i.failing.Store(true)
	}
	watcher.untilUnhealthy(t, "api", 3)
	watcher.untilHealthy(t, "web", 2)
}

func (s suite) reportsWithoutChange(t *testing.T) {
	_, watcher := s.begin(t, s.web("without-change", rollout.HealthHTTP, group(t, "web", 1)...))
	watcher.untilHealthy(t, "web", 1)
	before := watcher.reports()
	watcher.until(t, "web", "two more reports of the same", func(rollout.Reading) bool { return watcher.reports() >= before+2 })
}

func (s suite) noReportBeforeAllWereAsked(t *testing.T) {
	gate := make(chan struct{})
	slow := startGated(t, "web-slow", gate)
	_, watcher := s.begin(t, s.web("asked-first", rollout.HealthHTTP, append(group(t, "web", 2), slow)...))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(s.Within)
	defer deadline.Stop()
	quick := watcher.world.instances["web"][0]
	// By the time the quick one was asked several times, a registry that does not wait for the slow one has reported.
	for quick.asked.Load() < 5 || slow.asked.Load() < 1 {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("asked %d times and, the slow one, %d times", quick.asked.Load(), slow.asked.Load())
		}
	}
	if n := watcher.reports(); n > 0 {
		t.Errorf("%d reports came before the first answer of %s", n, slow.ID)
	}
	close(gate)
	watcher.untilHealthy(t, "web", 3)
}

func (s suite) watchEndsWithContext(t *testing.T) {
	_, watcher := s.begin(t, s.web("watch-ends", rollout.HealthHTTP, group(t, "web", 3)...))
	watcher.untilHealthy(t, "web", 3)
	watcher.stop(t)
	// Also in the middle of a question that nobody answers.
	gate := make(chan struct{})
	silent := startGated(t, "silent", gate)
	_, watcher = s.begin(t, s.web("watch-ends-asking", rollout.HealthHTTP, silent))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for silent.asked.Load() == 0 {
		<-tick.C
	}
	watcher.stop(t)
}

func (s suite) watchWithEndedContext(t *testing.T) {
	w, reg := s.web("watch-ended", rollout.HealthHTTP, group(t, "web", 1)...), s.New(t)
	s.announce(t, reg, w)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reg.Watch(ctx, w.spec, w.generation, func(registry.Seen) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("Watch returned %v, want the error of its context", err)
	}
}

func (s suite) twoWatches(t *testing.T) {
	instances := group(t, "web", 2)
	w := s.web("two-watches", rollout.HealthHTTP, instances...)
	reg, first := s.begin(t, w)
	second := watch(t, reg, w, s.Within)
	other := s.web("two-watches-other", rollout.HealthHTTP, group(t, "other", 1)...)
	s.announce(t, reg, other)
	third := watch(t, reg, other, s.Within)
	first.untilHealthy(t, "web", 2)
	second.untilHealthy(t, "web", 2)
	third.untilHealthy(t, "web", 1)
	first.stop(t)
	instances[0].failing.Store(true)
	second.untilUnhealthy(t, "web", 1)
	third.untilHealthy(t, "web", 1)
}

func (s suite) largeGroup(t *testing.T) {
	var instances []*instance
	for n := range large {
		instances = append(instances, startInstance(t, fmt.Sprintf("web-%03d", n)))
	}
	w := s.web("large-group", rollout.HealthHTTP, instances...)
	// Room for a shared machine: 300 instances ten times a second are 3,000 requests a second.
	w.spec.Services[0].Health.Interval = rollout.Duration(time.Second)
	reg := s.New(t)
	s.announce(t, reg, w)
	watcher := watch(t, reg, w, 3*s.Within)
	watcher.untilHealthy(t, "web", large)
	for _, i := range instances[:large/3] {
		i.failing.Store(true)
	}
	watcher.untilUnhealthy(t, "web", large/3)
	for _, i := range instances[:large/3] {
		i.failing.Store(false)
	}
	watcher.untilHealthy(t, "web", large)
}
