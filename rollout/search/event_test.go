package search

import "fmt"

// event is one thing that happens: what it is, whom it befalls, and what of it.
type event struct {
	kind  happening
	who   uint8
	lane  lane
	cmd   command
	other uint8
}

type happening uint8

const (
	commanded happening = iota
	began
	acted
	recorded
	dropped
	beat
	tookOver
	ticked
	restarted
	cut
	joined
	edited
	copied
	restored
)

// next calls yield for everything that can happen in the state.
func (w *world) events(s *state, yield func(event)) {
	w.clientEvents(s, yield)
	for i := range s.threads {
		w.threadEvents(s, i, yield)
	}
	for i := range s.nodes {
		w.nodeEvents(s, uint8(i), yield)
	}
	if s.left.takeovers > 0 {
		yield(event{kind: tookOver, who: 1 - s.holder})
	}
	if s.left.ticks > 0 {
		yield(event{kind: ticked})
	}
	if s.left.restores > 0 && s.backup < 0 {
		yield(event{kind: copied})
	}
	if s.left.restores > 0 && s.backup >= 0 && s.backup != s.db {
		yield(event{kind: restored})
	}
}

func (w *world) clientEvents(s *state, yield func(event)) {
	if s.left.commands == 0 {
		return
	}
	for _, a := range w.asks {
		for _, cmd := range a.candidates() {
			if done := w.command(s.db, s.tick, cmd); done.changed || done.broken != nil {
				yield(event{kind: commanded, cmd: cmd})
			}
		}
	}
}

func (w *world) threadEvents(s *state, i int, yield func(event)) {
	e := event{who: uint8(i)}
	switch s.threads[i].phase {
	case acting:
		e.kind = acted
		yield(e)
		e.kind = dropped
		yield(e)
	case recording:
		if i >= firstWorker || !s.nodes[i].away {
			e.kind = recorded
			yield(e)
		}
		e.kind = dropped
		yield(e)
	case idle:
		e.kind = began
		for l := lane(0); l <= registryLane; l++ {
			follower := i < firstWorker && !w.driven && l == lane(i)
			worker := i >= firstWorker && s.holder == uint8(i-firstWorker) && (w.driven || l == registryLane)
			if e.lane = l; follower || worker {
				yield(e)
			}
		}
	}
}

func (w *world) nodeEvents(s *state, i uint8, yield func(event)) {
	n := s.nodes[i]
	if !n.away && !w.all[s.db].knows(i, n.run) {
		yield(event{kind: beat, who: i})
	}
	if s.left.restarts > 0 {
		yield(event{kind: restarted, who: i})
	}
	if n.away {
		yield(event{kind: joined, who: i})
	} else if s.left.cuts > 0 {
		yield(event{kind: cut, who: i})
	}
	if s.left.edits > 0 && n.table.route.shares.sum() > 0 {
		for g := range uint8(maxGenerations) {
			if n.table.staged.has(g+1) && n.table.route.shares[g+1] == 0 {
				yield(event{kind: edited, who: i, other: g + 1})
			}
		}
	}
}

// happen is the state after the event. Same is true when nothing changed.
func (w *world) happen(s state, e event) (after state, v *violation) {
	switch e.kind {
	case commanded:
		done := w.command(s.db, s.tick, e.cmd)
		before := s.db
		s.db = done.db
		s.left.commands--
		if v = done.broken; v == nil {
			v = w.reported(&s, before)
		}
	case began:
		w.begin(&s, int(e.who), e.lane)
	case acted:
		w.act(&s, int(e.who))
	case recorded:
		_, v = w.recordPass(&s, int(e.who))
	case dropped:
		s.threads[e.who] = thread{}
	case beat:
		s.db = w.heard(s.db, s.tick, [2]bool{e.who == 0, e.who == 1}, s.runs())
	case tookOver:
		s.left.takeovers--
		s.holder = e.who
		s.term++
	case ticked:
		s.left.ticks--
		s.advance(w)
	case restored:
		s.left.restores--
		s.db = w.databases.restored(s.backup, s.db, s.tick, w.heardNow(&s, s.backup), s.runs())
		s.backup = -1
	case copied:
		s.backup = s.db
	default:
		w.befall(&s, e)
	}
	return s, v
}

// befall is what happens to a node.
func (w *world) befall(s *state, e event) {
	n := &s.nodes[e.who]
	switch e.kind {
	case restarted:
		s.left.restarts--
		n.restart(w)
		if w.driven {
			return
		}
		for _, i := range []uint8{e.who, firstWorker + e.who} { // they are of the same process
			if s.threads[i].phase == acting { // a record may be under way, and arrive
				s.threads[i] = thread{}
			}
		}
	case cut:
		s.left.cuts--
		n.away = true
	case joined:
		n.away = false
		s.db = w.heard(s.db, s.tick, w.heardNow(s, s.db), s.runs())
	case edited:
		s.left.edits--
		n.table.route.shares = shares{}
		n.table.route.shares[e.other] = 100
		n.table.route.edited = true
		n.file.route = n.table.route
	}
}

// advance lets a tick go by. Every node that can be reached and is known sends its heartbeat.
func (s *state) advance(w *world) {
	s.tick++
	for i := range s.nodes {
		s.nodes[i].draining = 0
	}
	s.db = w.heard(s.db, s.tick, w.heardNow(s, s.db), s.runs())
}

func (w *world) heardNow(s *state, db int32) (heard [2]bool) {
	for i, n := range s.nodes {
		heard[i] = !n.away && w.all[db].knows(uint8(i), n.run)
	}
	return heard
}

func (s *state) runs() [2]uint8 { return [2]uint8{s.nodes[0].run, s.nodes[1].run} }

// tell says in words what the event was.
func (w *world) tell(s, after *state, e event) string {
	switch e.kind {
	case commanded:
		return fmt.Sprintf("a client: %v (now revision %d)", e.cmd, w.all[after.db].env.Revision)
	case began:
		return fmt.Sprintf("%s takes a plan for %v: %v", who(e.who), e.lane, w.plans.all[w.plan(s, e.lane)])
	case acted:
		return w.tellStep(s, e)
	case recorded:
		return w.tellRecord(s, after, e)
	case dropped:
		return fmt.Sprintf("%s gives up its pass", who(e.who))
	case beat:
		return fmt.Sprintf("node %s says that it was restarted", nodeName(e.who))
	case tookOver:
		return fmt.Sprintf("%s takes over the lease, with term %d", who(firstWorker+e.who), after.term)
	case ticked:
		return "a tick goes by"
	case restarted:
		return fmt.Sprintf("node %s restarts, and comes up with revision %d", nodeName(e.who), after.nodes[e.who].table.route.revision)
	case cut:
		return fmt.Sprintf("node %s cannot be reached any more", nodeName(e.who))
	case joined:
		return fmt.Sprintf("node %s can be reached again", nodeName(e.who))
	case edited:
		return fmt.Sprintf("somebody gives everything on node %s to generation %d by hand", nodeName(e.who), e.other)
	case copied:
		return fmt.Sprintf("a copy is made of the database, at revision %d", w.all[s.db].env.Revision)
	case restored:
		return fmt.Sprintf("the database is restored from the copy, at revision %d", w.all[after.db].env.Revision)
	}
	return "?"
}

func (w *world) tellStep(s *state, e event) string {
	t := s.threads[e.who]
	p := w.plans.all[t.plan]
	if t.pc == p.len() {
		return fmt.Sprintf("%s looks at %v", who(e.who), p.lane)
	}
	before := *s
	did, _, worked := w.act(&before, int(e.who))
	if !worked {
		return fmt.Sprintf("%s on %v: %v, which is refused", who(e.who), p.lane, did)
	}
	return fmt.Sprintf("%s on %v: %v", who(e.who), p.lane, did)
}

func (w *world) tellRecord(s, after *state, e event) string {
	t := s.threads[e.who]
	if t.term > 0 && t.term != s.term {
		return fmt.Sprintf("%s wants to record, and has lost its lease", who(e.who))
	}
	text := fmt.Sprintf("%s records what it did on %v", who(e.who), t.fact.lane)
	if t.fact.seen {
		text += fmt.Sprintf(", seen at revision %d", t.fact.receipt.Route.revision)
	}
	if sw := w.all[after.db].env.Switch; sw != nil && (w.all[s.db].env.Switch == nil || w.all[s.db].env.Switch.Status != sw.Status) {
		text += fmt.Sprintf("; switch %d is %s", sw.Revision, sw.Status)
	}
	return text
}

func who(thread uint8) string {
	if thread < firstWorker {
		return "the follower of node " + nodeName(thread)
	}
	return fmt.Sprintf("worker %d", thread-firstWorker+1)
}
