package haproxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

// patient is an instance that serves whatever it says to its health question.
type patient struct {
	rollout.Instance
	*httptest.Server
	number int
	well   atomic.Bool
	asked  atomic.Int64 // requests that are no health question
}

func newPatient(t testing.TB, number int, well bool) *patient {
	t.Helper()
	p := &patient{number: number}
	p.well.Store(well)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(routertest.GenerationHeader, strconv.Itoa(number))
		if r.URL.Path != "/healthz" {
			p.asked.Add(1)
		} else if !p.well.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(p.Close)
	a := netip.MustParseAddrPort(p.Listener.Addr().String())
	p.Instance = rollout.Instance{ID: fmt.Sprintf("web-%d", number), Address: a.Addr().String(), Port: int(a.Port())}
	return p
}

// newCrewLab is a lab whose health question an instance can fail.
func newCrewLab(t testing.TB, options ...func(*haproxy, *Config)) *lab {
	t.Helper()
	l := newLab(t, append([]func(*haproxy, *Config){httpHealth}, options...)...)
	l.spec.Services[0].Service = l.Environments[0].Spec.Services[0]
	return l
}

// crew is generation number with these members, as they were recorded at that time.
func crew(number, at int, members ...*patient) rollout.Generation {
	g := rollout.Generation{Environment: "shop", Number: number, MembersAt: time.UnixMicro(int64(1e15 + at)), Groups: []rollout.Group{{Service: "web"}}}
	for _, p := range members {
		g.Groups[0].Instances = append(g.Groups[0].Instances, p.Instance)
	}
	return g
}

// change stages members at the revision that serves.
func (l *lab) change(ctx context.Context, n *Node, route rollout.Route, g rollout.Generation) error {
	return n.Stage(ctx, router.Fence{Revision: route.Revision}, route, g)
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// servers are those of the slot.
func (l *lab) servers(slot int) []server {
	l.Helper()
	v, err := l.look(l.ctx, "shop")
	l.must(err)
	return v.servers[backendName("shop", "web", slot)]
}

// places are the ports of the slot's servers that are in use, "-" for one that is not.
func (l *lab) places(slot int) string {
	l.Helper()
	var out []string
	for _, srv := range l.servers(slot) {
		if srv.idle() {
			out = append(out, "-")
		} else {
			out = append(out, strconv.Itoa(srv.port))
		}
	}
	return strings.TrimRight(strings.Join(out, " "), " -")
}

func ports(members ...*patient) string {
	var out []string
	for _, p := range members {
		if p == nil {
			out = append(out, "-")
		} else {
			out = append(out, strconv.Itoa(p.Port))
		}
	}
	return strings.Join(out, " ")
}

// well checks that the node is as it should be, with nothing changed by hand.
func (l *lab) well(revision int64, weights rollout.Weights, staged ...int) {
	l.Helper()
	o := l.observe()
	if o.Error != "" || len(o.Edits) > 0 || o.Revision != revision || o.Hash != l.route(revision, weights).Hash() || !slices.Equal(o.Staged, staged) {
		l.Errorf("revision %d with %v, staged %v, edits %v: %s", o.Revision, o.Weights, o.Staged, o.Edits, o.Error)
	}
}

// TestMembers_KeepTheirServers: nothing is told to the server of who stays, wherever in the list it is, and who joins is
// given one that is free. Any process does the same.
func TestMembers_KeepTheirServers(t *testing.T) {
	t.Parallel()
	l := newCrewLab(t)
	a, b, c, d, e := newPatient(t, 1, true), newPatient(t, 2, true), newPatient(t, 3, true), newPatient(t, 4, true), newPatient(t, 5, true)
	l.must(l.tryStage(0, crew(1, 1, a, b, c)))
	l.apply(1, all(1))
	route := l.route(1, all(1))
	fields := func(i int) string { // but for those that time and checks change
		f := slices.Clone(l.servers(1)[i].fields)
		f[fieldSince], f[fieldSince+1], f[fieldCheck], f[fieldCheck-2] = "", "", "", ""
		return strings.Join(f[:fieldCheck], " ")
	}
	first, third := fields(0), fields(2)
	for i, step := range []struct {
		g    rollout.Generation
		want string
	}{
		{crew(1, 2, a, d, c), ports(a, nil, c, d)},
		{crew(1, 3, c, a), ports(a, nil, c)},
		{crew(1, 4, e, b, c, a), ports(a, e, c, b)},
		{crew(1, 5, a, c), ports(a, nil, c)},
	} {
		n := []*Node{l.Node, l.haproxy.bareNode(t)}[i%2]
		l.must(l.change(l.ctx, n, route, step.g))
		if got := l.places(1); got != step.want {
			t.Errorf("step %d: the servers are at %s, want %s", i, got, step.want)
		}
		for _, again := range []*Node{l.Node, l.haproxy.bareNode(t)} {
			before := l.entryText()
			l.must(l.change(l.ctx, again, route, step.g))
			if now := l.entryText(); now != before {
				t.Errorf("step %d: the entry went from %s to %s", i, before, now)
			}
		}
		l.well(1, all(1), 1)
	}
	if fields(0) != first || fields(2) != third {
		t.Errorf("the servers of those that stay went from\n%s\n%s\nto\n%s\n%s", first, third, fields(0), fields(2))
	}
	l.say("set server viridian.shop.web.1/s3 addr 127.0.0.9 port 9") // by a hand: found, and put right where it was
	if o := l.observe(); len(o.Edits) != 1 || !strings.Contains(o.Edits[0], "s3 is at 127.0.0.9:9") {
		t.Errorf("edits %v", o.Edits)
	}
	l.must(l.change(l.ctx, l.haproxy.bareNode(t), route, crew(1, 5, a, c)))
	if got := l.places(1); got != ports(a, nil, c) {
		t.Errorf("the servers are at %s", got)
	}
	if o := l.observe(); o.Error != "" || len(o.Staged) != 1 {
		t.Errorf("staged %v: %s", o.Staged, o.Error)
	}
	l.emptied(t)
}

// emptied takes generation 1 out and finds its slot empty.
func (l *lab) emptied(t *testing.T) {
	t.Helper()
	l.apply(2, nil)
	l.remove(2, 1)
	if got := l.places(1); got != "" {
		t.Errorf("after the removal the servers are at %s", got)
	}
}

// TestMembers_ServeOnceChecked: who joins gets no request before its checks have passed, as long as another one is up.
// Meanwhile the node is as it should be, flips go on, and a restart finds who stays.
func TestMembers_ServeOnceChecked(t *testing.T) {
	t.Parallel()
	l := newCrewLab(t)
	a, b, sick, other := newPatient(t, 1, true), newPatient(t, 2, true), newPatient(t, 3, false), newPatient(t, 9, true)
	l.must(l.tryStage(0, crew(1, 1, a, b)))
	l.must(l.tryStage(0, crew(2, 1, other)))
	l.apply(1, all(1))
	ctx, cancel := context.WithTimeout(l.ctx, 700*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- l.change(ctx, l.Node, l.route(1, all(1)), crew(1, 2, sick, a)) }()
	eventually(t, "the change is under way", func() bool { return l.places(1) == ports(a, nil, sick) })
	for range 20 {
		l.serves("1", 200)
	}
	l.well(1, all(1), 1, 2)
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 of 2 instances are not up yet") {
		t.Errorf("out of time: %v", err)
	}
	l.well(1, all(1), 1, 2)
	l.apply(2, all(2))
	l.serves("9", 200)
	l.apply(3, all(1)) // a rollback to what is being changed
	for range 20 {
		l.serves("1", 200)
	}
	l.well(3, all(1), 1, 2)
	l.kill()
	l.boot()
	l.well(3, all(1), 1, 2)
	eventually(t, "who stays is up", func() bool { s, _ := l.haproxy.ask(shopHost, "/"); return s == 200 })
	if err := l.haproxy.bareNode(t).Stage(l.ctx, router.Fence{Revision: 3}, l.route(3, all(1)), crew(1, 1, a, b)); !errors.Is(err, router.ErrStale) {
		t.Errorf("earlier members, after a restart in the middle of a change: %v", err)
	}
	sick.well.Store(true)
	l.must(l.change(l.ctx, l.haproxy.bareNode(t), l.route(3, all(1)), crew(1, 2, sick, a)))
	eventually(t, "both serve", func() bool { l.haproxy.ask(shopHost, "/"); return sick.asked.Load() > 0 })
	l.well(3, all(1), 1, 2)
}

// TestMembers_NobodyElse: where nobody who stays is up, those that join serve at once: under weight, and when weight comes
// before their checks are over.
func TestMembers_NobodyElse(t *testing.T) {
	t.Parallel()
	l := newCrewLab(t, func(_ *haproxy, c *Config) { c.Environments[0].Spec.Services[0].Health.UnhealthyAfter = 30 }) // 3 s
	a, b, c, d := newPatient(t, 1, true), newPatient(t, 2, false), newPatient(t, 3, true), newPatient(t, 4, false)
	l.must(l.tryStage(0, crew(1, 1, a)))
	l.must(l.tryStage(0, crew(2, 1, c)))
	l.apply(1, all(1))
	a.well.Store(false)
	eventually(t, "nobody is up", func() bool { s, _ := l.haproxy.ask(shopHost, "/"); return s == 503 })
	l.say("set server viridian.shop.web.1/s2 check-port 9") // a place that was touched by a hand is as good as another
	short, cancel := context.WithTimeout(l.ctx, 400*time.Millisecond)
	defer cancel()
	l.must(l.change(l.ctx, l.Node, l.route(1, all(1)), crew(1, 2, b)))
	b.well.Store(true)
	eventually(t, "the new one serves", func() bool { s, g := l.haproxy.ask(shopHost, "/"); return s == 200 && g == "2" })
	if err := l.change(short, l.Node, l.route(1, all(1)), crew(2, 2, d)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a standby whose only member is not up: %v", err)
	}
	if s, _ := l.haproxy.ask(shopHost, "/"); s != 200 || d.asked.Load() > 0 {
		t.Errorf("status %d, %d requests for a standby", s, d.asked.Load())
	}
	l.apply(2, all(2))
	if s, g := l.haproxy.ask(shopHost, "/"); s != 200 || g != "4" {
		t.Errorf("right after the flip: status %d by %q", s, g)
	}
	l.well(2, all(2), 1, 2)
	d.well.Store(true)
	l.must(l.change(l.ctx, l.Node, l.route(2, all(2)), crew(2, 2, d)))
	l.well(2, all(2), 1, 2)
	l.serves("4", 200)
}

// TestMembers_TooMany are refused with what helps, and the old ones go on.
func TestMembers_TooMany(t *testing.T) {
	t.Parallel()
	l := newCrewLab(t, func(_ *haproxy, c *Config) { c.Servers = 2 })
	a, b, c := newPatient(t, 1, true), newPatient(t, 2, true), newPatient(t, 3, true)
	l.must(l.tryStage(0, crew(1, 1, a, b)))
	l.apply(1, all(1))
	before := l.entryText()
	err := l.change(l.ctx, l.Node, l.route(1, all(1)), crew(1, 2, a, b, c))
	if err == nil || !strings.Contains(err.Error(), "print it anew with viridian haproxy-config --servers 3") {
		t.Errorf("three members for two servers: %v", err)
	}
	if got := l.places(1); got != ports(a, b) || l.entryText() != before {
		t.Errorf("the servers are at %s, the entry is %s", got, l.entryText())
	}
	l.well(1, all(1), 1)
	l.must(l.change(l.ctx, l.Node, l.route(1, all(1)), crew(1, 3, c, b))) // no free server: that of who left
	if got := l.places(1); got != ports(c, b) {
		t.Errorf("the servers are at %s", got)
	}
	l.well(1, all(1), 1)
}

// TestMembers_BusyServers: a server on which something of a former member is open is the last to be given away, since the
// connection may be used again.
func TestMembers_BusyServers(t *testing.T) {
	t.Parallel()
	l := newCrewLab(t)
	a, c := newPatient(t, 1, true), newPatient(t, 3, true)
	slow := routertest.NewBackend(t, 2)
	g := crew(1, 1, a)
	g.Groups[0].Instances = append([]rollout.Instance{slow.Instance("web-2")}, g.Groups[0].Instances...)
	l.must(l.tryStage(0, g))
	l.apply(1, all(1))
	done := make(chan int, 4)
	for range 4 { // two of them reach the slow one
		go func() { s, _ := l.haproxy.ask(shopHost, "/slow"); done <- s }()
	}
	eventually(t, "requests are open", func() bool { n, err := l.InFlight(l.ctx, "shop", 1); return err == nil && n == 2 })
	l.must(l.change(l.ctx, l.Node, l.route(1, all(1)), crew(1, 2, c, a)))
	if n, err := l.InFlight(l.ctx, "shop", 1); err != nil || n != 2 {
		t.Errorf("%d open (%v), want the 2 on who left", n, err)
	}
	if srv := l.servers(1)[0]; !srv.idle() || l.places(1) != "- "+ports(a, c) {
		t.Errorf("the servers are at %s", l.places(1))
	}
	slow.Release()
	for range 4 {
		if s := <-done; s != 200 {
			t.Errorf("an open request ended with status %d", s)
		}
	}
	l.well(1, all(1), 1)
}

// TestMembers_FullDisk holds up the record of a change, and not the change.
func TestMembers_FullDisk(t *testing.T) {
	t.Parallel()
	l := newCrewLab(t)
	a, b := newPatient(t, 1, true), newPatient(t, 2, true)
	l.must(l.tryStage(0, crew(1, 1, a)))
	l.apply(1, all(1))
	full := l.haproxy.bareNode(t, func(o *Options) { o.Failpoints = noDisk(t) })
	if err := l.change(l.ctx, full, l.route(1, all(1)), crew(1, 2, b)); err == nil {
		t.Error("a change that was not written down succeeds")
	}
	l.serves("2", 200)
	l.kill()
	l.boot()
	l.serves("1", 200)
	l.well(1, all(1), 1)
	l.must(l.change(l.ctx, l.Node, l.route(1, all(1)), crew(1, 2, b)))
	l.serves("2", 200)
	l.well(1, all(1), 1)
}
