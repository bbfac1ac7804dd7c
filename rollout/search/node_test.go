package search

// node is one node as it really is, whatever the database knows of it. What it serves by lies in memory; what lies on
// its disk is what it serves by after a restart.
type node struct {
	table, file holding
	run         uint8
	away        bool // it cannot be reached, and reaches nobody; it serves all the same
	draining    set  // generations that lost their weight, with requests that may still be open
	promised    uint8
	forgot      bool // its fence, in a restart; only where that is planted
}

// holding is what a node knows: the route, and the generations that are staged.
type holding struct {
	route  route
	staged set
	term   uint8 // the highest lease term that wrote to it
}

// refused says whether the fence keeps a writer out. A writer with the term 0 is the node's own replica.
func (n *node) refused(w *world, term, revision uint8) bool {
	if w.lack.fence || n.forgot {
		return false
	}
	return revision < n.table.route.revision || (term > 0 && term < n.table.term)
}

func (n *node) inUse(generation uint8) bool {
	r := n.table.route
	return r.shares[generation] > 0 || generation == r.live || generation == r.previous
}

// stage makes the generation known, durably. What is staged gets no traffic, and so a node that said that it is ahead
// lets it happen.
func (n *node) stage(w *world, term uint8, p *plan, generation uint8) bool {
	if n.refused(w, term, max(p.route.revision, p.own)) {
		return false
	}
	n.table.term = max(n.table.term, term)
	n.table.staged.add(generation)
	n.table.route.spec = max(n.table.route.spec, p.route.spec)
	n.file = n.table
	return true
}

// swap makes the node serve by the plan's route, until its next restart. When it refuses, what serves is made durable.
func (n *node) swap(w *world, term uint8, p *plan) bool {
	have := &n.table.route
	other := have.revision == p.route.revision && (have.shares != p.route.shares || have.live != p.route.live)
	if n.refused(w, term, p.route.revision) || (other && !w.lack.fence) {
		if !w.lack.candour {
			n.persist()
		}
		return false
	}
	if p.route.shares.carried()&^n.table.staged != 0 && !w.lack.driver {
		return false // a weighted generation that was not staged
	}
	before := have.shares.carried()
	spec := max(have.spec, p.route.spec)
	*have = p.route
	have.spec = spec
	n.table.term = max(n.table.term, term)
	n.draining = (n.draining | before) &^ have.shares.carried()
	n.forgot = false
	return true
}

// persist makes what the node serves by durable.
func (n *node) persist() { n.file = n.table }

// remove forgets the generation, durably.
func (n *node) remove(w *world, term uint8, p *plan, generation uint8) bool {
	if n.refused(w, term, p.route.revision) || (n.inUse(generation) && !w.lack.driver) {
		return false
	}
	n.table.term = max(n.table.term, term)
	n.table.staged.drop(generation)
	n.file = n.table
	return true
}

// removeUnknown takes out what the database does not know any more, as a follower does at the end of its pass.
func (n *node) removeUnknown(w *world, term uint8, p *plan) {
	if have := n.file.route; have.revision != p.route.revision || have.shares != p.route.shares || have.live != p.route.live {
		return
	}
	for g := uint8(1); g <= p.last; g++ {
		if n.table.staged.has(g) && !p.known.has(g) {
			n.remove(w, term, p, g)
		}
	}
}

// restart brings the node up with what lies on its disk. Whatever was open is cut by that, and not by a switch.
func (n *node) restart(w *world) {
	n.table, n.draining = n.file, 0
	n.run++
	n.forgot = w.lack.durability
}

// shows is what the node tells of itself: what is durable, and whether it serves by something else.
func (n *node) shows() receipt {
	r := receipt{Route: n.file.route, Error: n.table.route.revision != n.file.route.revision}
	r.Route.previous, r.Route.timeline, r.Route.edited = 0, 0, false // a receipt does not tell them
	if r.Error {
		r.Fence = n.table.route.revision
	}
	for g := range uint8(maxGenerations + 1) {
		if n.table.staged.has(g) || r.Route.shares[g] > 0 {
			r.Newest = g
		}
	}
	return r
}
