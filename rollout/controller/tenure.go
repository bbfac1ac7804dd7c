package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/registry"
	"viridian/rollout"
)

// tenure is the time during which this replica holds an environment's lease with one term. Its context ends when the
// lease can no longer be trusted, and with it every call and watch made under it.
type tenure struct {
	w    *Worker
	name string
	term int64
	ctx  context.Context
	end  context.CancelFunc

	mu       sync.Mutex
	trusted  time.Time // when the lease can no longer be trusted
	deadline clockwork.Timer
	alarm    clockwork.Timer
	watches  map[int]*watch
	// attendants see to the nodes of the environment's fleets.
	attendants map[nodeKey]*attendant
	warned     map[string]bool
	swept      sweeping // how registries were swept last
	endSweep   context.CancelFunc
	looking    bool              // a look for instances to adopt is due
	changed    map[int]time.Time // when the members of a generation were changed last
	lost       map[int]loss
	failing    time.Time // since when passes fail to announce; zero while they do not
}

func newTenure(parent context.Context, w *Worker, lease Lease, trusted time.Time) *tenure {
	ctx, cancel := context.WithCancel(parent)
	t := &tenure{w: w, name: lease.Environment, term: lease.Term, ctx: ctx, end: cancel, trusted: trusted, watches: map[int]*watch{},
		attendants: map[nodeKey]*attendant{}, warned: map[string]bool{}, changed: map[int]time.Time{}, lost: map[int]loss{}}
	t.deadline = w.Clock.AfterFunc(trusted.Sub(w.Clock.Now()), cancel)
	return t
}

// prolong moves the end of trust; false when it had already come.
func (t *tenure) prolong(trusted time.Time) bool {
	if !t.alive() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trusted = trusted
	t.deadline.Reset(trusted.Sub(t.w.Clock.Now()))
	return true
}

// alive says whether the lease can be trusted at this moment. A process that was stopped, and goes on, may come here
// before its timer has fired.
func (t *tenure) alive() bool {
	t.mu.Lock()
	over := !t.w.Clock.Now().Before(t.trusted)
	t.mu.Unlock()
	if over {
		t.end()
	}
	return t.ctx.Err() == nil
}

// work does what the environment needs now: announces, settles, takes back, and keeps the watches. A registry that
// refuses one generation holds up nothing else: what was done and seen is recorded, and deadlines pass.
func (t *tenure) work() error {
	call, cancel := context.WithTimeout(t.ctx, t.w.CallTimeout)
	defer cancel()
	loaded, now, err := t.w.Store.Environment(call, t.name)
	if err != nil {
		return err
	}
	if why := loaded.Foreign(); why != "" {
		t.w.leave(t, why)
		return nil
	}
	t.dispatch(loaded, now, true)
	driver := t.w.Registries[loaded.Spec.Registry]
	if driver == nil {
		return t.noRegistry(loaded, now)
	}
	t.sweep(loaded)
	var facts rollout.Facts
	loaded, failed := t.followMembers(loaded)
	if errors.Is(failed, ErrLeaseLost) {
		t.end()
		return nil
	}
	t.keepWatches(loaded, driver)
	settle := false
	for _, a := range rollout.Decide(loaded, now) {
		switch a.Kind {
		case rollout.ActRegister, rollout.ActDeregister:
			failed = errors.Join(failed, t.announce(loaded, driver, a, &facts))
		case rollout.ActAdopt:
			failed = errors.Join(failed, t.adopt(loaded, driver, a.Generation, &facts))
		case rollout.ActSettle:
			settle = true
		case rollout.ActWake:
			t.wakeAt(a.At.Sub(now))
		}
	}
	if text, known := t.trouble(failed); known && text != loaded.TroubleText() {
		facts.Trouble = &text
	}
	facts.Receipts = t.unattended(loaded)
	facts.Readings = t.takeReadings(loaded)
	if facts.Empty() && !settle {
		return failed
	}
	return errors.Join(failed, t.record(facts))
}

// noRegistry tells that this replica was not configured with what the spec names. What needs no registry goes on.
func (t *tenure) noRegistry(e rollout.Environment, now time.Time) error {
	text := fmt.Sprintf("no registry %q on this replica; configure it alike on every one", e.Spec.Registry)
	facts := rollout.Facts{Receipts: t.unattended(e)}
	if text != e.TroubleText() {
		facts.Trouble = &text
	}
	if facts.Empty() && e.Settle(now).Empty() {
		return errors.New(text)
	}
	return errors.Join(errors.New(text), t.record(facts))
}

func (t *tenure) record(facts rollout.Facts) error {
	call, cancel := context.WithTimeout(t.ctx, t.w.CallTimeout)
	defer cancel()
	after, err := t.w.Store.Record(call, t.name, t.term, facts)
	if errors.Is(err, ErrLeaseLost) {
		t.end()
		return nil
	}
	if err != nil {
		return err
	}
	if len(facts.Announced) > 0 {
		err = t.w.Failpoints.Hit(call, failpoint.RegisterRecorded)
	}
	if len(facts.Withdrawn) > 0 {
		err = errors.Join(err, t.w.Failpoints.Hit(call, failpoint.DeregisterRecorded))
	}
	t.w.Hub.Publish(after)
	return err
}

// announce registers or deregisters one generation.
func (t *tenure) announce(e rollout.Environment, driver registry.Registry, a rollout.Action, facts *rollout.Facts) error {
	call, cancel := context.WithTimeout(t.ctx, t.w.CallTimeout)
	defer cancel()
	before, acted, act := failpoint.RegisterBefore, failpoint.RegisterActed, driver.Register
	if a.Kind == rollout.ActDeregister {
		before, acted, act = failpoint.DeregisterBefore, failpoint.DeregisterActed, driver.Deregister
	}
	g, err := t.load(call, e, a.Generation)
	if err != nil {
		return err
	}
	if err := t.w.Failpoints.Hit(call, before); err != nil {
		return err
	}
	if !t.alive() {
		return t.ctx.Err()
	}
	if err := act(call, e.Spec, g); err != nil {
		return fmt.Errorf("%s generation %d: %w", a.Kind, a.Generation, err)
	}
	if err := t.w.Failpoints.Hit(call, acted); err != nil {
		return err
	}
	if a.Kind == rollout.ActRegister {
		facts.Announced = append(facts.Announced, g.Number)
	} else {
		facts.Withdrawn = append(facts.Withdrawn, g.Number)
	}
	return nil
}

// load returns the generation with its instances.
func (t *tenure) load(ctx context.Context, e rollout.Environment, number int) (rollout.Generation, error) {
	ctx, cancel := context.WithTimeout(ctx, t.w.CallTimeout)
	defer cancel()
	return t.w.Store.Generation(ctx, e.Name, number)
}

// wakeAt asks for another pass after the pause.
func (t *tenure) wakeAt(pause time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.alarm != nil {
		t.alarm.Stop()
	}
	t.alarm = t.w.Clock.AfterFunc(pause, func() { t.w.lanes.run(t.ctx, t.name, nil) })
}
