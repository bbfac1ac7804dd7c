package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"viridian/rollout"
)

// patrol asks one node of a fleet for its pulse, again and again, whatever else is done on it. Every replica does, so
// that a node counts as heard of while any of them reaches it.
type patrol struct {
	w      *Worker
	key    nodeKey
	remote Remote
}

// pulseTimeout bounds the wait for one pulse; a node that takes longer is asked again.
const pulseTimeout = time.Second

// subject names the node in logs and backoffs.
func (k nodeKey) subject() string { return fmt.Sprintf("node %s of router %s", k.name, k.router) }

// patrol starts what watches over all nodes of all fleets, until ctx ends.
func (w *Worker) patrol(ctx context.Context) {
	if len(w.patrols) == 0 {
		return
	}
	for _, p := range w.patrols {
		w.spawn(func() { p.run(ctx) })
	}
	w.spawn(func() { w.herald(ctx) })
}

// patrolsOf has one for each node of each fleet.
func (w *Worker) patrolsOf() map[nodeKey]*patrol {
	out := map[nodeKey]*patrol{}
	for router, fleet := range w.Fleets {
		for name, remote := range fleet.Nodes {
			key := nodeKey{router, name}
			out[key] = &patrol{w: w, key: key, remote: remote}
		}
	}
	return out
}

// run asks until ctx ends: one that is away more often, since it may come back as it was long ago.
func (p *patrol) run(ctx context.Context) {
	timer := p.w.Clock.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.Chan():
		}
		pause := p.w.tick()
		if err := p.ask(ctx); err != nil && ctx.Err() == nil {
			p.w.backoff.failed(p.w.log, p.key.subject(), err)
			pause /= 4
		} else if err == nil {
			p.w.backoff.worked(p.w.log, p.key.subject())
		}
		timer.Reset(pause)
	}
}

// ask takes the pulse once. What is news goes to the database and to whoever works on the node.
func (p *patrol) ask(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, min(pulseTimeout, p.w.CallTimeout))
	defer cancel()
	incarnation, err := p.remote.Pulse(call)
	if err == nil && incarnation == "" {
		err = errors.New("it does not tell which run of it answers")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		p.w.Contacts.failed(p.key, err)
		return err
	}
	if p.w.Contacts.answered(p.key, incarnation, p.w.Clock.Now()) {
		p.w.log.Info("node answers", "router", p.key.router, "node", p.key.name, "incarnation", incarnation)
		p.w.heraldNow()
		p.w.urge(p.key)
	}
	return nil
}

// meet takes the pulse, and has it in the database when it returns.
func (p *patrol) meet(ctx context.Context) error {
	if err := p.ask(ctx); err != nil {
		return err
	}
	contact, _ := p.w.Contacts.Of(p.key.router, p.key.name)
	call, cancel := context.WithTimeout(ctx, p.w.CallTimeout)
	defer cancel()
	return p.w.Store.Pulse(call, []rollout.Node{{Router: p.key.router, Name: p.key.name, Incarnation: contact.Incarnation}}, p.w.tick())
}

// herald records, for all nodes in one transaction, which of them answered lately. Of several replicas the first one
// writes, so that their number does not matter.
func (w *Worker) herald(ctx context.Context) {
	ticker := w.Clock.NewTicker(w.tick())
	defer ticker.Stop()
	for w.enrol(ctx) != nil { // no node is forgotten because the database was away
		select {
		case <-ctx.Done():
			return
		case <-ticker.Chan():
		}
	}
	for {
		// A process that was stopped for a while has no news.
		if nodes := w.Contacts.answeredSince(w.Clock.Now().Add(-2*w.tick() - pulseTimeout)); len(nodes) > 0 {
			call, cancel := context.WithTimeout(ctx, w.CallTimeout)
			w.told(ctx, "heartbeats of nodes", w.Store.Pulse(call, nodes, w.tick()))
			cancel()
		}
		select {
		case <-ctx.Done():
			return
		case <-w.news:
		case <-ticker.Chan():
		}
	}
}

// enrol makes the configured nodes known, so that one that was never reached is missed.
func (w *Worker) enrol(ctx context.Context) error {
	var nodes []rollout.Node
	for key := range w.patrols {
		nodes = append(nodes, rollout.Node{Router: key.router, Name: key.name})
	}
	call, cancel := context.WithTimeout(ctx, w.CallTimeout)
	defer cancel()
	err := w.Store.Enrol(call, nodes)
	w.told(ctx, "enrolment of nodes", err)
	return err
}

// told logs how something went that is tried again anyway.
func (w *Worker) told(ctx context.Context, subject string, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		w.backoff.failed(w.log, subject, err)
	default:
		w.backoff.worked(w.log, subject)
	}
}

// heraldNow has the heartbeats recorded at once.
func (w *Worker) heraldNow() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// urge has all that is done on a node begin again: it has just come back.
func (w *Worker) urge(key nodeKey) {
	w.mu.Lock()
	tenures := slices.Collect(maps.Values(w.tenures))
	w.mu.Unlock() // a tenure locks itself first, and then the worker
	for _, t := range tenures {
		t.urge(key)
	}
}
