package haproxy

import (
	"context"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
)

// drains are the times that what is open on generations without weight still has, as far as this process counts them.
// That a drain is under way lies in the entry (slot.since), so that whoever observes the node next can go on with it.
type drains struct {
	mu     sync.Mutex
	timers map[placeKey]drain
	closed bool
}

type drain struct {
	since int64
	timer clockwork.Timer
}

// draining says whether the slot's generation lost its weight and its drain is not over.
func (s slot) draining() bool { return s.state == slotStaged && s.since > 0 }

// cutTimeout is for ending what is open: a few exchanges for each server.
const cutTimeout = 10 * time.Second

// startDrain counts the drain of a slot, if this process does not yet. One that began before this moment has less left;
// HAProxy's clock counts whole seconds.
func (n *Node) startDrain(v view, name string, e entry, s slot) {
	n.drains.mu.Lock()
	defer n.drains.mu.Unlock()
	key := placeKey{name, s.number}
	if d, ok := n.drains.timers[key]; n.drains.closed || (ok && d.since == s.since) {
		return
	} else if ok {
		d.timer.Stop()
	}
	left := time.Duration(e.drain) * time.Millisecond
	if past := v.now - s.since; past > 0 {
		left = max(0, left-time.Duration(past-1)*time.Second)
	}
	n.drains.timers[key] = drain{s.since, n.clock.AfterFunc(left, func() { n.drainOver(name, s) })}
}

func (d *drains) stop(key placeKey) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if t, ok := d.timers[key]; ok {
		t.timer.Stop()
		delete(d.timers, key)
	}
}

func (d *drains) stopAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for key, t := range d.timers {
		t.timer.Stop()
		delete(d.timers, key)
	}
}

// drainOver cuts what outlasted the drain. When that fails, the next observation begins a drain anew.
func (n *Node) drainOver(name string, s slot) {
	ctx, cancel := context.WithTimeout(context.Background(), cutTimeout)
	defer cancel()
	if err := n.cut(ctx, name, s); err != nil {
		n.logger.Warn("what is open could not be cut at the end of its drain", "environment", name, "generation", s.generation, "error", err)
	}
	n.drains.stop(placeKey{name, s.number})
}

// cut ends what is open on the slot, unless weight came back, and marks the drain as over.
func (n *Node) cut(ctx context.Context, name string, s slot) error {
	env := n.environment(name)
	if err := env.lock(ctx); err != nil {
		return err
	}
	defer env.unlock()
	same := func(e entry) bool {
		now := e.in(s.number)
		return now.generation == s.generation && now.draining() && now.since == s.since && !e.carries(now)
	}
	v, err := n.look(ctx, name)
	if err != nil {
		return err
	}
	e, err := n.present(ctx, env, v, name)
	if err != nil || !same(e) {
		return err
	}
	open, err := n.open(ctx, v, name, s)
	if err != nil {
		return err
	}
	if open > 0 {
		if err := n.shutdown(ctx, v, name, s); err != nil {
			return err
		}
		n.logger.Info("drain is over, cut what was still open", "environment", name, "generation", s.generation, "cut", open)
	}
	_, e, err = n.updateLocked(ctx, env, name, func(_ view, e entry) (entry, error) {
		if !same(e) {
			return e, nil
		}
		over := e.in(s.number)
		over.since = 0
		return e.with(over), nil
	})
	if err != nil {
		return err
	}
	return n.keepMap(ctx, name, e)
}

// shutdown ends every session on the slot's servers, those included that were of a member that left since.
func (n *Node) shutdown(ctx context.Context, v view, name string, s slot) error {
	for service := range v.slots[name] {
		backend := backendName(name, service, s.number)
		busy, err := n.busy(ctx, v, name, service, s.number)
		if err != nil {
			return err
		}
		for _, srv := range v.servers[backend] {
			if srv.isNowhere() && !busy[srv.name] {
				continue
			}
			if err := n.runtime.do(ctx, "shutdown", "sessions", "server", backend+"/"+srv.name); err != nil {
				return err
			}
		}
	}
	return nil
}

// busy names the servers of a service's backend that a session is on.
func (n *Node) busy(ctx context.Context, v view, name, service string, number int) (map[string]bool, error) {
	if !v.has(name, service, number) {
		return nil, nil
	}
	answers, err := n.runtime.show(ctx, command{"show", "stat", backendName(name, service, number), "4", "-1"})
	if err != nil {
		return nil, err
	}
	rows, err := readStats(answers[0])
	out := map[string]bool{}
	for _, row := range rows {
		if row.number("scur") > 0 {
			out[row["svname"]] = true
		}
	}
	return out, err
}

// open counts the requests and connections on the slot's servers, those that wait for one included.
func (n *Node) open(ctx context.Context, v view, name string, s slot) (int, error) {
	var commands []command
	for service := range v.slots[name] {
		if backend := backendName(name, service, s.number); v.has(name, service, s.number) {
			commands = append(commands, command{"show", "stat", backend, "2", "-1"})
		}
	}
	answers, err := n.runtime.show(ctx, commands...)
	if err != nil {
		return 0, err
	}
	open := 0
	for _, answer := range answers {
		rows, err := readStats(answer)
		if err != nil {
			return 0, err
		}
		for _, row := range rows {
			open += int(row.number("scur"))
		}
	}
	return open, nil
}

// InFlight counts the requests and upgraded connections that are open on the generation; 0 for an unknown one.
func (n *Node) InFlight(ctx context.Context, environment string, generation int) (int, error) {
	if err := checkNames(environment, nil); err != nil {
		return 0, err
	}
	v, err := n.look(ctx, environment)
	if err != nil {
		return 0, err
	}
	e, _ := parseEntry(v.entries[envKey+environment]) // what can be read of one that was edited
	s, known := e.of(generation)
	if !known {
		return 0, nil
	}
	return n.open(ctx, v, environment, s)
}
