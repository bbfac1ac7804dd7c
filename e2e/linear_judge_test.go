package e2e

import (
	"cmp"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// judgeTime bounds a look at one history.
const judgeTime = time.Minute

// judge checks the history, that wrong ones like it are told from it, and that the switches are those that were told.
func (s *stall) judge(total *tally) {
	s.Helper()
	began := time.Now()
	if s.doubts > maxDoubts {
		s.Fatalf("%s: %d demands are in doubt, and the model has room for %d", s.name, s.doubts, maxDoubts)
	}
	result := porcupine.CheckOperationsTimeout(markets(s.history), s.history, judgeTime)
	if result != porcupine.Ok {
		s.Errorf("the history of %s, %d demands, is not linearizable: %v", s.name, len(s.history), result)
		s.explain()
	}
	s.Logf("%s: %d demands, %d in doubt, looked at in %v", s.name, len(s.history), s.doubts, since(began))
	if result == porcupine.Ok {
		s.plantAll()
	}
	s.checkSwitches()
	s.audit()
	total.add(s.tally)
}

// plantAll wants every history with one wrong answer rejected.
func (s *stall) plantAll() {
	s.Helper()
	for what, wrong := range s.wrong() {
		began := time.Now()
		s.planted++
		if result := porcupine.CheckOperationsTimeout(markets(wrong), wrong, judgeTime); result == porcupine.Illegal {
			s.caught++
		} else {
			s.Errorf("%s: %s: %v after %v", s.name, what, result, since(began))
		}
	}
}

// explain shows the end of the shortest beginning of the history that is not in order.
func (s *stall) explain() {
	s.Helper()
	ops := slices.Clone(s.history)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	for n := range ops {
		part := beginning(ops, n+1)
		result := porcupine.CheckOperationsTimeout(markets(part), part, judgeTime/6)
		if result == porcupine.Ok {
			continue
		}
		for _, op := range part[max(0, n-40):] {
			s.Logf("[%v, %v] client %d: %v → %v", time.Duration(op.Call), time.Duration(op.Return), op.ClientId, op.Input, op.Output)
		}
		s.Logf("after all before it answer %d of these, and all that was in doubt then, cannot be: %v", min(n, 40)+1, result)
		return
	}
}

// beginning is the history up to its n-th answer: what was asked before and answered later is in doubt.
func beginning(ops []porcupine.Operation, n int) []porcupine.Operation {
	out, next := slices.Clone(ops[:n]), 0
	for _, op := range ops {
		next = max(next, op.Input.(demand).doubt+1)
	}
	for _, op := range ops[n:] {
		d := op.Input.(demand)
		if op.Call > ops[n-1].Return || d.verb == doRoute || d.verb == doLook || next == maxDoubts {
			continue
		}
		d.doubt = next
		next++
		op.Input, op.Output, op.Return = d, reply{unknown: true}, op.Call
		out = append(out, op)
	}
	return out
}

// checkSwitches wants every switch that somebody was told of to be there as that one, and no key to have made two.
func (s *stall) checkSwitches() {
	s.Helper()
	keys, revisions := map[string]int64{}, map[int64]string{}
	for _, sw := range s.switches() {
		if other, twice := keys[sw.Reason]; twice && sw.Reason != "" {
			s.Errorf("the demand %s made the switches %d and %d", sw.Reason, other, sw.Revision)
		}
		keys[sw.Reason], revisions[sw.Revision] = sw.Revision, sw.Reason
	}
	for _, key := range s.refused {
		if revision := keys[key]; revision != 0 {
			s.Errorf("%s was refused in the end, and made switch %d", key, revision)
		}
	}
	for revision, key := range s.acked {
		if revisions[revision] != key {
			s.Errorf("%s was told of switch %d, which is that of %q", key, revision, revisions[revision])
		}
	}
}
