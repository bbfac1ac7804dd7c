package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"viridian/rollout"
	"viridian/router"
)

// hand is this attendant's on the run of the node that last answered; ok is false when none ever did.
func (a *attendant) hand() (h hand, ok bool) {
	contact, _ := a.t.w.Contacts.Of(a.patrol.key.router, a.patrol.key.name)
	node := rollout.Node{Router: a.patrol.key.router, Name: a.patrol.key.name, Incarnation: contact.Incarnation}
	h = a.t.w.hand(a.patrol.remote, node, a.t.term)
	h.trusted = a.t.alive
	return h, contact.Incarnation != ""
}

// follow does one pass; next gets the environment that was followed to.
func (a *attendant) follow(ctx context.Context, next *task) error {
	h, err := a.ready(ctx, next)
	if err != nil || next.e == nil {
		return err
	}
	actions := own(h, rollout.Decide(*next.e, next.now))
	if !next.loaded && slices.ContainsFunc(actions, func(x rollout.Action) bool { return x.Kind == rollout.ActRemove || x.Kind == rollout.ActForget }) {
		if err := a.load(ctx, next); err != nil || next.e == nil {
			return err
		}
	}
	a.note(h, *next.e)
	e, lost, mend := *next.e, []rollout.Staging(nil), []rollout.Action(nil)
	// A flip that is due goes first; what is wrong with the node beside it is seen to afterwards, or when the flip fails.
	looking := a.look && (a.tried.e != nil || a.last.Revision >= e.Revision || a.last.Router == "")
	if looking {
		o, err := h.observe(ctx, e.Name)
		if err != nil {
			return a.tell(ctx, h, e, err)
		}
		if o.Incarnation != h.node.Incarnation {
			return a.met(ctx)
		}
		a.edits.look(o.Edits)
		e, lost, mend = a.found(h, e, o)
	}
	if actions = append(own(h, rollout.Decide(e, next.now)), mend...); len(actions) == 0 && !looking {
		return nil
	}
	var failed error
	for _, part := range routeFirst(actions) {
		facts, err, overtaken := a.act(ctx, h, e, part)
		if overtaken {
			return nil
		}
		facts.Unstaged, lost = append(facts.Unstaged, lost...), nil
		failed = errors.Join(failed, a.conclude(ctx, h, e, facts, err, looking))
		if errors.Is(failed, context.DeadlineExceeded) || ctx.Err() != nil {
			break
		}
	}
	return failed
}

// routeFirst parts the actions in what the route needs, which is recorded as soon as it is done, and what does not
// serve, which may take its time.
func routeFirst(actions []rollout.Action) [][]rollout.Action {
	i := 1 + slices.IndexFunc(actions, func(a rollout.Action) bool { return a.Kind == rollout.ActApply })
	if i == 0 || i == len(actions) {
		return [][]rollout.Action{actions}
	}
	return [][]rollout.Action{actions[:i], actions[i:]}
}

// act carries out the actions, unless a newer route comes meanwhile: then that goes first, and what was done is found
// done when its turn comes again.
func (a *attendant) act(ctx context.Context, h hand, e rollout.Environment, actions []rollout.Action) (facts rollout.Facts, failed error, overtaken bool) {
	call, cut := context.WithCancel(ctx)
	defer cut()
	a.mu.Lock()
	a.doing, a.cut = e.Revision, cut
	if a.next != nil && a.next.e.Revision > e.Revision { // it came before it could cut anything
		cut()
	}
	a.mu.Unlock()
	var watch sync.WaitGroup
	watch.Go(func() { a.watch(call, h, a.last, cut) })
	facts, failed = h.act(call, e, actions)
	overtaken = call.Err() != nil && ctx.Err() == nil
	cut()
	watch.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cut = nil
	return facts, failed, overtaken
}

// watch looks at the node while something is done that takes its time, and cuts that short when the node does not serve
// any more what it was last seen serving.
func (a *attendant) watch(ctx context.Context, h hand, last rollout.Receipt, cut func()) {
	ticker := a.t.w.Clock.NewTicker(a.t.w.tick())
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.Chan():
		}
		o, err := h.observe(ctx, a.t.name)
		if err == nil && last.Router != "" && (o.Incarnation != last.Incarnation || o.Revision < last.Revision || (o.Revision == last.Revision && o.Hash != last.Hash)) {
			a.urge()
			cut()
			return
		}
	}
}

// own leaves those actions that are to be done on the node.
func own(h hand, actions []rollout.Action) []rollout.Action {
	return slices.DeleteFunc(actions, func(a rollout.Action) bool { return !h.owns(a) })
}

// ready has the environment loaded where that is needed, with this run of the node in it.
func (a *attendant) ready(ctx context.Context, next *task) (hand, error) {
	if next.e == nil || next.e.Revision < a.last.Revision {
		if err := a.load(ctx, next); err != nil || next.e == nil {
			return hand{}, err
		}
	}
	h, ok := a.hand()
	if ok && h.knownIn(*next.e) {
		return h, nil
	}
	if err := a.patrol.meet(ctx); err != nil {
		return h, fmt.Errorf("the node cannot be reached: %w", err)
	}
	if err := a.load(ctx, next); err != nil || next.e == nil {
		return h, err
	}
	if h, _ = a.hand(); !h.knownIn(*next.e) {
		return h, errRestarted
	}
	return h, nil
}

// load replaces the task by what the database says; by none when the environment is not there.
func (a *attendant) load(ctx context.Context, next *task) error {
	call, cancel := context.WithTimeout(ctx, a.t.w.CallTimeout)
	defer cancel()
	e, now, err := a.t.w.Store.Environment(call, a.t.name)
	if err != nil {
		*next = task{}
		if refusal := (*rollout.Refusal)(nil); errors.As(err, &refusal) && refusal.Code == rollout.NotFound {
			return nil
		}
		return err
	}
	*next = task{e: &e, now: now, loaded: true}
	return nil
}

// met notices a restart that the node's answer tells of before its pulse did.
func (a *attendant) met(ctx context.Context) error {
	if err := a.patrol.meet(ctx); err != nil {
		return err
	}
	return errRestarted
}

// found is the environment as the node shows it to be, which may differ from what was recorded: then a route that was
// changed there is to be applied again, and what was lost is to be staged again. Decide does that for what may serve;
// mend has the rest of it, which waits to be validated again. What retires is not put back.
func (a *attendant) found(h hand, e rollout.Environment, o router.Observation) (seen rollout.Environment, lost []rollout.Staging, mend []rollout.Action) {
	e.Stagings = slices.DeleteFunc(slices.Clone(e.Stagings), func(s rollout.Staging) bool {
		if !h.made(s) || slices.Contains(o.Staged, s.Generation) {
			return false
		}
		switch g, ok := e.Generation(s.Generation); {
		case !ok || g.State == rollout.Retiring:
			return false
		case !g.State.Holds():
			mend = append(mend, rollout.Action{Kind: rollout.ActStage, Generation: s.Generation, Router: s.Router, Node: s.Node})
			return false
		}
		lost = append(lost, s)
		return true
	})
	before, known := e.Receipt(h.node)
	if known {
		a.warn(h, e, before, o, len(lost)+len(mend))
	}
	e.Receipts = slices.DeleteFunc(slices.Clone(e.Receipts), func(r rollout.Receipt) bool { return r.Router == h.node.Router && r.Node == h.node.Name })
	if known || o.Revision > 0 {
		e.Receipts = append(e.Receipts, o.Receipt)
	}
	return e, lost, mend
}

// warn logs that the node is brought back, once for what is found; before is what was recorded of it.
func (a *attendant) warn(h hand, e rollout.Environment, before rollout.Receipt, o router.Observation, lost int) {
	finding := ""
	if o.Revision < before.Revision || lost > 0 || (o.Error != "" && o.Error != before.Error) {
		finding = fmt.Sprint(o.Revision < before.Revision, lost, o.Error)
	}
	if finding != "" && finding != a.warned {
		a.t.w.log.Warn("node is not as it was recorded, and is brought back", "environment", e.Name, "router", h.node.Router, "node", h.node.Name,
			"recorded_revision", before.Revision, "found_revision", o.Revision, "lost_generations", lost, "found", o.Error)
	}
	a.warned = finding
}

// conclude reads the node after what was done, and records all of it.
func (a *attendant) conclude(ctx context.Context, h hand, e rollout.Environment, facts rollout.Facts, failed error, looked bool) error {
	if e.DeletedAt != nil {
		return errors.Join(failed, a.record(ctx, h, e, facts))
	}
	o, err := h.observe(ctx, e.Name)
	if err != nil {
		return errors.Join(failed, a.record(ctx, h, e, facts), a.tell(ctx, h, e, err))
	}
	if o.Incarnation != h.node.Incarnation {
		return errors.Join(failed, a.met(ctx)) // what was done was done to the other run, or is lost with this one
	}
	if failed == nil && looked {
		failed = h.removeUnknown(ctx, e, o)
	}
	now := a.t.w.Clock.Now()
	a.edits.look(o.Edits)
	receipt := o.Receipt
	receipt.Edits = a.edits.due(now)
	if failed != nil {
		receipt.Error = shortened(failed)
	}
	if known := a.last.Router != ""; !known || !likeReceipt(a.last, receipt) || e.Lacks(receipt) || len(receipt.Edits) > 0 {
		// One incarnation of a fenced node goes back only by somebody's hand, and that is what no fence holds.
		if known && receipt.Revision < a.last.Revision {
			receipt.Grade = rollout.GradeReadBack
		}
		facts.Receipts = []rollout.Receipt{receipt}
	}
	err = a.record(ctx, h, e, facts)
	if err == nil && len(receipt.Edits) > 0 {
		a.edits.told(receipt.Edits, now)
	}
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	if a.look = a.look && !looked; a.look {
		a.urge()
	}
	return nil
}

// tell records why the node cannot be read, beside what it was last seen doing, and returns that.
func (a *attendant) tell(ctx context.Context, h hand, e rollout.Environment, failure error) error {
	told := a.last
	told.Error = shortened(failure)
	if ctx.Err() != nil || a.last.Router == "" || likeReceipt(a.last, told) {
		return failure
	}
	return errors.Join(failure, a.record(ctx, h, e, rollout.Facts{Receipts: []rollout.Receipt{told}}))
}

// record takes down the facts under the lease, and has everybody in this process know.
func (a *attendant) record(ctx context.Context, h hand, e rollout.Environment, facts rollout.Facts) error {
	if facts.Empty() {
		return nil
	}
	after, err := h.record(ctx, e.Name, facts)
	if errors.Is(err, ErrLeaseLost) {
		a.t.end()
		return nil
	}
	if err != nil {
		return err
	}
	a.note(h, after)
	a.t.w.Hub.Publish(after)
	return nil
}

// note remembers what the database knows of the node, and which generations the node should know.
func (a *attendant) note(h hand, e rollout.Environment) {
	a.last, _ = e.Receipt(h.node)
	a.knows = nil
	for _, s := range e.Stagings {
		if g, ok := e.Generation(s.Generation); ok && g.State != rollout.Retiring && h.made(s) {
			a.knows = append(a.knows, s.Generation)
		}
	}
}

// likeReceipt is sameReceipt for receipts with errors: a number in one, such as a port, makes no other one.
func likeReceipt(a, b rollout.Receipt) bool {
	a.Error, b.Error = digits.ReplaceAllString(a.Error, "0"), digits.ReplaceAllString(b.Error, "0")
	return sameReceipt(a, b) && a.Grade == b.Grade
}

// shortened is an error as a receipt holds it.
func shortened(err error) string {
	const most = 500
	plain := rollout.Plain(err.Error())
	if text := []rune(plain); len(text) > most {
		return string(text[:most]) + "…"
	}
	return plain
}
