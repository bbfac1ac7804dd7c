package search

// thread is one loop that takes a plan, does it step by step, looks, and records. It can stall after each step for as
// long as it likes.
type thread struct {
	phase  phase
	pc     uint8
	term   uint8 // of the lease at the begin of the pass; 0 for a follower
	tick   uint8 // at the begin of the pass; kept only where it matters
	failed bool
	plan   int32
	fact   fact
}

type phase uint8

const (
	idle phase = iota
	acting
	recording
)

// The first two threads follow a node each, the others are the workers of the same two replicas.
const firstWorker = 2

// begin takes the plan of the lane, if there is anything to do.
func (w *world) begin(s *state, i int, l lane) bool {
	id := w.plan(s, l)
	p := w.plans.all[id]
	t := thread{phase: acting, plan: id, fact: fact{lane: l, run: p.run, spec: p.route.spec}}
	if i >= firstWorker {
		t.term = s.term
	}
	if l == registryLane {
		if p.len() == 0 && !p.settle && p.readings == 0 {
			return false
		}
		t.tick, t.fact.readings = s.tick, p.readings
		s.threads[i] = t
		w.next(s, i)
		return true
	}
	n := &s.nodes[l]
	if n.away || p.run != n.run || (p.len() == 0 && !p.lacks(n.shows()) && n.table.staged&^p.known == 0) {
		return false
	}
	s.threads[i] = t
	return true
}

// lacks says whether a receipt tells what the database did not know at the begin of the pass.
func (p *plan) lacks(r receipt) bool {
	news := max(r.Route.revision, r.Fence) >= p.news.Route.revision || r.Route.spec >= p.news.Route.spec || r.Newest > p.last
	r.Fence, r.Newest = 0, 0
	return news || !p.seen || p.receipt != r
}

// act does the next step of the pass, and tells which one; the last is to look at the node.
func (w *world) act(s *state, i int) (did step, look, worked bool) {
	t := &s.threads[i]
	p := w.plans.all[t.plan]
	if t.pc == p.len() {
		w.look(s, i)
		return step{}, true, true
	}
	did = p.step(t.pc)
	t.pc++
	worked = w.do(s, t, p, did)
	if !worked {
		t.failed = true
		if did.do == doSwap {
			t.pc++ // nothing to make durable
		}
	}
	w.next(s, i)
	return did, false, worked
}

// next ends a pass for the registry after its last step: there is nothing to look at.
func (w *world) next(s *state, i int) {
	t := &s.threads[i]
	if p := w.plans.all[t.plan]; p.lane == registryLane && t.pc == p.len() {
		w.look(s, i)
	}
}

func (w *world) do(s *state, t *thread, p *plan, d step) bool {
	if p.lane == registryLane {
		return registry(s, t, d)
	}
	n := &s.nodes[p.lane]
	if w.driven && n.away {
		return false
	}
	term := t.term
	switch d.do {
	case doStage:
		if !n.stage(w, term, p, d.generation) {
			return false
		}
		t.fact.staged.add(d.generation)
	case doSwap:
		return n.swap(w, term, p)
	case doPersist:
		n.persist()
	case doRemove:
		if !n.remove(w, term, p, d.generation) {
			return false
		}
		t.fact.unstaged.add(d.generation)
	}
	return true
}

// registry announces or withdraws. The registry has no fence: a call that would come later than a grace after its
// begin has met its deadline before.
func registry(s *state, t *thread, d step) bool {
	if s.tick-t.tick >= graceTicks {
		return false
	}
	if d.do == doRegister {
		s.registry.add(d.generation)
		t.fact.announced.add(d.generation)
	} else {
		s.registry.drop(d.generation)
		t.fact.withdrawn.add(d.generation)
	}
	return true
}

// look ends what the pass does: it takes out what is unknown, and sees what the node shows.
func (w *world) look(s *state, i int) {
	t := &s.threads[i]
	p := w.plans.all[t.plan]
	if p.lane != registryLane {
		n := &s.nodes[p.lane]
		if w.driven && n.away {
			s.threads[i] = thread{} // it cannot be seen, and so nothing is recorded
			return
		}
		if !t.failed {
			n.removeUnknown(w, t.term, p)
		}
		shown := n.shows()
		shown.Error = shown.Error || t.failed // a receipt tells why the pass failed
		if p.lacks(shown) || n.run != p.run {
			t.fact.seen, t.fact.seenRun, t.fact.receipt = true, n.run, shown
		}
		if t.fact.empty() {
			s.threads[i] = thread{}
			return
		}
	} else if t.fact.empty() && !p.settle {
		s.threads[i] = thread{}
		return
	}
	*t = thread{phase: recording, term: t.term, fact: t.fact}
}

// record takes the outcome of the pass into the database, unless the lease is another one's by now.
func (w *world) recordPass(s *state, i int) (lost bool, v *violation) {
	t := s.threads[i]
	s.threads[i] = thread{}
	if t.term > 0 && t.term != s.term {
		return true, nil
	}
	return false, w.recordFact(s, t.fact)
}

func (w *world) recordFact(s *state, f fact) *violation {
	done := w.record(s.db, s.tick, f)
	if done.broken != nil {
		return done.broken
	}
	before := s.db
	s.db = done.db
	return w.reported(s, before)
}

// pass is a whole pass in peace.
func (w *world) pass(s *state, i int, l lane) *violation {
	if !w.begin(s, i, l) {
		return nil
	}
	for s.threads[i].phase == acting {
		w.act(s, i)
	}
	if s.threads[i].phase == recording {
		_, v := w.recordPass(s, i)
		return v
	}
	return nil
}
