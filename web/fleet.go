package web

import "time"

// Fleet is the page of all nodes.
type Fleet struct {
	Routers []RouterView
}

// RouterView is a load balancer with its nodes.
type RouterView struct {
	Name, Driver string
	Nodes        []NodeView
}

// NodeView is one node and what it does in the environments that the viewer may see.
type NodeView struct {
	Router, Name, Incarnation, Version string
	State                              string // ready, unreachable or removed
	SeenAt                             time.Time
	InSync                             int
	Apart                              []NodeEnvironment // where it is not in sync
	Remove                             Action
}

// NodeEnvironment is what a node does in one environment.
type NodeEnvironment struct {
	Environment string
	Receipt     Receipt
	Decided     int64 // the revision that it should be at
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
