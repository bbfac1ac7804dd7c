package builtin

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/router"
)

// Name is the name of this router in specs and receipts.
const Name = "builtin"

// Options are what a Router is made of. Node, Incarnation and StateDir are required.
type Options struct {
	Node        string // the name of this process among its replicas; stable over restarts
	Incarnation string // names this run of the process
	StateDir    string // made when it is missing; belongs to one process at a time
	Clock       clockwork.Clock
	Failpoints  *failpoint.Set
	Logger      *slog.Logger
	// Random returns a number from 0 to n-1 and is called from many goroutines at once. It decides the split between
	// weighted generations.
	Random func(n int) int
}

// Router is the reverse proxy of one process and the one node of its fleet that this process drives. It serves
// traffic as an [net/http.Handler] as soon as it is made; probing begins with [Router.Run].
type Router struct {
	node, incarnation string

	clock      clockwork.Clock
	failpoints *failpoint.Set
	logger     *slog.Logger
	random     func(n int) int
	files      stateFiles
	buffers    bufferPool

	table   atomic.Pointer[table]
	sealed  atomic.Bool   // the state files are another process's, see Seal
	probing atomic.Bool   // Run is at work
	changed chan struct{} // wakes Run when what is to be probed may have changed

	mu           sync.Mutex // guards what follows, and is held while a table is built
	environments map[string]*environment
	bad          map[string]bool // environments whose state file could not be read and that nothing was heard of since
}

var (
	_ router.Router   = (*Router)(nil)
	_ router.Drainer  = (*Router)(nil)
	_ router.Measurer = (*Router)(nil)
)

// New makes a Router that serves what the state files say. A state file that cannot be read is logged, and put aside
// with a name ending in ".bad" when it is damaged: its environment is served again as soon as its route is applied; [Router.Loaded] counts them. An error is a missing option or a folder that cannot be
// used.
func New(o Options) (*Router, error) {
	if o.Node == "" || o.Incarnation == "" || o.StateDir == "" {
		return nil, errors.New("the builtin router needs a node name, an incarnation and a state folder")
	}
	if o.Clock == nil {
		o.Clock = clockwork.NewRealClock()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = rand.IntN
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder of the builtin router: %w", err)
	}
	r := &Router{
		node: o.Node, incarnation: o.Incarnation, clock: o.Clock, failpoints: o.Failpoints, random: o.Random,
		logger:       o.Logger.With("router", Name),
		files:        stateFiles{dir: o.StateDir, failpoints: o.Failpoints},
		changed:      make(chan struct{}, 1),
		environments: map[string]*environment{}, bad: map[string]bool{},
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	return r, nil
}

// load makes the environments of the state files and the first table.
func (r *Router) load() error {
	loaded, err := r.files.loadAll()
	if err != nil {
		return fmt.Errorf("state folder of the builtin router: %w", err)
	}
	for _, l := range loaded {
		if l.err != nil {
			r.bad[l.environment] = true
			r.logger.Error("state file cannot be read, its environment is not served until its route is applied again",
				"environment", l.environment, "error", l.err)
			continue
		}
		env := newEnvironment(l.environment)
		env.route = l.state.route()
		for _, g := range l.state.Generations {
			env.generations[g.Number] = r.newGeneration(l.environment, g.Number, g.Groups, g.members())
		}
		env.persisted, env.persistedState = l.state, l.content
		env.sites = env.build()
		r.environments[l.environment] = env
	}
	r.swapLocked()
	return nil
}

// Loaded tells how many environments have a routing table, and of how many there is only a state file that could not
// be read.
func (r *Router) Loaded() (environments, bad int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.environments), len(r.bad)
}

// Environments lists the environments that this node knows, from a state file or because somebody told of them.
func (r *Router) Environments() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.environments))
}

// Close cuts everything that is still open, stops what is draining and closes idle connections. It is for after the
// server in front has stopped accepting.
func (r *Router) Close() {
	for _, env := range r.snapshot() {
		env.mu.Lock()
		for _, g := range env.generations {
			g.stopDrain()
			g.cutOpen()
			g.closeIdle()
		}
		env.mu.Unlock()
	}
}

// snapshot lists the environments.
func (r *Router) snapshot() []*environment {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*environment, 0, len(r.environments))
	for _, env := range r.environments {
		out = append(out, env)
	}
	return out
}

// known returns the environment, or nil.
func (r *Router) known(name string) *environment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.environments[name]
}
