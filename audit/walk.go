package audit

import (
	"encoding/json"
	"fmt"
)

// Walk verifies one chain, event by event in the order of positions.
type Walk struct {
	chain   Chain
	end     *End
	noted   map[string]*Noted
	record  *Anchor // what the last event of the kind Pruned says
	trusted bool
}

// NewWalk begins at the anchor, or at the first event where it is nil. End is what the chain is said to end with.
func NewWalk(environment string, anchor *Anchor, end End) *Walk {
	w := &Walk{chain: Chain{Environment: environment, Anchor: anchor}, end: &end, noted: map[string]*Noted{}}
	if anchor != nil {
		w.chain.Verified, w.chain.LastEvent = End{Length: anchor.Position, Head: anchor.Hash}, anchor.Event
	}
	return w
}

// Trust makes the walk believe its anchor without an event that tells of it: what comes before was left out, not pruned.
func (w *Walk) Trust() { w.trusted = true }

// Look makes the walk look out for a hash that was noted elsewhere. It may be the anchor's, too.
func (w *Walk) Look(n *Noted) {
	w.noted[n.Hash] = n
	if a := w.chain.Anchor; a != nil && a.Hash == n.Hash {
		w.found(n, a.Position)
	}
}

func (w *Walk) found(n *Noted, position int64) {
	n.Found, n.Environment, n.Position = true, w.chain.Environment, position
}

// Verified is the last place that was found right, where a reader goes on.
func (w *Walk) Verified() int64 { return w.chain.Verified.Length }

// LastEvent is the id of the last event that was found right; the anchor's before the first.
func (w *Walk) LastEvent() int64 { return w.chain.LastEvent }

// Step takes the next event. It is false when that one is wrong; there is no more to be learned of the chain then.
func (w *Walk) Step(e Event) bool {
	if w.chain.Fault != nil {
		return false
	}
	at := &w.chain.Verified
	switch {
	case e.Environment != w.chain.Environment:
		w.wrong(e.ID, e.Position, fmt.Sprintf("it is an event of another chain, %q", e.Environment))
	case e.Position != at.Length+1:
		w.wrong(e.ID, at.Length+1, fmt.Sprintf("event %d is at place %d, and no event is at place %d", e.ID, e.Position, at.Length+1))
	case e.PrevHash != at.Head:
		w.wrong(e.ID, e.Position, "it does not follow the event before it")
	case e.Sum() != e.Hash:
		w.wrong(e.ID, e.Position, "its content is not what was hashed")
	case e.ID <= w.chain.LastEvent:
		w.wrong(e.ID, e.Position, fmt.Sprintf("its number does not follow %d, that of the event before it", w.chain.LastEvent))
	default:
		w.take(e)
		return true
	}
	return false
}

func (w *Walk) take(e Event) {
	w.chain.Verified, w.chain.LastEvent = End{Length: e.Position, Head: e.Hash}, e.ID
	w.chain.Events++
	if n := w.noted[e.Hash]; n != nil {
		w.found(n, e.Position)
	}
	if e.Kind == Pruned {
		var a Anchor
		if err := json.Unmarshal(e.Raw, &a); err != nil {
			a = Anchor{} // of no anchor that there is
		}
		w.record = &a
	}
}

// Wrong notes a fault that shows in another way than by an event, unless there was one before.
func (w *Walk) Wrong(problem string) { w.wrong(0, w.chain.Verified.Length, problem) }

func (w *Walk) wrong(event, position int64, problem string) {
	if w.chain.Fault == nil {
		w.chain.Fault = &Fault{Event: event, Position: position, Problem: problem}
	}
}

// Close compares what was walked with the chain's end and with the anchor, and returns what was found.
func (w *Walk) Close() Chain {
	c := w.chain
	switch at := c.Verified; {
	case c.Fault != nil:
	case at.Length < w.end.Length:
		w.wrong(0, at.Length+1, fmt.Sprintf("the chain is said to have %d events, and ends with place %d", w.end.Length, at.Length))
	case at.Length > w.end.Length:
		w.wrong(c.LastEvent, w.end.Length+1, fmt.Sprintf("the chain is said to have %d events, and goes on to place %d", w.end.Length, at.Length))
	case at.Head != w.end.Head:
		w.wrong(c.LastEvent, at.Length, "the chain is said to end with another hash")
	case w.trusted:
	case c.Anchor == nil && w.record != nil:
		w.wrong(0, w.record.Position, "an event says that the chain was pruned, and it has no anchor")
	case c.Anchor != nil && (w.record == nil || w.record.Position != c.Anchor.Position || w.record.Event != c.Anchor.Event || w.record.Hash != c.Anchor.Hash):
		w.wrong(0, c.Anchor.Position, "the chain is pruned up to a place that no event in it tells of")
	}
	return w.chain
}
