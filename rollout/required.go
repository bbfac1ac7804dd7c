package rollout

import (
	"fmt"
	"slices"
	"time"
)

// Builtin is the name of the router inside our own processes: each replica is a node of it.
const Builtin = "builtin"

// Required says how many nodes of a router must have staged a generation before it is validated or promoted, and must
// be seen at a switch before it is applied. A router without any node has never staged or applied anything.
type Required string

// The policies of routers. Whatever the policy, a node that does not follow makes an applied switch degraded, is told
// the newest route when it is back, and holds up the removal of generations.
const (
	// RequiredReachable: all nodes heard of lately. It is the builtin router's: a replica that is gone serves nothing.
	RequiredReachable Required = "reachable"
	// RequiredAll: all nodes, silent ones too. It is the default of every other router.
	RequiredAll Required = "all"
	// RequiredQuorum: more than half of the nodes, silent ones counted.
	RequiredQuorum Required = "quorum"
)

// RequiredOf is the policy of a router of the environment.
func (e Environment) RequiredOf(router string) Required {
	if policy, ok := e.Required[router]; ok {
		return policy
	}
	if router == Builtin {
		return RequiredReachable
	}
	return RequiredAll
}

// RequiredNodes are the nodes whose word is waited for where each of them counts by itself: all of a router that
// requires all, and of any other those heard of lately.
func (e Environment) RequiredNodes(now time.Time) []Node {
	var out []Node
	for _, n := range e.Nodes {
		if slices.Contains(e.Spec.Routers, n.Router) && (!e.silent(n, now) || e.RequiredOf(n.Router) == RequiredAll) {
			out = append(out, n)
		}
	}
	return out
}

// StagedEverywhere says whether as many nodes of every router as its policy requires have staged the generation with its
// present members; if not, the reason names what is missing.
func (e Environment) StagedEverywhere(generation int, now time.Time) (bool, string) {
	why := e.enough(now, func(n Node) string { return e.unstaged(n, generation) })
	return why == "", why
}

// stagedBySpec says what keeps the generation from being staged by the present version of the spec on as many nodes as
// are required; empty when nothing does.
func (e Environment) stagedBySpec(generation int, now time.Time) string {
	return e.enough(now, func(n Node) string {
		why := e.unstaged(n, generation)
		if s, _ := e.staging(n, generation); why == "" && s.SpecVersion < e.SpecVersion {
			return "knows it by an older spec"
		}
		return why
	})
}

// unstaged says what the node lacks of the generation; empty for nothing.
func (e Environment) unstaged(n Node, generation int) string {
	g, _ := e.Generation(generation)
	switch s, ok := e.staging(n, generation); {
	case !ok:
		return "has not staged it"
	case s.MembersAt.Before(g.MembersAt):
		return "does not have its present members yet"
	}
	return ""
}

// unseen says what keeps the present revision from counting as applied; empty when nothing does.
func (e Environment) unseen(now time.Time) string {
	return e.enough(now, func(n Node) string {
		switch state := e.ReceiptState(n, now); state {
		case InSync:
			return ""
		case Unreachable:
			return "was not seen at it"
		default:
			return fmt.Sprintf("is %s", state)
		}
	})
}

// notApplied is unseen of a switch that still waits for its nodes.
func (e Environment) notApplied(now time.Time) string {
	if e.Switch == nil || e.Switch.Status != Committed {
		return ""
	}
	return e.unseen(now)
}

// enough asks for something of the nodes of every router, and says what is missing by the router's policy. missing is
// empty for a node that is as it should be.
func (e Environment) enough(now time.Time, missing func(Node) string) string {
	for _, router := range e.Spec.Routers {
		if why := e.enoughOf(router, now, missing); why != "" {
			return why
		}
	}
	if len(e.Spec.Routers) == 0 {
		return "it has no routers"
	}
	return ""
}

func (e Environment) enoughOf(router string, now time.Time, missing func(Node) string) string {
	policy, all, good, first := e.RequiredOf(router), 0, 0, ""
	for _, n := range e.Nodes {
		silent := e.silent(n, now)
		if n.Router != router || (silent && policy == RequiredReachable) {
			continue
		}
		all++
		switch why := missing(n); {
		case why == "":
			good++
		case first == "":
			first = fmt.Sprintf("node %s of router %s %s", n.Name, router, why)
			if silent {
				first += ", and cannot be reached"
			}
		}
	}
	switch {
	case all == 0 && policy == RequiredReachable:
		return fmt.Sprintf("no node of router %s has been heard of lately", router)
	case all == 0:
		return fmt.Sprintf("router %s has no node", router)
	case good == all, policy == RequiredQuorum && 2*good > all:
		return ""
	case policy == RequiredQuorum:
		return fmt.Sprintf("%d of %d nodes of router %s is too few: %s", good, all, router, first)
	}
	return first
}

// silent says whether the node was not heard of for so long that it counts as unreachable.
func (e Environment) silent(n Node, now time.Time) bool { return now.After(e.silentAfter(n)) }

// silentAfter is when the node counts as unreachable unless it is heard of. The time in which nobody could be heard is
// held against none that was heard of before.
func (e Environment) silentAfter(n Node) time.Time {
	since := n.SeenAt
	if n.EverSeen() && e.HeardSince.After(since) {
		since = e.HeardSince
	}
	return since.Add(e.Timing.Silence)
}

// awayWarnings names the nodes that a switch made now will not reach at once.
func (e Environment) awayWarnings(now time.Time) []string {
	var out []string
	for _, n := range e.Nodes {
		if !e.silent(n, now) {
			continue
		}
		text := fmt.Sprintf("node %s of router %s cannot be reached, and follows when it is back", n.Name, n.Router)
		if e.RequiredOf(n.Router) == RequiredAll {
			text += "; until then the switch does not count as applied"
		}
		out = append(out, text)
	}
	return out
}
