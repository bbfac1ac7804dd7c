package search

import (
	"fmt"

	"viridian/rollout"
)

// rounds is how many rounds in peace may pass until everything has come to its end.
const rounds = 30

// checkEnd wants that from here, once nothing fails any more, everything comes to its end: all passes that are under
// way are given up, every node can be reached, and one worker does all the work.
func (x *search) checkEnd(s state) *violation {
	s = calm(s)
	var way []key
	x.peace = x.peace[:0]
	for range rounds {
		k := hashOf(&s)
		if x.ends[k] {
			x.endWell(way)
			return nil
		}
		way = append(way, k)
		before := s
		if v := x.round(&s); v != nil {
			return v
		}
		if s == before {
			if x.unfinished(&s) == "" {
				x.endWell(way)
				return nil
			}
			x.peace = append(x.peace, "a tick goes by")
			s.advance(x.world)
		}
	}
	return broken(endsFinal, "%s", x.unfinished(&s))
}

func (x *search) endWell(way []key) {
	for _, k := range way {
		x.ends[k] = true
	}
}

// calm is the state without what was under way, and without what the future could still bring.
func calm(s state) state {
	s.threads, s.left, s.backup = [4]thread{}, budget{}, -1
	s.holder, s.term = 0, 100 // above all terms that any node knows
	for i := range s.nodes {
		n := &s.nodes[i]
		n.away, n.promised, n.forgot, n.table.term, n.file.term = false, 0, false, 0, 0
	}
	return s
}

// settle lets everything come to its end.
func (w *world) settle(s *state) *violation {
	for range rounds {
		before := *s
		if v := w.round(s); v != nil {
			return v
		}
		if *s == before {
			if w.unfinished(s) == "" {
				return nil
			}
			s.advance(w)
		}
	}
	return broken(endsFinal, "%s", w.unfinished(s))
}

// round is one pass of every lane, after a heartbeat of every node.
func (w *world) round(s *state) *violation {
	s.db = w.heard(s.db, s.tick, [2]bool{!s.nodes[0].away, !s.nodes[1].away}, s.runs())
	for l := lane(0); l <= registryLane; l++ {
		thread := firstWorker + int(s.holder)
		if !w.driven && l != registryLane {
			thread = int(l)
		}
		before := *s
		plan := w.plan(s, l)
		if v := w.pass(s, thread, l); v != nil {
			return v
		}
		if before != *s {
			w.peace = append(w.peace, fmt.Sprintf("a pass for %v: %v", l, w.plans.all[plan]))
		}
		if v := w.checkNodes(&before, s); v != nil {
			return v
		}
	}
	return nil
}

// unfinished names what has not come to its end; empty when everything has.
func (w *world) unfinished(s *state) string {
	db := w.all[s.db]
	if sw := db.env.Switch; sw != nil && sw.Status == rollout.Committed {
		return "a switch is not applied"
	}
	if p := db.env.Promotion; p != nil && p.State != rollout.PromotionPaused {
		return "a promotion does not end"
	}
	for _, g := range db.env.Generations {
		if g.State == rollout.Registered || g.State == rollout.Validating || g.State == rollout.Retiring {
			return "a generation stays " + string(g.State)
		}
	}
	for i, n := range s.nodes {
		if n.away {
			continue
		}
		for _, h := range []holding{n.table, n.file} {
			if int64(h.route.revision) != db.env.Revision || h.route.shares != sharesOf(db.env.Weights) {
				return "node " + nodeName(uint8(i)) + " does not do what the route says"
			}
		}
		for _, g := range db.gone {
			if n.table.staged.has(uint8(g.Number)) || s.registry.has(uint8(g.Number)) {
				return "something still knows a retired generation"
			}
		}
	}
	return ""
}
