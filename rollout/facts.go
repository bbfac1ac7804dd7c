package rollout

import (
	"slices"
	"time"
)

// Facts are what was observed in the world since the last look, or done there.
type Facts struct {
	Receipts  []Receipt
	Staged    []Staging
	Unstaged  []Staging // removed from the node; Incarnation and SpecVersion do not matter
	Forgotten []Node    // nodes that dropped the whole environment
	Readings  []Reading
	Announced []int // generations that the registry knows now
	Withdrawn []int // generations that it does not know any more
	Unplaced  []int // generations that a node has no place for
	Adopting  []AdoptionSeen
	Members   []MembersSeen
	Trouble   *string // what the registry has trouble with now, empty for nothing; nil when that is as it was
}

// Empty says whether nothing was observed.
func (f Facts) Empty() bool {
	return len(f.Receipts)+len(f.Staged)+len(f.Unstaged)+len(f.Forgotten)+len(f.Readings)+len(f.Announced)+len(f.Withdrawn)+len(f.Unplaced)+len(f.Adopting)+len(f.Members) == 0 && f.Trouble == nil
}

// Record takes facts into the environment and makes the moves that they allow. Receipts and readings are stamped
// with now. In what a newer program wrote and this one does not understand, facts are taken in and nothing is moved.
func (e Environment) Record(facts Facts, now time.Time) Transition {
	c := e.change(System, now)
	c.e.Receipts, c.e.Stagings, c.e.Readings = slices.Clone(e.Receipts), slices.Clone(e.Stagings), slices.Clone(e.Readings)
	facts.Receipts, facts.Readings = e.ofKnownNodes(facts.Receipts), slices.Clone(facts.Readings)
	for i := range facts.Receipts {
		facts.Receipts[i].At = now
		c.receipt(facts.Receipts[i])
	}
	c.e.Receipts = slices.DeleteFunc(c.e.Receipts, func(r Receipt) bool {
		return slices.ContainsFunc(facts.Forgotten, func(n Node) bool { return n.Router == r.Router && n.Name == r.Node })
	})
	for _, s := range facts.Unstaged {
		c.unstaged(s)
	}
	for _, s := range facts.Staged {
		c.unstaged(s)
		c.e.Stagings = append(c.e.Stagings, s)
		c.placed(s.Generation)
	}
	for i := range facts.Readings {
		facts.Readings[i].At = now
		c.reading(facts.Readings[i])
	}
	for _, n := range facts.Announced {
		c.announced(n, true)
	}
	for _, n := range facts.Withdrawn {
		c.announced(n, false)
	}
	for _, n := range facts.Unplaced {
		c.noSlot(n)
	}
	for _, seen := range facts.Adopting {
		c.awaits(seen)
	}
	for _, seen := range facts.Members {
		c.members(seen)
	}
	if facts.Trouble != nil {
		c.trouble(*facts.Trouble)
	}
	c.settle()
	c.t.Facts = facts
	return c.done(Answer{})
}

// ofKnownNodes leaves out receipts of processes that are no node now, such as one whose name another has taken.
func (e Environment) ofKnownNodes(receipts []Receipt) []Receipt {
	return slices.DeleteFunc(slices.Clone(receipts), func(r Receipt) bool {
		return !slices.ContainsFunc(e.Nodes, func(n Node) bool {
			return n.Router == r.Router && n.Name == r.Node && n.Incarnation == r.Incarnation
		})
	})
}

func (c *change) announced(number int, known bool) {
	if g, ok := c.e.Generation(number); ok && g.Announced != known {
		c.edit(number, func(g *Generation) { g.Announced = known })
	}
}

func (c *change) unstaged(s Staging) {
	c.e.Stagings = slices.DeleteFunc(c.e.Stagings, s.sameAs)
}

func (s Staging) sameAs(o Staging) bool {
	return s.Generation == o.Generation && s.Router == o.Router && s.Node == o.Node
}

// receipt takes what a node does, unless it came late: a fenced node never goes back in one incarnation. (Of any other
// a lower revision is news: somebody may have changed it by hand.)
func (c *change) receipt(r Receipt) {
	var old Receipt
	if i := slices.IndexFunc(c.e.Receipts, func(o Receipt) bool { return o.Router == r.Router && o.Node == r.Node }); i >= 0 {
		old = c.e.Receipts[i]
	}
	if old.Incarnation == r.Incarnation && old.Revision > r.Revision && r.Grade == GradeFenced {
		return
	}
	if c.e.DeletedAt == nil && c.e.Foreign() == "" {
		c.sighted(r, old)
		c.sightDrift(r, old)
	}
	r.Fence, r.Newest, r.Edits = 0, 0, nil
	c.e.Receipts = slices.DeleteFunc(c.e.Receipts, func(o Receipt) bool { return o.Router == r.Router && o.Node == r.Node })
	c.e.Receipts = append(c.e.Receipts, r)
}

func (c *change) reading(r Reading) {
	for i, old := range c.e.Readings {
		if old.Generation == r.Generation && old.Service == r.Service {
			c.drift(old, r)
			c.e.Readings[i] = r
			return
		}
	}
	c.drift(Reading{}, r)
	c.e.Readings = append(c.e.Readings, r)
}
