package web

import "time"

// Fleet is the page of all nodes.
type Fleet struct {
	Routers []RouterView
}

// RouterView is a load balancer with its nodes.
type RouterView struct {
	Name, Driver string
	Required     string // which nodes a switch waits for
	Grade        string // how safe its nodes are from stale writers
	Nodes        []NodeView
	Removed      []NodeView // taken out, the latest first
}

// NodeView is one node and what it does in the environments that the viewer may see.
type NodeView struct {
	Router, Name, Incarnation, Version string
	State                              string    // ready, unreachable or removed
	SeenAt                             time.Time // zero for never
	Error                              string    // why this replica does not reach it
	InSync                             []NodeEnvironment
	Apart                              []NodeEnvironment // where it is not in sync
	Remove                             Action
}

// NodeEnvironment is what a node does in one environment.
type NodeEnvironment struct {
	Environment string
	Receipt     Receipt
	Decided     int64 // the revision that it should be at
}

// maxListed bounds how many environments a node's list shows.
const maxListed = 50

// driver is what a router is driven by, in words.
func (r RouterView) driver() string {
	if r.Driver == "" {
		return "not in the configuration of this replica"
	}
	return "driver " + r.Driver
}

// required is which nodes a switch waits for, in words.
func (r RouterView) required() string {
	switch r.Required {
	case "quorum":
		return "a switch waits for more than half of its nodes"
	case "reachable":
		return "a switch waits for every node that is heard of"
	}
	return "a switch waits for every node"
}

// grade is what keeps stale writers from a router's nodes, in words.
func (r RouterView) grade() string {
	if r.Grade == "fenced" {
		return "fenced: a node refuses what is older than what it has"
	}
	return "read back: what was written is looked at again"
}

func (n NodeView) tone() Tone {
	switch n.State {
	case "ready":
		return Good
	case "unreachable":
		return Warn
	}
	return Neutral
}

// lag is how many revisions a node is behind, in words.
func (e NodeEnvironment) lag() string {
	switch behind := e.Decided - e.Receipt.Revision; {
	case !e.Receipt.Seen:
		return "nothing recorded"
	case behind > 0:
		return plural(int(behind), "revision behind", "revisions behind")
	case behind < 0:
		return plural(int(-behind), "revision ahead", "revisions ahead")
	}
	return "revision " + itoa64(e.Receipt.Revision)
}
