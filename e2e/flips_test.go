package e2e

import (
	"testing"
	"time"

	"viridian/client"
	"viridian/router/routertest"
)

// TestProveFlips moves all traffic to and fro, under load: nothing fails, and what begins after the API has said
// "applied" is answered by the generation that it said so of.
func TestProveFlips(t *testing.T) {
	t.Parallel()
	began := time.Now()
	flips, requests := count(60, 1000), count(6_000, 200_000)
	r := newLab(t).replica("a")
	r.start("")
	r.ready()
	s := r.shop("shop")
	c := &cycle{shop: s}
	s.promote(s.candidate())

	traffic := s.load(8, 4)
	for len(s.flips) < flips+1 {
		met := traffic.Count() + requests/flips // so that each flip has requests before it and under way
		s.eventually("requests between two flips", func() bool { return traffic.Count() >= met })
		c.next()
	}
	s.eventually("all requests", func() bool { return traffic.Count() >= requests })
	v := routertest.Check(traffic.Stop(), s.flips)
	if !v.Clean() || v.Requests < requests {
		t.Errorf("%v", v)
	}
	if revision := s.route().Revision; revision != int64(flips+1) {
		t.Errorf("the route is at revision %d after %d flips", revision, flips+1)
	}
	s.audit()
	report(t, "%d requests over %d flips between %d generations: %d failed, %d stale; %v",
		v.Requests, flips, len(s.backends), v.Failed, v.Stale, since(began))
}

// cycle flips a shop: a candidate is promoted, rolled back from, validated and promoted again, and now and then it
// stays, so that the next candidate is a new generation and an older one retires.
type cycle struct {
	*shop
	candidate int  // 0 for none yet
	up        bool // the candidate is live
	turns     int  // with this candidate
}

// stays is the number of turns after which a candidate is not rolled back from.
const stays = 10

// next makes one flip and waits until it is applied.
func (c *cycle) next() {
	c.Helper()
	c.turns++
	if c.up && c.turns > stays {
		c.candidate, c.up, c.turns = 0, false, 0
	}
	switch {
	case c.up:
		c.rollback(c.candidate)
		c.up = false
	default:
		c.prepare()
		c.promote(c.candidate)
		c.up = true
	}
}

// prepare makes sure that there is a ready candidate.
func (c *cycle) prepare() {
	c.Helper()
	if c.candidate == 0 {
		c.candidate = c.shop.candidate()
	} else if c.generation(c.candidate).State == client.GenerationStateRejected {
		c.validate(c.candidate)
	}
}
