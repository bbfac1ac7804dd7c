package rollout

import "time"

// Node is one process of a router's fleet. Incarnation names one run of it (process id and start time), so that what
// was seen of an earlier run is not taken for this one's.
type Node struct {
	Router      string
	Name        string
	Incarnation string
	Version     string
	SeenAt      time.Time
	Removed     bool // taken out by an operator, or signed off
}

// Receipt is what one node was last seen doing in one environment.
type Receipt struct {
	Router      string
	Node        string
	Incarnation string
	Revision    int64
	SpecVersion int64
	Hash        string // of weights and live, see [Route.Hash]
	Weights     Weights
	// InFlight counts, by generation without weight, the requests and connections still open there.
	InFlight map[int]int
	At       time.Time
	Grade    Grade
	Error    string

	// What follows is reported and taken in, and not kept with the receipt.

	// Fence is the revision below which the node refuses a route, where that is above Revision: it serves what it
	// could not make durable.
	Fence int64
	// Newest is the highest number of a generation that the node knows.
	Newest int
	// Edits are what somebody changed on the node behind Viridian's back, each in words, to be told.
	Edits []string
}

// open counts what is still open on generations without weight.
func (r Receipt) open() int {
	n := 0
	for _, count := range r.InFlight {
		n += count
	}
	return n
}

// Grade says how safe a node is from stale writers.
type Grade string

// The grades of a receipt.
const (
	// GradeFenced: the node itself compares and sets the revision.
	GradeFenced Grade = "fenced"
	// GradeReadBack: the driver reads, compares, writes and reads back under the lease.
	GradeReadBack Grade = "read_back"
)

// ReceiptState is a receipt held against the route.
type ReceiptState string

// The states of a receipt.
const (
	InSync      ReceiptState = "in_sync"
	Behind      ReceiptState = "behind"
	Drifted     ReceiptState = "drifted"
	Ahead       ReceiptState = "ahead"
	Unreachable ReceiptState = "unreachable"
)

// Staging records that a node knows the groups of a generation, at weight 0 or more.
type Staging struct {
	Generation  int
	Router      string
	Node        string
	Incarnation string
	SpecVersion int64
	MembersAt   time.Time // see [Generation.MembersAt]
}

// Reading is the health of one service of one generation, as the registry last knew it.
type Reading struct {
	Generation int
	Service    string
	Healthy    int
	Unhealthy  int // the rest of Total has not been asked often enough to tell
	Total      int
	At         time.Time
	Detail     string // what the first unhealthy instance answered
	// Drift says how the instances differ from what was registered, other than by their health; empty for not at all.
	Drift string
	// Mismatched counts those that say they run another artifact than the generation's.
	Mismatched int
}
