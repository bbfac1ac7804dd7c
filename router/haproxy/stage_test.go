package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// httpHealth makes the shop's health question one that the backend can fail.
func httpHealth(h *haproxy, c *Config) {
	svc := &c.Environments[0].Spec.Services[0]
	svc.Health.Type, svc.Health.Path, svc.Health.HealthyAfter = rollout.HealthHTTP, "/healthz", 2
	svc.Health.ExpectStatus = []rollout.StatusRange{{From: 200, To: 299}}
}

// moody is an instance that answers its health question as it is told.
func moody(t testing.TB) (rollout.Instance, *atomic.Int32) {
	t.Helper()
	status := new(atomic.Int32)
	status.Store(http.StatusServiceUnavailable)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	t.Cleanup(s.Close)
	a := netip.MustParseAddrPort(s.Listener.Addr().String())
	return rollout.Instance{ID: "web-1", Address: a.Addr().String(), Port: int(a.Port())}, status
}

// TestStage_WaitsForChecks: nothing that was not checked serves, whatever the slot held before, and Stage returns when
// it can.
func TestStage_WaitsForChecks(t *testing.T) {
	t.Parallel()
	l := newLab(t, httpHealth)
	l.spec.Services[0].Service = l.Environments[0].Spec.Services[0]
	first, status := moody(t)
	status.Store(http.StatusOK)
	if err := l.tryStage(0, at(1, first)); err != nil { // leaves a slot behind whose last check passed
		t.Fatal(err)
	}
	l.remove(0, 1)
	second, status := moody(t)
	ended := make(chan error, 1)
	// The other slots are older: take them, so that the used one is next.
	for n := 2; n <= 4; n++ {
		if err := l.tryStage(0, at(n, first)); err != nil {
			t.Fatal(err)
		}
	}
	go func() { ended <- l.tryStage(0, at(5, second)) }()
	looks := 0
	for end := time.Now().Add(600 * time.Millisecond); time.Now().Before(end); looks++ {
		v, err := l.look(l.ctx, "shop")
		if err != nil {
			t.Fatal(err)
		}
		if srv := v.servers[backendName("shop", "web", 1)][0]; srv.ready() && srv.up {
			t.Fatalf("a server that never passed its check takes requests: %v", srv.fields)
		}
		select {
		case err := <-ended:
			t.Fatalf("Stage ended before its instance was checked: %v", err)
		default:
		}
	}
	if err := l.tryApply(1, all(5)); !errors.Is(err, router.ErrNotStaged) {
		t.Errorf("a generation that is being checked gets weight: %v", err)
	}
	status.Store(http.StatusOK)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	l.apply(1, all(5))
	l.serves("", http.StatusOK)
	t.Logf("looked %d times", looks)
}

// TestStage_OfTheUnhealthy ends after the time that a healthy instance needs. What is down then goes up by itself.
func TestStage_OfTheUnhealthy(t *testing.T) {
	t.Parallel()
	l := newLab(t, httpHealth)
	l.spec.Services[0].Service = l.Environments[0].Spec.Services[0]
	good, well := moody(t)
	bad, ill := moody(t)
	well.Store(http.StatusOK)
	ctx, cancel := context.WithTimeout(l.ctx, 500*time.Millisecond)
	defer cancel()
	fence, route := router.Fence{}, l.route(0, nil)
	if err := l.Stage(ctx, fence, route, at(1, good, bad)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 of 2 instances are not up yet") {
		t.Errorf("out of time: %v", err)
	}
	if err := l.Stage(deadlineOnly{l.ctx, time.Now().Add(500 * time.Millisecond)}, fence, route, at(1, good, bad)); !errors.Is(err, context.DeadlineExceeded) ||
		!strings.Contains(err.Error(), "1 of 2 instances are not up yet") {
		t.Errorf("out of time, as a connection was the first to know: %v", err)
	}
	if o := l.observe(); len(o.Staged) > 0 {
		t.Errorf("staged %v, want none yet", o.Staged)
	}
	if err := l.Stage(l.ctx, fence, route, at(1, good, bad)); err != nil { // goes on where the first was
		t.Fatal(err)
	}
	l.apply(1, all(1))
	for range 20 {
		l.serves("", http.StatusOK)
	}
	ill.Store(http.StatusOK)
	eventually(t, "the other instance goes up", func() bool {
		v, err := l.look(l.ctx, "shop")
		up, _ := v.up("shop", 1, placement{services: map[string][]netip.AddrPort{"web": {addrPort(good), addrPort(bad)}}})
		return err == nil && up == 2
	})
}

// deadlineOnly is a context whose time is over, and that was not ended yet.
type deadlineOnly struct {
	context.Context
	at time.Time
}

func (d deadlineOnly) Deadline() (time.Time, bool) { return d.at, true }

func addrPort(in rollout.Instance) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(in.Address), uint16(in.Port))
}

// TestStage_Refuses names what is wrong and what helps.
func TestStage_Refuses(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(_ *haproxy, c *Config) { c.Servers = 2 })
	in := l.generation(1).Groups[0].Instances[0]
	other := shop()
	other.Environment = "blog"
	wanting := shop()
	wanting.Services = append(wanting.Services, rollout.RouteService{Service: rollout.Service{Name: "api"}, Hosts: []string{"api.localhost"}})
	asking := shop()
	asking.Services[0].Health.Interval = rollout.Duration(time.Minute)
	hosted := in
	hosted.Address = "instance.example.com"
	zoned := in
	zoned.Address = "fe80::1%eth0"
	api := at(1, in)
	api.Groups = append(api.Groups, rollout.Group{Service: "api", Instances: []rollout.Instance{in}})
	for name, c := range map[string]struct {
		route rollout.Route
		g     rollout.Generation
		says  string
	}{
		"too many instances":      {shop(), at(1, in, in, in), "--servers 3"},
		"a host name":             {shop(), at(1, hosted), "IP address"},
		"an address with a zone":  {shop(), at(1, zoned), "IP address"},
		"an unknown environment":  {other, at(1, in), "haproxy-config"},
		"an unknown service":      {wanting, api, "haproxy-config"},
		"another health question": {asking, at(1, in), "another health question"},
		"no instances":            {shop(), at(1), "no instances"},
		"no groups":               {shop(), rollout.Generation{Number: 1}, "no groups"},
	} {
		if err := l.Stage(l.ctx, router.Fence{}, c.route, c.g); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	if o := l.observe(); len(o.Staged) > 0 || l.entryText() != "" {
		t.Errorf("something was staged: %q", l.entryText())
	}
}

// TestStage_WaitsForASlot: a generation that finds no slot free is told so, and one that was emptied just now rests.
func TestStage_WaitsForASlot(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(h *haproxy, _ *Config) { h.rest = 2 * time.Second })
	l.stage(0, 1, 2, 3, 4)
	l.apply(1, all(1))
	if err := l.tryStage(1, l.generation(5)); !errors.Is(err, router.ErrNoSlot) || !strings.Contains(err.Error(), "all 4 slots are taken") {
		t.Errorf("a fifth generation: %v", err)
	}
	began := time.Now()
	l.remove(1, 3)
	if err := l.tryStage(1, l.generation(5)); !errors.Is(err, router.ErrNoSlot) || !strings.Contains(err.Error(), "emptied just now") {
		t.Errorf("right after a removal: %v", err)
	}
	eventually(t, "the slot is given away", func() bool { return l.tryStage(1, l.generation(5)) == nil })
	if took := time.Since(began); took < time.Second {
		t.Errorf("the slot was given away after %v", took)
	}
	if o := l.observe(); fmt.Sprint(o.Staged) != "[1 2 4 5]" {
		t.Errorf("staged %v", o.Staged)
	}
}

// TestStage_KeepsSlotsInOrder: a generation that is staged again, by any process, stays where it is.
func TestStage_KeepsSlotsInOrder(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	before := l.entryText()
	other := l.haproxy.bareNode(t)
	for _, n := range []*Node{l.Node, other} {
		for _, number := range []int{2, 1} {
			if err := n.Stage(l.ctx, router.Fence{}, l.route(0, nil), l.generation(number)); !errors.Is(err, router.ErrStale) {
				t.Errorf("a stale writer: %v", err)
			}
			if err := n.Stage(l.ctx, router.Fence{Revision: 1}, l.route(1, all(1)), l.generation(number)); err != nil {
				t.Fatal(err)
			}
		}
	}
	e, err := parseEntry(l.entryText())
	was, err2 := parseEntry(before)
	if err != nil || err2 != nil || e.durable() != was.durable() {
		t.Errorf("the entry went from %s to %s", before, l.entryText())
	}
}

// TestStage_IPv6 takes an address of the other family, and a restart brings it back.
func TestStage_IPv6(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	in := l.generation(1).Groups[0].Instances[0]
	in.Address = "::ffff:127.0.0.1" // the same instance, written as IPv6 writes it
	six := rollout.Instance{ID: "web-2", Address: "::1", Port: 9}
	if err := l.tryStage(0, at(1, in, six)); err != nil {
		t.Fatal(err)
	}
	l.apply(1, all(1))
	l.serves("1", http.StatusOK)
	l.kill()
	l.boot()
	l.serves("1", http.StatusOK)
	if o := l.observe(); o.Error != "" || fmt.Sprint(o.Staged) != "[1]" {
		t.Errorf("after a restart: staged %v, %s", o.Staged, o.Error)
	}
}

// TestStage_LosesItsSlot: a staging whose generation is removed meanwhile, and whose slot goes to another one, ends
// without touching that one.
func TestStage_LosesItsSlot(t *testing.T) {
	t.Parallel()
	l := newLab(t, httpHealth)
	l.spec.Services[0].Service = l.Environments[0].Spec.Services[0]
	sick, _ := moody(t)
	well, status := moody(t)
	status.Store(http.StatusOK)
	ended := make(chan error, 1)
	go func() { ended <- l.tryStage(0, at(1, sick)) }()
	eventually(t, "the slot is taken", func() bool {
		return strings.Contains(l.entryText(), ",1:1:f:") || strings.Contains(l.entryText(), "|1:1:f:")
	})
	other := l.haproxy.bareNode(t)
	if err := other.Remove(l.ctx, router.Fence{Term: 2}, "shop", 1); err != nil {
		t.Fatal(err)
	}
	for n := 2; n <= 5; n++ { // one of them gets the slot
		if err := other.Stage(l.ctx, router.Fence{Term: 2}, l.route(0, nil), at(n, well)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-ended; !errors.Is(err, router.ErrStale) {
		t.Errorf("the staging that lost its slot: %v", err)
	}
	if o := l.observe(); fmt.Sprint(o.Staged) != "[2 3 4 5]" || o.Error != "" {
		t.Errorf("staged %v: %s", o.Staged, o.Error)
	}
	l.apply(1, all(5))
	l.serves("", http.StatusOK)
}

// TestStage_MendsAtOnce: what a hand moved and a check then found down serves again as soon as it is back, since it was
// checked before, and there is nobody else.
func TestStage_MendsAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, func(h *haproxy, c *Config) {
		httpHealth(h, c)
		c.Environments[0].Spec.Services[0].Health.HealthyAfter = 30 // 3 s
	})
	l.spec.Services[0].Service = l.Environments[0].Spec.Services[0]
	p := newPatient(t, 1, true)
	if err := l.tryStage(0, at(1, p.Instance)); err != nil {
		t.Fatal(err)
	}
	l.apply(1, all(1))
	l.say("set server viridian.shop.web.1/s1 addr 127.0.0.1 port 9")
	eventually(t, "it is down", func() bool { s, _ := l.haproxy.ask(shopHost, "/"); return s == 503 })
	if err := l.Stage(l.ctx, router.Fence{Revision: 1}, l.route(1, all(1)), at(1, p.Instance)); err != nil {
		t.Fatal(err)
	}
	l.serves("1", http.StatusOK)
}
