package rollout

import "slices"

// Witnessed is the environment with what a node itself says of its present run, in place of what is recorded of that:
// the record may be older than the node, when the database was restored from a copy. seen is what the node does, staged
// are the generations that it knows.
func (e Environment) Witnessed(n Node, seen Receipt, staged []int) Environment {
	mine := func(router, name, incarnation string) bool {
		return router == n.Router && name == n.Name && incarnation == n.Incarnation
	}
	_, recorded := e.Receipt(n)
	if seen.Fence > e.Revision { // it refuses our revision, whatever it has written down
		seen.Revision = seen.Fence
	}
	if recorded || seen.Revision > e.Revision || (seen.Revision == e.Revision && seen.Hash != e.Route().Hash()) {
		e.Receipts = slices.DeleteFunc(slices.Clone(e.Receipts), func(r Receipt) bool { return mine(r.Router, r.Node, r.Incarnation) })
		e.Receipts = append(e.Receipts, seen)
	}
	// What is on its way out is taken out all the same, so that its record goes too.
	e.Stagings = slices.DeleteFunc(slices.Clone(e.Stagings), func(s Staging) bool {
		g, known := e.Generation(s.Generation)
		return mine(s.Router, s.Node, s.Incarnation) && known && g.State.Holds() && !slices.Contains(staged, s.Generation)
	})
	return e
}
