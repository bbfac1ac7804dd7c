package controller

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
)

// Worker does the work that only one replica may do for an environment: it claims leases, and for each one holds a
// [tenure] that announces, watches, settles, and has the nodes of fleets attended. Beside that it keeps a [patrol] of
// each of those nodes.
type Worker struct {
	Options
	log     *slog.Logger
	backoff *backoff
	lanes   *lanes
	relays  *lanes
	patrols map[nodeKey]*patrol
	news    chan struct{} // holds one: heartbeats are to be recorded at once

	mu       sync.Mutex
	closed   bool
	tenures  map[string]*tenure
	versions map[string]int64
	left     map[string]int64 // environments left to newer programs, by the version at which they were looked at
	wait     sync.WaitGroup
}

// NewWorker makes a worker; Run starts it.
func NewWorker(o Options) *Worker {
	w := &Worker{Options: o, log: o.Log.With("loop", "worker", "node", o.Node.Name), backoff: newBackoff(o.Random),
		tenures: map[string]*tenure{}, versions: map[string]int64{}, left: map[string]int64{}, news: make(chan struct{}, 1)}
	if w.Contacts == nil {
		w.Contacts = NewContacts()
	}
	w.lanes, w.relays, w.patrols = newLanes(w.pass), newLanes(w.relay), w.patrolsOf()
	return w
}

// Run works until ctx ends, then gives its leases back.
func (w *Worker) Run(ctx context.Context) error {
	defer w.Hub.Subscribe("", func(name string, e *rollout.Environment) { w.heard(ctx, name, e) })()
	defer w.close(ctx)
	w.patrol(ctx)
	ticker := w.Clock.NewTicker(w.LeaseTTL / 3)
	defer ticker.Stop()
	pruned := time.Time{}
	for {
		err := w.renew(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			w.backoff.failed(w.log, "leases", err)
		default:
			w.backoff.worked(w.log, "leases")
		}
		if w.Clock.Since(pruned) > time.Hour && w.prune(ctx) == nil {
			pruned = w.Clock.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.Chan():
		}
	}
}

// heard asks for a pass over an environment that changed in this process. While a switch is on its way to the nodes, the
// pass waits a little: it would only compete for the database with those that the caller waits for. The nodes of fleets
// are among those, and hear of it at once.
func (w *Worker) heard(ctx context.Context, name string, e *rollout.Environment) {
	if e != nil {
		w.mu.Lock()
		w.versions[name] = max(w.versions[name], e.Version) // a database may go back behind it before the next look
		w.mu.Unlock()
	}
	w.toNodes(ctx, name, e)
	if e != nil && e.Switch != nil && e.Switch.Status == rollout.Committed {
		w.Clock.AfterFunc(giveWay, func() { w.lanes.run(ctx, name, nil) })
		return
	}
	w.lanes.run(ctx, name, e)
}

// giveWay is how long work on an environment waits for a switch that was just committed.
const giveWay = 100 * time.Millisecond

// holder names this run of this replica in lease rows.
func (w *Worker) holder() string { return w.Node.Name + "/" + w.Node.Incarnation }

// renew claims and renews leases. What is not renewed ends by itself at its trusted time.
func (w *Worker) renew(ctx context.Context) error {
	attempt := w.Clock.Now()
	call, cancel := context.WithTimeout(ctx, min(w.CallTimeout, w.LeaseTTL/2))
	defer cancel()
	leases, err := w.Store.ClaimLeases(call, w.holder(), w.LeaseTTL, w.leftAlone()...)
	if err != nil {
		return err
	}
	if err := w.Failpoints.Hit(call, failpoint.LeaseClaimed); err != nil {
		return err
	}
	trusted := attempt.Add(w.LeaseTTL - w.trustMargin())
	for _, lease := range leases {
		w.hold(ctx, lease, trusted)
	}
	versions, err := w.Store.Versions(call)
	if err != nil {
		return err
	}
	w.mu.Lock()
	before := w.versions
	w.versions = maps.Clone(versions)
	for name, t := range w.tenures {
		if _, known := versions[name]; !known { // deleted, and forgotten by every node
			t.end()
			delete(w.tenures, name)
		}
	}
	w.mu.Unlock()
	for name, version := range versions {
		if before[name] != version { // lower, when the database was restored from a copy
			w.toNodes(ctx, name, nil)
			w.lanes.run(ctx, name, nil)
		}
	}
	return w.lookAgain(call, versions)
}

// hold begins a tenure for a new term, or prolongs the one that runs.
func (w *Worker) hold(ctx context.Context, lease Lease, trusted time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t := w.tenures[lease.Environment]; t != nil {
		if t.term == lease.Term && t.prolong(trusted) {
			return
		}
		t.end()
	}
	w.log.Debug("lease held", "environment", lease.Environment, "term", lease.Term)
	t := newTenure(ctx, w, lease, trusted)
	w.tenures[lease.Environment] = t
	w.relays.run(ctx, lease.Environment, nil)
	w.lanes.run(ctx, lease.Environment, nil)
}

// pass does one environment's work if its lease is held, on what the database says by its own time.
func (w *Worker) pass(ctx context.Context, name string, _ *rollout.Environment) {
	t := w.tenure(name)
	if t == nil {
		return
	}
	err := t.work()
	switch {
	case ctx.Err() != nil || t.ctx.Err() != nil: // whoever holds the lease now goes on
	case err == nil:
		w.backoff.worked(w.log, name)
	default:
		w.Clock.AfterFunc(w.backoff.failed(w.log, name, err), func() { w.lanes.run(ctx, name, nil) })
	}
}

func (w *Worker) prune(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, w.CallTimeout)
	defer cancel()
	return w.Store.Prune(call)
}

// close ends all tenures, and gives the leases back so that another replica goes on at once.
func (w *Worker) close(ctx context.Context) {
	w.mu.Lock()
	w.closed = true
	for _, t := range w.tenures {
		t.end()
	}
	w.mu.Unlock()
	w.lanes.drain()
	w.relays.drain()
	w.wait.Wait()
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(w.CallTimeout, 2*time.Second))
	defer cancel()
	if err := w.Store.ReleaseLeases(call, w.holder()); err != nil {
		w.log.Warn("leases not given back; they end by themselves", "error", err)
	}
}
