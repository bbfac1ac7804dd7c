package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/client"
	"viridian/router/routertest"
)

// TestProveTwoReplicas runs two replicas on one database. A promote through one is applied on both; when the one that
// does an environment's work is killed, the other goes on, and the killed one catches up when it is back.
func TestProveTwoReplicas(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newLab(t)
	a, b := l.replica("a"), l.replica("b")
	a.start("")
	b.start("")
	a.ready()
	b.ready()
	s := a.shop("shop")
	s.promote(s.candidate())

	onA, onB := s.load(2, 1), s.on(b).load(2, 1)
	flips := count(10, 100)
	c := &cycle{shop: s}
	for range flips {
		c.next()
	}
	for name, traffic := range map[string]*routertest.Traffic{"a": onA, "b": onB} {
		if v := routertest.Check(traffic.Stop(), s.flips); !v.Clean() || v.Requests == 0 {
			t.Errorf("on replica %s: %v", name, v)
		}
	}

	first, second := a, b
	if s.leaseHolder() == b.name {
		first, second = b, a
	}
	survivor := s.on(second)
	traffic := survivor.load(2, 1)
	first.kill()
	killed := time.Now()
	number := survivor.register()
	survivor.eventually("the survivor probes the new generation", func() bool {
		h, known := survivor.generation(number).Health["web"]
		return known && h.Healthy == 1
	})
	tookOver := time.Since(killed)
	if limit := l.timing.leaseTTL + 5*time.Second; tookOver > limit {
		t.Errorf("the survivor took over %v after the kill, want at most %v", tookOver, limit)
	}
	survivor.becomes(number, client.GenerationStateReady) // once the dead node has been silent for 10 s
	survivor.flips = s.flips
	if sw := survivor.promote(number); !sw.Degraded {
		t.Errorf("switch %d counts as whole although a node did not follow", sw.Revision)
	}
	if v := routertest.Check(traffic.Stop(), survivor.flips); !v.Clean() || v.Requests == 0 {
		t.Errorf("beside the killed replica: %v", v)
	}

	first.start("")
	back := s.on(first)
	l.soon("the replica that is back serves what was promoted without it", 5*time.Second, func() bool {
		generation, _ := back.ask()
		return generation == number
	})
	survivor.audit()
	report(t, "%d flips applied on both of two replicas; the lease holder killed: the other probes %v later; %v",
		flips, tookOver.Round(10*time.Millisecond), since(began))
}

// on is the same shop, asked through another replica.
func (s *shop) on(r *replica) *shop {
	other := *s
	other.replica = r
	return &other
}

// leaseHolder reads from the database which replica does the work of the environment.
func (s *shop) leaseHolder() string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.database)
	if err != nil {
		s.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var holder string
	if err := conn.QueryRow(ctx, "SELECT holder FROM lease WHERE environment = $1", s.name).Scan(&holder); err != nil {
		s.Fatal(err)
	}
	name, _, _ := strings.Cut(holder, "/")
	return name
}
