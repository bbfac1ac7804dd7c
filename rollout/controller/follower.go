package controller

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
)

// Follower keeps this replica's own node at the committed routes, without any lease: it stages, applies and removes
// on the node what [rollout.Decide] lists for it, and records the receipts.
type Follower struct {
	Options
	hand    hand
	log     *slog.Logger
	lanes   *lanes
	backoff *backoff

	mu      sync.Mutex
	seen    map[string]int64           // the version of each environment that was last known here
	last    map[string]rollout.Receipt // the receipt last recorded
	next    map[string]clockwork.Timer // the pass that a deadline asks for
	strange map[string]string          // what was last logged of environments that are not as they should be
}

// NewFollower makes a follower; Run starts it.
func NewFollower(o Options) *Follower {
	f := &Follower{Options: o, hand: o.hand(o.Local, o.Node, 0), log: o.Log.With("loop", "follower", "node", o.Node.Name), backoff: newBackoff(o.Random),
		seen: map[string]int64{}, last: map[string]rollout.Receipt{}, next: map[string]clockwork.Timer{}, strange: map[string]string{}}
	f.lanes = newLanes(f.pass)
	return f
}

// nameTrials is how many polls long a node asks for its name while another process has it. A process that died without
// signing off is quiet for two of them.
const nameTrials = 5

// Run follows until ctx ends. It goes on through failures of the database: the node keeps what it has. When another
// live process has the node's name, it ends with ErrNameTaken: of two nodes with one name, one would go unwatched.
func (f *Follower) Run(ctx context.Context) error {
	defer f.Hub.Subscribe("", func(name string, e *rollout.Environment) { f.heard(ctx, name, e) })()
	defer f.lanes.drain()
	ticker := f.Clock.NewTicker(f.Poll)
	defer ticker.Stop()
	named := f.Clock.Now() // when the name was last ours
	for {
		err := f.poll(ctx)
		if !errors.Is(err, ErrNameTaken) {
			named = f.Clock.Now()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case f.Clock.Since(named) > nameTrials*f.Poll:
			return err
		case err != nil:
			f.backoff.failed(f.log, "poll", err)
		default:
			f.backoff.worked(f.log, "poll")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.Chan():
		}
	}
}

// poll sends the heartbeat and looks for environments that changed, or whose node does not do what was recorded.
func (f *Follower) poll(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, f.CallTimeout)
	defer cancel()
	if err := f.Store.Heartbeat(call, f.Node, 2*f.Poll); err != nil {
		return err
	}
	served := f.environments()
	versions, err := f.Store.Versions(call)
	if err != nil {
		return err
	}
	due := f.changed(versions)
	f.tellUnknown(call, served, versions)
	f.mu.Lock()
	known := maps.Clone(f.last)
	f.mu.Unlock()
	for name, receipt := range known {
		if now, err := f.observe(call, name); err != nil || !sameReceipt(now, receipt) {
			due = append(due, name) // the pass meets the same error, and tells it
		}
	}
	for _, name := range due {
		f.lanes.run(ctx, name, nil)
	}
	return nil
}

// heard asks for a pass over an environment that changed in this process, and notes its version: a database may go back
// behind it before the next poll.
func (f *Follower) heard(ctx context.Context, name string, e *rollout.Environment) {
	if e != nil {
		f.mu.Lock()
		if _, polled := f.seen[name]; polled {
			f.seen[name] = max(f.seen[name], e.Version)
		}
		f.mu.Unlock()
	}
	f.lanes.run(ctx, name, e)
}

// changed lists the environments whose version is another one than was last known. One that is lower, or gone, is of
// a database that was restored from a copy, or lost its last changes.
func (f *Follower) changed(versions map[string]int64) (due []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for name, version := range versions {
		at, ok := f.seen[name]
		if ok && version < at {
			f.Hub.Rewind(name)
		}
		if !ok || version != at {
			due = append(due, name)
			f.seen[name] = version
		}
	}
	for name := range f.seen {
		if _, known := versions[name]; !known {
			f.Hub.Rewind(name)
			delete(f.seen, name)
		}
	}
	return due
}

// pass brings the node to where the environment's route is. When it fails it is tried again, ever more rarely; a
// newer route is tried at once.
func (f *Follower) pass(ctx context.Context, name string, e *rollout.Environment) {
	err := f.follow(ctx, name, e)
	switch {
	case ctx.Err() != nil:
	case err == nil:
		f.backoff.worked(f.log, name)
	default:
		pause := f.backoff.failed(f.log, name, err)
		f.Clock.AfterFunc(pause, func() { f.lanes.run(ctx, name, nil) })
	}
}

func (f *Follower) follow(ctx context.Context, name string, e *rollout.Environment) error {
	now := f.Clock.Now()
	if e == nil || f.newer(name, *e) {
		call, cancel := context.WithTimeout(ctx, f.CallTimeout)
		defer cancel()
		loaded, at, err := f.Store.Environment(call, name)
		if err != nil {
			var refusal *rollout.Refusal
			if errors.As(err, &refusal) && refusal.Code == rollout.NotFound {
				return nil
			}
			return err
		}
		e, now = &loaded, at
	}
	if !f.hand.knownIn(*e) {
		return nil // not known yet, or the name is another process's: the next heartbeat tells
	}
	f.tellForeign(*e)
	facts, actErr := f.act(ctx, *e, now)
	receipt, err := f.observeFor(ctx, *e, actErr)
	if err != nil {
		return errors.Join(actErr, err)
	}
	if receipt != nil {
		f.tellAstray(*e, *receipt)
		facts.Receipts = []rollout.Receipt{*receipt}
	}
	if facts.Empty() {
		return actErr
	}
	after, err := f.hand.record(ctx, name, facts)
	if err != nil {
		return errors.Join(actErr, err)
	}
	f.noteRecorded(name, receipt, facts)
	f.Hub.Publish(after)
	return actErr
}

// act does what is to be done on the node, and has the loop wake at the next deadline.
func (f *Follower) act(ctx context.Context, e rollout.Environment, now time.Time) (rollout.Facts, error) {
	seen := f.witness(ctx, e)
	actions := rollout.Decide(seen, now)
	for _, a := range actions {
		if a.Kind == rollout.ActWake {
			f.wakeAt(ctx, e.Name, a.At.Sub(now))
		}
	}
	facts, err := f.hand.act(ctx, seen, actions)
	if err != nil {
		return facts, err
	}
	o, err := f.hand.observe(ctx, e.Name)
	if err != nil {
		return facts, err
	}
	return facts, f.hand.removeUnknown(ctx, e, o)
}

// witness is the environment as this node sees itself in it. Where it cannot be read now, the record has to do: no
// rollback waits for a look, and the one that follows tells the error.
func (f *Follower) witness(ctx context.Context, e rollout.Environment) rollout.Environment {
	if e.DeletedAt != nil { // what is left of it is told by the record
		return e
	}
	o, err := f.hand.observe(ctx, e.Name)
	if err != nil {
		return e
	}
	return e.Witnessed(f.Node, o.Receipt, o.Staged)
}

// newer says whether the node was already recorded at a later revision than e: then e is an old message.
func (f *Follower) newer(name string, e rollout.Environment) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last[name].Revision > e.Revision
}

// noteRecorded remembers what the database knows of this node.
func (f *Follower) noteRecorded(name string, receipt *rollout.Receipt, facts rollout.Facts) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(facts.Forgotten) > 0 {
		delete(f.last, name)
		delete(f.seen, name)
		if t := f.next[name]; t != nil {
			t.Stop()
			delete(f.next, name)
		}
	}
	if receipt != nil {
		f.last[name] = *receipt
	}
}

// wakeAt asks for another pass after the pause, when a deadline allows what was not allowed before.
func (f *Follower) wakeAt(ctx context.Context, name string, pause time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.next[name]; t != nil {
		t.Stop()
	}
	f.next[name] = f.Clock.AfterFunc(pause, func() { f.lanes.run(ctx, name, nil) })
}

// SignOff removes the node from what switches wait for, when it has served its last request.
func (f *Follower) SignOff(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(f.CallTimeout, 2*time.Second))
	defer cancel()
	return f.Store.SignOff(ctx, f.Node)
}
