package builtin

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

// crew stages generation 1 with these members, as they were recorded at that time.
func (n *node) crew(route rollout.Route, at int, members ...rollout.Instance) error {
	g := rollout.Generation{Environment: "shop", Number: 1, Groups: group(members...), MembersAt: time.Unix(int64(1e9+at), 0)}
	return n.Stage(n.Context(), router.Fence{Revision: route.Revision}, route, g)
}

func (n *node) mustCrew(route rollout.Route, at int, members ...rollout.Instance) {
	n.Helper()
	if err := n.crew(route, at, members...); err != nil {
		n.Fatal(err)
	}
}

// usable are the ids of the instances that requests go to now.
func (n *node) usable() string {
	var ids []string
	for _, in := range *n.generation("shop", 1).pools["web"].usable.Load() {
		ids = append(ids, in.ID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// mute is an instance that accepts connections and answers nothing until it is let.
func mute(t *testing.T, id string) (in rollout.Instance, let func()) {
	said := make(chan struct{})
	var speaks atomic.Bool
	in = listen(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		select {
		case <-said:
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		case <-t.Context().Done():
		}
	})
	in.ID = id
	t.Cleanup(func() {
		if !speaks.Swap(true) {
			close(said)
		}
	})
	return in, func() {
		if !speaks.Swap(true) {
			close(said)
		}
	}
}

// What is known of those that stay is kept: whether they are down, what is open, counted and cut, and the generation's
// drain.
func TestMembers_StayAsTheyAre(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	one, two, three := routertest.NewBackend(t, 1), routertest.NewBackend(t, 1), routertest.NewBackend(t, 1)
	sick := broken(t)
	sick.ID = "sick"
	first := healthRoute(1, all(1))
	n.mustCrew(healthRoute(0, nil), 1, one.Instance("one"), sick, two.Instance("two"))
	if err := n.Apply(t.Context(), router.Fence{}, first); err != nil {
		t.Fatal(err)
	}
	n.eventually("the verdict", func() bool { return n.usable() == "one two" })
	for range 10 {
		n.get("/")
	}
	g := n.generation("shop", 1)
	pool := g.pools["web"]
	before := map[string]*instance{}
	for _, in := range pool.members() {
		before[in.ID] = in
	}
	counted := g.traffic.byClass[2].Load()
	n.mustCrew(first, 2, three.Instance("three"), sick, one.Instance("renamed"))
	if now := n.generation("shop", 1); now != g || now.pools["web"] != pool || g.traffic.byClass[2].Load() < counted {
		t.Error("another generation took the place of this one")
	}
	for _, in := range pool.members() {
		switch in.ID {
		case "sick":
			if in != before["sick"] || !in.down {
				t.Error("what was known of the one that is down is forgotten")
			}
		case "renamed":
			if in != before["one"] {
				t.Error("the one that stays at its address is another one")
			}
		}
	}
	if !before["two"].left.Load() {
		t.Error("the one that left is not told so")
	}
	n.eventually("the new one serves", func() bool { return n.usable() == "renamed three" })
}

// One that joins serves once it has answered well. Where nobody else can, it serves at once.
func TestMembers_JoinWhenTheyAnswer(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.eventually("probing", n.probing.Load)
	old := routertest.NewBackend(t, 1)
	n.mustCrew(healthRoute(0, nil), 1, old.Instance("old"))
	route := healthRoute(1, all(1))
	if err := n.Apply(t.Context(), router.Fence{}, route); err != nil {
		t.Fatal(err)
	}
	late, speak := mute(t, "late")
	n.mustCrew(route, 2, late, old.Instance("old"))
	for range 20 {
		if got := n.usable(); got != "old" {
			t.Fatalf("%s serve before the new one has answered", got)
		}
		n.serves(1)
	}
	speak()
	n.eventually("both serve", func() bool { return n.usable() == "late old" })

	later, _ := mute(t, "later")
	n.mustCrew(route, 3, later)
	if got := n.usable(); got != "later" {
		t.Errorf("%q serve, where there is nobody but the new one", got)
	}
	n.mustCrew(route, 4, later, broken(t))
	if got := n.usable(); !strings.Contains(got, "later") {
		t.Errorf("%q serve", got)
	}
}

// Idle connections to one that left are closed, and those to one that stays are used again.
func TestMembers_IdleConnections(t *testing.T) {
	t.Parallel()
	stays, leaves := counting(t, "stays"), counting(t, "leaves") // first, so that they end last
	n := startNode(t, t.TempDir())
	n.mustCrew(route(0, nil), 1, stays.Instance, leaves.Instance)
	n.apply(1, all(1))
	for range 10 {
		if status, _ := n.get("/"); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	if stays.open.Load() == 0 || leaves.open.Load() == 0 {
		t.Fatalf("%d and %d connections", stays.open.Load(), leaves.open.Load())
	}
	made := stays.made.Load()
	n.mustCrew(route(1, all(1)), 2, stays.Instance)
	n.eventually("the connections of the one that left are closed", func() bool { return leaves.open.Load() == 0 })
	for range 10 {
		n.get("/")
	}
	if stays.made.Load() != made {
		t.Errorf("%d connections to the one that stays, %d before the change", stays.made.Load(), made)
	}
}

// counted is an instance that counts its connections.
type counted struct {
	rollout.Instance
	made, open atomic.Int64
}

func counting(t *testing.T, id string) *counted {
	c := new(counted)
	c.Instance = listen(t, func(conn net.Conn) {
		c.made.Add(1)
		c.open.Add(1)
		defer c.open.Add(-1)
		for requests := bufio.NewReader(conn); ; {
			if _, err := http.ReadRequest(requests); err != nil {
				return
			}
			if _, err := conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")); err != nil {
				return
			}
		}
	})
	c.ID = id
	return c
}

// The state file has the members and their time, and one without any is as it was before there were such.
func TestMembers_StateFile(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(9) // frozen
	a, b := routertest.NewBackend(t, 1), routertest.NewBackend(t, 1)
	n.mustCrew(route(0, nil), 1, a.Instance("a"))
	n.apply(1, all(1))
	n.mustCrew(route(1, all(1)), 2, b.Instance("b"))
	kept := n.known("shop").persisted
	content, err := kept.encode()
	if err != nil || strings.Count(string(content), "members_at") != 1 {
		t.Errorf("the file says %s (%v)", content, err)
	}
	n.stop()
	n.start()
	n.serves(1)
	if got := n.usable(); got != "b" {
		t.Errorf("after a restart %q serve", got)
	}
	if err := n.crew(route(1, all(1)), 1, a.Instance("a")); !errors.Is(err, router.ErrStale) {
		t.Errorf("earlier members after a restart: %v", err)
	}
	if err := n.crew(route(2, all(1)), 1, a.Instance("a")); err != nil { // by a database that was restored
		t.Errorf("earlier members, at a higher revision: %v", err)
	}
	if got := n.usable(); got != "a" {
		t.Errorf("%q serve", got)
	}
	if err := n.crew(route(2, all(9)), 5, b.Instance("b")); err == nil {
		t.Error("other members serve by a route that has no weight for them")
	}
}
