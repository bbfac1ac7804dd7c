package server

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"viridian/rollout"
	"viridian/store"
)

const (
	// lookEvery is how often the board looks at the database while anybody watches. What this process commits, and what
	// others give a hint of, it knows at once.
	lookEvery = time.Second
	// lookAge is how old a look may be for a page that is loaded.
	lookAge = 250 * time.Millisecond
	// lookAgain is how long after a look that failed pages do not wait for another one.
	lookAgain = 2 * time.Second
	// stillAfter is the age from which on time stands still on the board: nodes would seem silent that are only not
	// looked at.
	stillAfter = 5 * time.Second
)

// errBlind is that the board has not seen anything yet, and cannot now.
var errBlind = errors.New("the environments cannot be read")

// board is what the pages of this process know of all environments. It is one for all viewers: what changes is read
// once, and drawn once for all who have the same rights.
type board struct {
	*server
	boot string // names this process

	mu       sync.Mutex // held shortly: the hub waits for it
	known    map[string]*standing
	nodes    []rollout.Node
	removed  []rollout.Node
	lookedAt time.Time // by the database's clock
	look     time.Time // the same moment by this process's clock; zero before the first
	failed   time.Time // the last look that failed; zero when one succeeded since
	tick     int64     // grows with every look, as what time changes does
	changes  int64     // of all environments
	due      map[string]bool
	watchers map[*watcher]struct{}
	stop     context.CancelFunc // ends what follows; nil while nobody watches
	woken    chan struct{}      // something is due to be loaded

	looking sync.Mutex // one look at a time
	drawing drawing
	past    past
	meter   meter
}

// standing is one environment on the board.
type standing struct {
	e       rollout.Environment
	version int64     // grows with every change, on the whole board
	heard   time.Time // by this process's clock
}

// watcher is told that something may have changed. Environment is empty for all.
type watcher struct {
	environment string
	wake        chan struct{}
	switched    chan struct{} // besides: traffic was moved
}

// newBoard makes a board that hears what the hub tells for as long as the process lives.
func newBoard(s *server) *board {
	b := &board{server: s, boot: rand.Text(), known: map[string]*standing{}, due: map[string]bool{}, watchers: map[*watcher]struct{}{},
		woken: make(chan struct{}, 1), drawing: newDrawing(), past: newPast(),
		meter: meter{read: map[string]meterReading{}}}
	s.Service.Hub.Subscribe("", b.heard)
	return b
}

// watch makes the board follow what happens until done is called: the first watcher starts that, the last ends it.
func (b *board) watch(environment string) (w *watcher, done func()) {
	w = &watcher{environment: environment, wake: make(chan struct{}, 1), switched: make(chan struct{}, 1)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers[w] = struct{}{}
	if b.stop == nil {
		ctx, cancel := context.WithCancel(b.running)
		b.stop = cancel
		b.beside(func() { b.follow(ctx) })
	}
	return w, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, w)
		if len(b.watchers) == 0 {
			b.stop()
			b.stop = nil
		}
	}
}

// heard is called by the hub, which waits for it. A nil environment is a hint: something changed, elsewhere.
func (b *board) heard(name string, e *rollout.Environment) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e == nil {
		b.due[name] = true
		signal(b.woken)
		return
	}
	b.wakeLocked(name, b.takeLocked(*e))
}

// takeLocked notes an environment, unless it is older than what is known. It says whether its traffic was moved.
func (b *board) takeLocked(e rollout.Environment) (switched bool) {
	b.changes++
	at := b.known[e.Name]
	switch {
	case e.DeletedAt != nil:
		delete(b.known, e.Name)
	case at == nil || at.e.Version <= e.Version:
		b.known[e.Name] = &standing{e: e, version: b.changes, heard: b.Clock.Now()}
		return at != nil && at.e.Revision != e.Revision
	}
	return false
}

func (b *board) wakeLocked(name string, switched bool) {
	for w := range b.watchers {
		if w.environment != "" && name != "" && w.environment != name {
			continue
		}
		if signal(w.wake); switched {
			signal(w.switched)
		}
	}
}

// signal wakes who waits for the channel, and does not wait itself.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// follow looks at the database again and again, and at once when there is a hint.
func (b *board) follow(ctx context.Context) {
	ticker := b.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.woken:
			if err := b.loadDue(ctx); err == nil {
				continue
			}
		case <-ticker.Chan():
			_ = b.refresh(ctx, 0) // what is shown tells its age, and the next tick tries again
		}
		b.wakeAll() // time itself changes what is shown
	}
}

func (b *board) wakeAll() {
	b.mu.Lock()
	b.tick++
	b.wakeLocked("", false)
	known := len(b.known)
	b.mu.Unlock()
	b.drawing.forget(known)
}

// loadDue loads what there was a hint about. An empty name stands for all.
func (b *board) loadDue(ctx context.Context) error {
	b.mu.Lock()
	due := slices.Collect(maps.Keys(b.due))
	clear(b.due)
	b.mu.Unlock()
	switch {
	case slices.Contains(due, ""):
		return b.refresh(ctx, 0)
	case len(due) > 0:
		return b.load(ctx, due)
	}
	return nil
}

// load reads these environments anew.
func (b *board) load(ctx context.Context, names []string) error {
	ctx, cancel := context.WithTimeout(ctx, b.Service.CallTimeout)
	defer cancel()
	list, _, err := b.Store.Aggregates(ctx, names...)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range list {
		b.wakeLocked(e.Name, b.takeLocked(e))
	}
	return nil
}

// refresh takes a look at the database, unless the last one is younger than the age.
func (b *board) refresh(ctx context.Context, age time.Duration) error {
	b.looking.Lock()
	defer b.looking.Unlock()
	b.mu.Lock()
	began := b.Clock.Now()
	fresh := !b.look.IsZero() && began.Sub(b.look) < age && len(b.due) == 0
	hopeless := age > 0 && !b.failed.IsZero() && began.Sub(b.failed) < lookAgain
	b.mu.Unlock()
	switch {
	case fresh:
		return nil
	case hopeless:
		return errBlind
	}
	err := b.lookAt(ctx, began)
	if err != nil && ctx.Err() == nil {
		b.mu.Lock()
		b.failed = b.Clock.Now()
		b.mu.Unlock()
	}
	return err
}

func (b *board) lookAt(ctx context.Context, began time.Time) error {
	call, cancel := context.WithTimeout(ctx, b.Service.CallTimeout)
	defer cancel()
	pulse, err := b.Store.Glance(call)
	if err != nil {
		return err
	}
	if changed := b.outdated(pulse); len(changed) > 0 {
		if err := b.load(ctx, changed); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, at := range b.known {
		if _, there := pulse.Versions[name]; !there && at.heard.Before(began) {
			delete(b.known, name)
			continue
		}
		at.e.Nodes = ofRouters(pulse.Nodes, at.e.Spec.Routers)
		at.e.Readings = newest(at.e.Readings, pulse.Readings[name])
	}
	b.nodes, b.removed, b.lookedAt, b.look, b.failed = pulse.Nodes, pulse.Removed, pulse.At, began, time.Time{}
	return nil
}

// outdated lists what is not known here as it is there.
func (b *board) outdated(p store.Glance) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.due)
	var out []string
	for name, version := range p.Versions {
		if at := b.known[name]; at == nil || at.e.Version < version {
			out = append(out, name)
		}
	}
	return out
}

func ofRouters(nodes []rollout.Node, routers []string) []rollout.Node {
	var out []rollout.Node
	for _, n := range nodes {
		if slices.Contains(routers, n.Router) {
			out = append(out, n)
		}
	}
	return out
}

// newest takes the later reading of each service.
func newest(have, read []rollout.Reading) []rollout.Reading {
	out := slices.Clone(read)
	for i, r := range out {
		for _, h := range have {
			if h.Generation == r.Generation && h.Service == r.Service && h.At.After(r.At) {
				out[i] = h
			}
		}
	}
	return out
}

// seen is a copy of what the board knows, for one caller.
type seen struct {
	standings []standing     // by name
	nodes     []rollout.Node // of all routers
	removed   []rollout.Node // taken out
	now       time.Time      // what pages are drawn for, by the database's clock
	at        time.Time      // of the last look
	age       time.Duration  // since then
	tick      int64
}

// see copies what the caller may see: of one environment, or of all when the name is empty.
func (b *board) see(caller Caller, name string) seen {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := seen{nodes: b.nodes, removed: b.removed, at: b.lookedAt, now: b.lookedAt, age: b.Clock.Since(b.look), tick: b.tick}
	if out.age <= stillAfter {
		out.now = b.lookedAt.Add(out.age)
	}
	for known, at := range b.known {
		if (name == "" || name == known) && caller.Sees(known) {
			out.standings = append(out.standings, *at)
		}
	}
	slices.SortFunc(out.standings, func(a, b standing) int { return strings.Compare(a.e.Name, b.e.Name) })
	return out
}

// current sees what is known, once that is young enough. What cannot be refreshed is shown as old as it is; only a
// board that has never seen anything is an error.
func (b *board) current(ctx context.Context, caller Caller, name string) (seen, error) {
	err := b.refresh(ctx, lookAge)
	b.mu.Lock()
	never := b.look.IsZero()
	b.mu.Unlock()
	if err != nil && never {
		return seen{}, err
	}
	return b.see(caller, name), nil
}
