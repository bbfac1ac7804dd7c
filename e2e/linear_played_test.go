package e2e

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"viridian/client"
)

// played is a demand in a history that was made by the model itself: at one moment between call and end it happened.
type played struct {
	demand
	reply
	call, happened, end int64
}

const notAtAll = 1 << 60

// play makes a history of that many demands by four clients. One of twenty is in doubt, and half of these happen, late.
func play(demands int) *stall {
	var all []*played
	var clock [4]int64
	for i := range demands {
		at := &clock[i%len(clock)]
		p := &played{call: *at + 1 + rand.Int64N(1000)}
		length := 1 + rand.Int64N(1000)
		if rand.IntN(30) == 0 {
			length *= 20
		}
		p.happened, p.end = p.call+rand.Int64N(length), p.call+length
		*at = p.end
		if p.unknown = rand.IntN(20) == 0; p.unknown {
			p.happened, p.end = p.call+rand.Int64N(10_000), p.call
			if rand.IntN(2) == 0 {
				p.happened = notAtAll
			}
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b *played) int { return cmp.Compare(a.happened, b.happened) })
	s := &stall{shop: &shop{name: "played"}}
	c := &customer{fair: &fair{stalls: []*stall{s}}, seen: [stalls]reply{{revision: 1, live: 1}}}
	m := opened()
	for _, p := range all {
		m = p.happen(m.elapsed(), c)
		switch {
		case !p.unknown:
			s.add(0, p.demand, p.reply, time.Duration(p.call), time.Duration(p.end))
		case p.verb != doRoute && p.verb != doLook:
			s.doubt(p.demand, "", time.Duration(p.call))
		}
	}
	s.leave(s.open)
	return s
}

// happen decides the demand, and tells what came of it unless that is in doubt.
func (p *played) happen(m market, c *customer) market {
	p.demand = c.choose()
	if p.happened == notAtAll {
		return m
	}
	after, told := m.decide(p.demand)
	if p.verb == doRoute {
		c.seen[0] = told
	}
	if !p.unknown {
		p.reply = told
	}
	for n, state := range after.states {
		if state == checked {
			after.states[n] = client.GenerationStateValidating
		}
	}
	return after
}

// elapsed is the market after a while: what goes on by itself may have gone on.
func (m market) elapsed() market {
	for n, state := range m.states {
		if state == client.GenerationStateValidating && rand.IntN(3) == 0 {
			m.states[n] = client.GenerationStateReady
		}
	}
	either := m.closed()
	return either[rand.IntN(len(either))]
}

// TestProveLinearizable_Played feeds the model histories that it has made itself, and such with one answer spoiled: it
// takes the first and rejects the others.
func TestProveLinearizable_Played(t *testing.T) {
	t.Parallel()
	for range count(10, 100) {
		s := play(400)
		s.shop.replica = &replica{lab: &lab{TB: t}}
		if result := porcupine.CheckOperationsTimeout(markets(s.history), s.history, judgeTime); result != porcupine.Ok {
			t.Errorf("a true history: %v", result)
			s.explain()
			return
		}
		if s.plantAll(); s.planted == 0 {
			t.Error("nothing was planted")
		}
	}
}
