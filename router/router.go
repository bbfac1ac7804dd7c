package router

import (
	"context"
	"errors"
	"time"

	"viridian/rollout"
)

// Router drives one node of a load balancer; a fleet is one Router for each of its nodes. Every method has the context's
// deadline, may be called again with the same arguments to the same effect, and may be called for different
// environments at once.
type Router interface {
	// Stage makes the generation's groups known at weight 0, or updates how they are checked. Route says hosts and
	// health questions. The groups of a number change in three ways. Those that are followed get other members, and say
	// since when ([rollout.Generation.MembersAt]): members that stay are not disturbed, whatever weight they have; what is
	// open on those that left goes on; and the members of an earlier time never replace those of a later one at one
	// revision. A number taken out by Remove may come back. And a database that was restored may give one out again: its
	// groups replace those that have no weight on the node, or that have it in the route too. Others serve on, and that
	// is an error.
	Stage(ctx context.Context, fence Fence, route rollout.Route, generation rollout.Generation) error
	// Apply makes the node do what the route says, in one atomic change, and makes it durable before it returns. It
	// answers ErrStale and changes nothing when the node is already at a higher revision; the same revision
	// again is no error, but with other weights it is ErrDiverged. A weighted generation that was not staged is
	// ErrNotStaged. In these cases nothing changes, but that what serves is made durable where it was not yet.
	Apply(ctx context.Context, fence Fence, route rollout.Route) error
	// Observe reads what the node does now in the environment. An environment that the node does not know is a receipt
	// at revision 0 without weights. A node that can be read and is not well says so in the receipt's Error. What a
	// restart would lose does not count: then Revision and weights are those that it would find, Fence is the revision
	// that serves, and Error says so.
	Observe(ctx context.Context, environment string) (Observation, error)
	// Remove forgets the generation. It is ErrInUse while the generation has weight or is live or previous.
	// Removing what is not there is no error.
	Remove(ctx context.Context, fence Fence, environment string, generation int) error
	// Forget drops the environment, after its last generation was removed and its route has no weights.
	Forget(ctx context.Context, fence Fence, environment string) error
}

// Fence stops a stale writer: Term is the writer's lease term (0 where a replica writes to its own node), Revision
// the newest revision it knows.
type Fence struct {
	Term     int64
	Revision int64
}

// Observation is what one node does in one environment: its receipt and the generations it knows.
type Observation struct {
	rollout.Receipt
	Staged []int
}

// The errors that a driver answers with; test with errors.Is.
var (
	ErrStale     = errors.New("the node is at a higher revision")
	ErrNotStaged = errors.New("the generation is not staged on the node")
	ErrInUse     = errors.New("the generation is in use")
	ErrDiverged  = errors.New("the node holds other weights at this revision")
	// ErrNoSlot is of nodes that have a fixed number of places: the generation waits until another one is removed.
	ErrNoSlot = errors.New("the node has no free place for another generation")
)

// Pulser is a node that is not this process: it may be away, and come back as another incarnation that has forgotten.
type Pulser interface {
	// Pulse asks the node, as cheaply as can be, whether it is there, and which incarnation of it. An error means that
	// it cannot be reached now.
	Pulse(ctx context.Context) (incarnation string, err error)
}

// Drainer counts what is still open on a generation: requests being answered and upgraded connections.
type Drainer interface {
	InFlight(ctx context.Context, environment string, generation int) (int, error)
}

// Previewer is a router through which a staged generation can be reached before it has weight, from the networks that
// the environment allows.
type Previewer interface {
	// Preview tells how. A generation that is not staged is ErrNotStaged.
	Preview(ctx context.Context, environment string, generation int) (Preview, error)
}

// Preview is how a generation is reached: by a request to a host of the environment with the header, or to one of Hosts.
type Preview struct {
	Header, Value string
	Hosts         []string
}

// Measurer tells the traffic of each generation in one-second buckets, oldest first, for at most the last 15 minutes.
type Measurer interface {
	Measure(ctx context.Context, environment string, from, to time.Time) ([]Bucket, error)
}

// Bucket is one second of traffic of one generation. Errors are answers of 500 and above and connections that failed.
// Latency counts requests by duration: Latency[i] of them took at most LatencyBounds[i] and longer than the bound
// before it, the last entry longer than all bounds.
type Bucket struct {
	At         time.Time
	Generation int
	Requests   int64
	Errors     int64
	Latency    []int64
}

// LatencyBounds are the upper ends of the latency counts in Bucket, growing by about a quarter from 0.1 ms to 60 s.
var LatencyBounds = latencyBounds()

func latencyBounds() []time.Duration {
	var out []time.Duration
	for d := 100 * time.Microsecond; d < time.Minute; d += d / 4 {
		out = append(out, d)
	}
	return append(out, time.Minute)
}
