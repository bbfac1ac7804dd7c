// Package haproxy drives one HAProxy (2.6 or newer) that its owner already runs: through its runtime socket, through a
// private frontend that fences writes, and through the files that HAProxy reads at its start. ARCHITECTURE.md has the
// design in short; GUIDE.md is for the owner of an haproxy.cfg.
//
// All that Viridian tells HAProxy lies in one map, and all of an environment in one entry of it: revision, weights and
// the table of slots (entry.go). So a flip of all its services is the change of one map entry, made by compare and set
// (fence.go). A slot is one printed backend for each service, with template servers that are given addresses at run
// time (fill.go). Every call looks first (view.go), decides, and then writes, and whatever stops it half-way is finished
// by the next call.
//
// The instances of a group that is followed change in the slot while it serves (members.go).
//
// The configuration that this needs is printed by [Fragment].
//
// Start reading at node.go, then apply.go for the way of a flip and stage.go for the way of a new generation.
package haproxy
