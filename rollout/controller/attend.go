package controller

import (
	"context"
	"slices"
	"time"

	"viridian/rollout"
)

// toNodes brings news of an environment to those who attend the nodes of its fleets, at once: a switch that was just
// committed waits for nothing. Without e it is loaded first.
func (w *Worker) toNodes(ctx context.Context, name string, e *rollout.Environment) {
	switch t := w.tenure(name); {
	case len(w.Fleets) == 0 || t == nil:
	case e == nil:
		w.relays.run(ctx, name, nil)
	default:
		t.dispatch(*e, w.Clock.Now(), false)
	}
}

// relay loads an environment for those who attend its nodes. A registry that hangs, say, is not in its way.
func (w *Worker) relay(ctx context.Context, name string, _ *rollout.Environment) {
	t := w.tenure(name)
	if t == nil {
		return
	}
	call, cancel := context.WithTimeout(t.ctx, w.CallTimeout)
	defer cancel()
	e, now, err := w.Store.Environment(call, name)
	if t.ctx.Err() != nil {
		return
	}
	subject := "load " + name
	if err != nil {
		w.Clock.AfterFunc(w.backoff.failed(w.log, subject, err), func() { w.relays.run(ctx, name, nil) })
		return
	}
	w.backoff.worked(w.log, subject)
	t.dispatch(e, now, true)
}

// tenure is the one that this replica has of the environment, nil for none.
func (w *Worker) tenure(name string) *tenure {
	w.mu.Lock()
	t := w.tenures[name]
	w.mu.Unlock() // a tenure locks itself first, and then the worker
	if t != nil && t.alive() {
		return t
	}
	return nil
}

// spawn runs something that ends with a tenure, unless the worker is ending.
func (w *Worker) spawn(run func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.wait.Go(run)
	}
}

// dispatch has every node of the environment's fleets attended, and asks each to follow. loaded says that now is the
// database's time.
func (t *tenure) dispatch(e rollout.Environment, now time.Time, loaded bool) {
	if len(t.w.Fleets) == 0 || e.Foreign() != "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, a := range t.attendants {
		if !slices.Contains(e.Spec.Routers, key.router) {
			a.cancel()
			delete(t.attendants, key)
		}
	}
	for key, p := range t.w.patrols {
		if !slices.Contains(e.Spec.Routers, key.router) {
			continue
		}
		if t.attendants[key] == nil {
			t.attend(key, p)
		}
		t.attendants[key].ask(task{e: &e, now: now, loaded: loaded})
	}
}

func (t *tenure) attend(key nodeKey, p *patrol) {
	ctx, cancel := context.WithCancel(t.ctx)
	a := &attendant{t: t, patrol: p, key: t.name + " on " + key.subject(), cancel: cancel, asked: make(chan struct{}, 1)}
	t.attendants[key] = a
	t.w.spawn(func() { a.run(ctx) })
}

// urge has what is done on the node begin again.
func (t *tenure) urge(key nodeKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.attendants[key]; a != nil {
		a.urge()
	}
}

// unattended tells of the nodes that the environment has and that are not configured here. Nobody brings them to its
// route while this replica holds the lease, and their receipts say so.
func (t *tenure) unattended(e rollout.Environment) []rollout.Receipt {
	var out []rollout.Receipt
	for _, router := range e.Spec.Routers {
		if _, ok := t.w.Fleets[router]; !ok && router != rollout.Builtin {
			t.warnOnce("router is not configured on this replica, and nobody switches it", router, "")
		}
	}
	for _, n := range e.Nodes {
		if n.Router == rollout.Builtin || t.w.patrols[nodeKey{n.Router, n.Name}] != nil {
			continue
		}
		t.warnOnce("node is not configured on this replica, and nobody switches it", n.Router, n.Name)
		if r, ok := e.Receipt(n); ok && r.Error != t.w.strange() {
			r.Error = t.w.strange()
			out = append(out, r)
		}
	}
	return out
}

// strange is the error of a node that this replica does not know.
func (w *Worker) strange() string {
	return "replica " + w.Node.Name + " does the work of the environment, and does not have this node in its configuration"
}

// warnOnce logs something about the environment once in a tenure.
func (t *tenure) warnOnce(text string, router, node string) {
	key := text + " " + router + " " + node
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.warned[key] {
		t.warned[key] = true
		t.w.log.Warn(text, "environment", t.name, "router", router, "node", node)
	}
}
