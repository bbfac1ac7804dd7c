package search

import (
	"fmt"
	"time"

	"viridian/rollout"
)

// violation is an invariant that does not hold, and how.
type violation struct {
	invariant string
	detail    string
}

func (v *violation) String() string { return v.invariant + " (" + v.detail + ")" }

func broken(invariant, format string, args ...any) *violation {
	return &violation{invariant, fmt.Sprintf(format, args...)}
}

// The invariants, each a sentence.
const (
	servesCommitted = "I1: a node serves what a switch between its last receipt and the present one gave weight"
	retiredNowhere  = "I2: no node serves a retired generation, nor would it after a restart"
	neverBack       = "I3: a node never goes back, in one run or over a restart, below what was durable"
	appliedWasSeen  = "I4: a switch is applied only when every required node durably does it"
	appliedStays    = "I5: after a switch was applied, no node that was required serves anything older"
	flipCutsNothing = "I6: what a node serves, or has open requests on, is staged there and its instances are kept; and a node with a route serves something"
	definite        = "I7: a command that is asked again answers the same, and makes no second switch"
	oneToOne        = "I8: a revision is one switch, told by one event, and grows by one (recover may skip)"
	heldAutomation  = "I9: Viridian rolls back at most once for a promotion, and promotes nothing while automation is held"
	endsFinal       = "I10: once faults stop, every switch is applied on every node, and what retires is gone everywhere"
)

// checkNodes holds a state, with the one before it, against what must be true of nodes.
func (w *world) checkNodes(before, s *state) *violation {
	for i := range s.nodes {
		for _, v := range []*violation{w.checkServes(s, uint8(i)), w.checkKept(s, uint8(i)), checkBack(before, s, uint8(i))} {
			if v != nil {
				return v
			}
		}
	}
	return nil
}

func (w *world) checkServes(s *state, i uint8) *violation {
	n, db := &s.nodes[i], w.all[s.db]
	have := n.table.route
	for _, g := range db.gone {
		if carried := have.shares.carried() | n.file.route.shares.carried(); carried.has(uint8(g.Number)) {
			return broken(retiredNowhere, "node %s: generation %d", nodeName(i), g.Number)
		}
	}
	if have.revision < n.promised {
		return broken(appliedStays, "node %s serves revision %d, and revision %d was applied", nodeName(i), have.revision, n.promised)
	}
	if have.timeline != db.timeline || have.edited {
		return nil // of a database that was replaced, or by hand: the end of it is what matters, see I10
	}
	content, known := db.content(have.revision)
	if !known || content.Shares != have.shares || int64(have.revision) > db.env.Revision {
		return broken(servesCommitted, "node %s serves %v at revision %d", nodeName(i), have.shares.weights(), have.revision)
	}
	if r, ok := db.env.Receipt(db.node(i)); ok && r.Revision > int64(have.revision) {
		return broken(servesCommitted, "node %s serves revision %d, and its receipt is of %d", nodeName(i), have.revision, r.Revision)
	}
	return nil
}

func (w *world) checkKept(s *state, i uint8) *violation {
	n := &s.nodes[i]
	for _, h := range []holding{n.table, n.file} {
		serves := h.route.shares.carried()
		switch {
		case serves&^h.staged != 0:
			return broken(flipCutsNothing, "node %s serves by %v, and has staged %v", nodeName(i), h.route.shares.weights(), h.staged)
		case (serves|n.draining)&^s.registry != 0:
			return broken(flipCutsNothing, "node %s serves by %v, with requests open on %v, and the instances of %v are withdrawn",
				nodeName(i), h.route.shares.weights(), n.draining, (serves|n.draining)&^s.registry)
		case h.route.revision > 0 && h.route.shares.sum() != 100:
			return broken(flipCutsNothing, "node %s serves nothing at revision %d", nodeName(i), h.route.revision)
		}
	}
	return nil
}

func checkBack(before, s *state, i uint8) *violation {
	old, n := &before.nodes[i], &s.nodes[i]
	least := old.table.route.revision
	if n.run != old.run {
		least = old.file.route.revision
	}
	if n.table.route.revision < least || n.file.route.revision < old.file.route.revision {
		return broken(neverBack, "node %s went from revision %d to %d", nodeName(i), least, n.table.route.revision)
	}
	return nil
}

// reported looks at what the database says after a change, and notes what was promised by it.
func (w *world) reported(s *state, before int32) *violation {
	was, is := w.all[before].env.Switch, w.all[s.db].env.Switch
	if is == nil || is.Status != rollout.Applied || (was != nil && was.Revision == is.Revision && was.Status == rollout.Applied) {
		return nil
	}
	for _, required := range w.all[s.db].env.RequiredNodes(at(s.tick)) {
		n := &s.nodes[required.Name[0]-'a']
		if have := n.file.route; int64(have.revision) < is.Revision || (int64(have.revision) == is.Revision && have.shares != sharesOf(is.Weights) && !have.edited) {
			return broken(appliedWasSeen, "switch %d is applied, and node %s has revision %d on its disk", is.Revision, required.Name, have.revision)
		}
		n.promised = max(n.promised, uint8(is.Revision))
	}
	return nil
}

// checkTransition holds what is to be written against what must be true of every transition.
func checkTransition(before, after *database, t rollout.Transition) *violation {
	grown := t.After.Revision - before.env.Revision
	told := 0
	for _, e := range t.Events {
		if e.Kind == rollout.EventSwitchCommitted {
			told++
			if t.NewSwitch == nil || e.Revision != t.NewSwitch.Revision {
				return broken(oneToOne, "an event tells of revision %d", e.Revision)
			}
		}
	}
	s := t.NewSwitch
	switch {
	case s == nil && (grown != 0 || told != 0 || sharesOf(t.After.Weights) != sharesOf(before.env.Weights) || t.After.Live != before.env.Live):
		return broken(oneToOne, "the route changed without a switch")
	case s == nil:
		return nil
	case told != 1 || s.Revision != t.After.Revision || grown < 1 || (grown > 1 && s.Kind != rollout.SwitchRecover):
		return broken(oneToOne, "%s switch %d with %d events after revision %d", s.Kind, s.Revision, told, before.env.Revision)
	}
	return checkAutomatic(before, after)
}

func checkAutomatic(before, after *database) *violation {
	last := after.history[len(after.history)-1]
	if last.Automatic && last.Kind == rollout.SwitchPromote && before.env.Hold != nil {
		return broken(heldAutomation, "switch %d", last.Revision)
	}
	rollbacks := 0
	for _, e := range after.history {
		switch {
		case e.Kind == rollout.SwitchPromote:
			rollbacks = 0
		case e.Automatic && (e.Kind == rollout.SwitchRollback || e.Kind == rollout.SwitchAbort):
			rollbacks++
		}
	}
	if rollbacks > 1 {
		return broken(heldAutomation, "%d rollbacks by itself", rollbacks)
	}
	return nil
}

// checkDatabase holds a database against what must be true of each, and asks it about every switch that took a weight
// away.
func (d *databases) checkDatabase(id int32, now time.Time) *violation {
	e := d.all[id].env
	if live, ok := e.Generation(e.Live); e.Revision > 0 && (!ok || live.State != rollout.Live || !e.Weights.Carries(e.Live) || e.Weights.Sum() != 100) {
		return broken(oneToOne, "live is %d (%s) with weights %v", e.Live, live.State, e.Weights)
	}
	for _, g := range e.Generations {
		if g.UnweightedRevision == 0 || e.Weights.Carries(g.Number) || g.State == rollout.Shifting {
			continue
		}
		t, err := d.all[id].naming(uint8(g.Number)).Rollback(rollout.RollbackCommand{Actor: person, From: g.Number}, now)
		if err != nil || t.Answer.Changed || t.Answer.Revision != g.UnweightedRevision || !t.Empty() {
			return broken(definite, "a rollback from generation %d, which switch %d left: %+v %v", g.Number, g.UnweightedRevision, t.Answer, err)
		}
	}
	return nil
}

// askedAgain asks for the same once more.
func (d *databases) askedAgain(id int32, cmd command, first rollout.Answer, now time.Time) *violation {
	if cmd.ask == askRegister || cmd.ask == askAutomatic {
		return nil // two registrations are two
	}
	t, err := d.all[id].decide(cmd, now)
	if err != nil {
		return broken(definite, "%v, asked again: %v", cmd, err)
	}
	if t.Answer.Changed || t.Answer.Revision != first.Revision || !t.Empty() {
		return broken(definite, "%v was answered with %+v, and then with %+v", cmd, first, t.Answer)
	}
	return nil
}
