package haproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

// Options are what a Node is made of. Router, Node and Socket are required.
type Options struct {
	Router string // the name of the fleet in specs and receipts
	Node   string // the name of this HAProxy within it
	// Socket is the runtime socket: unix:/path, tcp:host:port or tls:host:port.
	Socket string
	// Fence is the printed fence frontend, written in the same way; "" for none. Then the node is graded "read_back".
	Fence string
	// MapFile is viridian.map as this process reaches it; the state files lie beside it. With "" nothing is kept for a
	// restart, and a restarted HAProxy answers 503 until it is driven again.
	MapFile string
	// TLS is for addresses that begin with tls:. Nil verifies the server by the roots of the machine.
	TLS *tls.Config
	// Timeout is for one exchange with HAProxy; 1 s when 0.
	Timeout time.Duration
	// SlotRest is how long a slot stays empty before it is given to another generation; 12 s when 0. It must be longer
	// than HAProxy's "stats timeout" (10 s when not set): see address.exchange.
	SlotRest   time.Duration
	Clock      clockwork.Clock
	Failpoints *failpoint.Set
	Logger     *slog.Logger
}

// The defaults of [Options].
const (
	DefaultTimeout  = time.Second
	DefaultSlotRest = 12 * time.Second
)

// Node drives one HAProxy. It keeps nothing that HAProxy or its files do not hold, but for traffic that it counted and
// drains that it times: any number of Nodes, in any number of processes, may drive the same HAProxy.
type Node struct {
	router, name string
	runtime      runtime
	fence        *fence // nil: read, compare, write, read back
	files        *files // nil: none in reach
	rest         time.Duration
	clock        clockwork.Clock
	failpoints   *failpoint.Set
	logger       *slog.Logger

	layout  atomic.Pointer[layout] // of the run that was last seen
	drains  drains
	undone  undone
	traffic *traffic

	writing chan struct{} // capacity 1: whoever put something in may write files

	mu           sync.Mutex
	environments map[string]*environment
	placed       map[placeKey]placement // what this process filled slots with
}

var (
	_ router.Router    = (*Node)(nil)
	_ router.Pulser    = (*Node)(nil)
	_ router.Drainer   = (*Node)(nil)
	_ router.Measurer  = (*Node)(nil)
	_ router.Previewer = (*Node)(nil)
)

// New makes a Node; it connects to nothing yet. [Node.Run] counts its traffic.
func New(o Options) (*Node, error) {
	if o.Router == "" || o.Node == "" {
		return nil, errors.New("an HAProxy node needs the name of its router and one of its own")
	}
	fail := func(what string, err error) (*Node, error) {
		return nil, fmt.Errorf("node %s of router %s: %s: %w", o.Node, o.Router, what, err)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.SlotRest == 0 {
		o.SlotRest = DefaultSlotRest
	}
	if o.Clock == nil {
		o.Clock = clockwork.NewRealClock()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &Node{router: o.Router, name: o.Node, rest: o.SlotRest, clock: o.Clock, failpoints: o.Failpoints,
		logger: o.Logger.With("router", o.Router, "node", o.Node), environments: map[string]*environment{}, placed: map[placeKey]placement{},
		undone: undone{edits: map[string][]undoneEdit{}, told: map[string][]string{}}, writing: make(chan struct{}, 1), traffic: newTraffic()}
	socket, err := parseAddress(o.Socket, o.TLS)
	if err != nil {
		return fail("socket", err)
	}
	n.runtime = runtime{address: socket, timeout: o.Timeout}
	if o.Fence != "" {
		a, err := parseAddress(o.Fence, o.TLS)
		if err != nil {
			return fail("fence", err)
		}
		n.fence = &fence{address: a, timeout: o.Timeout}
	}
	if o.MapFile != "" {
		if n.files, err = newFiles(o.MapFile, o.Failpoints); err != nil {
			return fail("map_file", err)
		}
	}
	n.drains.timers = map[placeKey]drain{}
	return n, nil
}

// Run samples the traffic once a second until ctx ends, and returns its error.
func (n *Node) Run(ctx context.Context) error {
	ticker := n.clock.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if err := n.sample(ctx); err != nil && ctx.Err() == nil {
			n.logger.Debug("traffic was not counted", "error", err) // whether the node is there, the pulse tells
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.Chan():
		}
	}
}

// Grade says how the node holds off stale writers: fenced with a fence, else read_back.
func (n *Node) Grade() rollout.Grade {
	if n.fence == nil {
		return rollout.GradeReadBack
	}
	return rollout.GradeFenced
}

// Close stops the timers of drains. What they would have cut is cut by whoever observes the node next.
func (n *Node) Close() { n.drains.stopAll() }

// Pulse asks the node whether it is there, and which run of it. It is the cheapest question there is.
func (n *Node) Pulse(ctx context.Context) (string, error) {
	answers, err := n.runtime.show(ctx, command{"show", "info"})
	if err != nil {
		return "", err
	}
	i, err := readInfo(answers[0])
	return i.incarnation, err
}
