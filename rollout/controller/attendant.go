package controller

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
)

// attendant does what the holder of an environment's lease has to do on one node of a fleet: it brings the node to the
// committed route, and looks whether it stays there. Each has a goroutine, a deadline and a backoff of its own, so that
// a node that hangs or is away delays no other.
type attendant struct {
	t      *tenure
	patrol *patrol
	key    string // for the log and the backoff
	cancel context.CancelFunc
	asked  chan struct{} // holds one

	mu     sync.Mutex
	next   *task // what was last asked
	reload bool  // the database may know more than next
	urgent bool  // the node has just come back: what failed before need not fail now
	doing  int64 // the revision that is being followed to
	cut    context.CancelFunc

	// Only the attendant's own goroutine uses the rest.
	look  bool // what the node holds may not be what was recorded
	tried task // the last that failed; of nothing after a success
	retry clockwork.Timer
	last  rollout.Receipt // the node as it was last recorded, or found to be so
	knows []int           // generations that the node is recorded to know
	edits edits           // of the node, by somebody else
	// warned is what was last found on the node, so that it is logged once.
	warned string
}

// task is an environment as it should be followed to. Without one it is loaded.
type task struct {
	e   *rollout.Environment
	now time.Time
	// loaded says that now is the database's time; else it is this process's, and nothing is removed by it.
	loaded bool
}

// errRestarted says that another run of the node answered than the one that is acted for.
var errRestarted = errors.New("the node has restarted")

// ask wants the node to follow to the environment, unless a newer one was asked for. It does not block. What is being
// done for an earlier revision is cut short: a load balancer may take seconds to check the instances of a candidate, and
// no rollback waits for that.
func (a *attendant) ask(next task) {
	a.mu.Lock()
	if a.cut != nil && next.e.Revision > a.doing {
		a.cut()
	}
	if a.next == nil || a.next.e.Version <= next.e.Version {
		a.reload = a.reload || (a.next != nil && a.next.loaded && !next.loaded)
		a.next = &next
	}
	a.mu.Unlock()
	a.signal()
}

// urge has the node looked at now.
func (a *attendant) urge() {
	a.mu.Lock()
	a.urgent = true
	a.mu.Unlock()
	a.signal()
}

func (a *attendant) signal() {
	select {
	case a.asked <- struct{}{}:
	default:
	}
}

// take is what is to be done now; ok is false when that is nothing, or failed just before and has its time to be tried
// again.
func (a *attendant) take() (next task, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ok = a.urgent
	if a.next != nil {
		e, failed := a.next.e, a.tried.e
		ok = ok || a.retry == nil || failed == nil || e.Revision != failed.Revision || e.SpecVersion != failed.SpecVersion
		if !a.reload && !a.urgent {
			next = *a.next
		}
	}
	a.look = a.look || a.urgent
	a.next, a.reload, a.urgent = nil, false, false
	return next, ok
}

// run attends until ctx ends.
func (a *attendant) run(ctx context.Context) {
	ticker := a.t.w.Clock.NewTicker(a.t.w.tick())
	defer ticker.Stop()
	a.look = true
	for {
		var again <-chan time.Time
		if a.retry != nil {
			again = a.retry.Chan()
		}
		select {
		case <-ctx.Done():
			return
		case <-a.asked:
			if next, ok := a.take(); ok {
				a.pass(ctx, next)
			}
		case <-again:
			a.pass(ctx, task{})
		case <-ticker.Chan():
			if a.retry == nil {
				a.glance(ctx)
			}
		}
	}
}

// glance reads the node, and goes to work when it is not as it was recorded.
func (a *attendant) glance(ctx context.Context) {
	h, ok := a.hand()
	if !ok || a.last.Router == "" { // nothing was recorded of it yet
		return
	}
	o, err := h.observe(ctx, a.t.name)
	if err == nil {
		a.edits.look(o.Edits)
	}
	untold := len(a.edits.due(a.t.w.Clock.Now())) > 0
	if err == nil && !untold && o.Incarnation == h.node.Incarnation && sameReceipt(o.Receipt, a.last) && !slices.ContainsFunc(a.knows, func(n int) bool { return !slices.Contains(o.Staged, n) }) {
		return
	}
	if ctx.Err() == nil {
		a.look = true
		a.pass(ctx, task{}) // which meets the same error, and tells it
	}
}

// pass brings the node to where the environment's route is. When that fails it is tried again, ever more rarely; a newer
// route, or a node that has just come back, at once.
func (a *attendant) pass(ctx context.Context, next task) {
	w := a.t.w
	if a.retry != nil {
		a.retry.Stop()
		a.retry = nil
	}
	err := a.follow(ctx, &next)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		a.tried = task{}
		w.backoff.worked(w.log, a.key)
	default:
		a.look, a.tried = true, next
		a.retry = w.Clock.NewTimer(w.backoff.failed(w.log, a.key, err))
	}
}
