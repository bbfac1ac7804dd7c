package rollout

import (
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// stage makes a generation known; other instances under its number only where nothing but the route's own wish gives
// them traffic.
func (n *simNode) stage(e Environment, number int) bool {
	g, _ := e.Generation(number)
	known, other := n.staged[number]
	if other = other && known != g.Version; other && n.weights.Carries(number) && (!e.Weights.Carries(number) || e.Revision < n.revision) {
		return false
	}
	n.staged[number] = g.Version
	return true
}

// dropUnknown takes out what the database does not know, once the node does what the database says.
func (n *simNode) dropUnknown(e Environment) {
	if n.revision != e.Revision || n.hash != e.Route().Hash() {
		return
	}
	for number := range n.staged {
		if _, known := e.Generation(number); !known && !n.weights.Carries(number) {
			delete(n.staged, number)
		}
	}
}

// Edit changes by hand what a node does: all of its traffic goes to one generation that it knows.
func (m *machine) Edit() {
	n := rapid.SampledFrom(m.nodes).Draw(m.r, "node")
	if len(n.staged) == 0 || n.revision == 0 {
		return
	}
	number := rapid.SampledFrom(slices.Sorted(maps.Keys(n.staged))).Draw(m.r, "to")
	n.weights, n.unseen = Weights{number: 100}, true
	n.hash = Route{Weights: n.weights, Live: number}.Hash()
}

// Backup copies the database.
func (m *machine) Backup() {
	m.copied = &world{e: m.e, gone: maps.Clone(m.gone), promotions: maps.Clone(m.promotions), switches: maps.Clone(m.switches)}
}

// Restore puts the copy in the place of the database. The nodes and the time go on.
func (m *machine) Restore() {
	if m.copied == nil || m.copied.e.Name == "" {
		return
	}
	m.e, m.gone = m.copied.e, maps.Clone(m.copied.gone)
	m.promotions, m.switches = maps.Clone(m.copied.promotions), maps.Clone(m.copied.switches)
	for _, n := range m.nodes {
		n.unseen = true
		for number, version := range n.staged {
			if g, known := m.e.Generation(number); known && g.Version != version {
				m.counts["known by another version"]++
			}
		}
	}
	m.late = nil
	m.beat()
}

// Peace lets everybody work undisturbed: then every node does what the database says, unless it is known to be wrong
// that it should.
func (m *machine) Peace() {
	for _, n := range m.nodes {
		n.silent, n.away, n.slots = false, false, 0 // a node that has no place waits for an operator
	}
	for range 40 {
		m.Converge()
		if m.e.DeletedAt != nil || m.inOrder() {
			return
		}
	}
	if lost, ahead := m.e.lost(); !ahead || lost.Held == "" {
		m.Fatalf("after all is well again, revision %d, switch %+v, lost %+v, receipts %+v", m.e.Revision, m.e.Switch, lost, m.e.Receipts)
	}
}

func (m *machine) inOrder() bool {
	for _, n := range m.e.Nodes {
		if m.e.ReceiptState(n, m.now) != InSync || m.sim(n.Name).spec != m.e.SpecVersion {
			return false
		}
		for number, version := range m.sim(n.Name).staged {
			if g, known := m.e.Generation(number); known && g.Version != version && g.State.Holds() {
				return false
			}
		}
	}
	return m.e.Switch == nil || m.e.Switch.Status != Committed
}
