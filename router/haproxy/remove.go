package haproxy

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"viridian/router"
)

// Remove takes the generation out of its slot: its servers go into maintenance, what is still open on them is ended,
// and the slot is free once nothing is. Previews may have been open; the drain of what had weight is over by now.
func (n *Node) Remove(ctx context.Context, f router.Fence, name string, generation int) error {
	if err := checkNames(name, nil); err != nil {
		return err
	}
	var leaving slot
	v, e, err := n.update(ctx, name, func(_ view, e entry) (entry, error) {
		leaving = slot{}
		s, known := e.of(generation)
		if !known {
			return e, nil
		}
		if err := e.checkFence(f); err != nil {
			return e, err
		}
		if e.inUse(generation) {
			return e, router.ErrInUse
		}
		s.state, s.since, s.changing, e.mark = slotLeaving, 0, 0, f
		leaving = s
		return e.with(s), nil
	})
	if err == nil && leaving.number != 0 {
		n.drains.stop(placeKey{name, leaving.number})
		// A restart must not find weight on a slot that is being emptied.
		if err = n.keepMap(ctx, name, e); err == nil {
			e, err = n.vacate(ctx, v, name, leaving)
		}
	}
	if err != nil {
		return fmt.Errorf("environment %s, generation %d: %w", name, generation, err)
	}
	if _, there := v.entries[envKey+name]; !there {
		return nil
	}
	return n.keepMap(ctx, name, e)
}

// vacate empties the slot and marks it as free.
func (n *Node) vacate(ctx context.Context, v view, name string, s slot) (entry, error) {
	key := previewKeyOf(name, s.generation)
	if err := n.put(ctx, func(view) map[string]string { return map[string]string{key: absent} }); err != nil {
		return entry{}, err
	}
	for service := range v.slots[name] {
		backend := backendName(name, service, s.number)
		for _, srv := range v.servers[backend] {
			if srv.idle() {
				continue
			}
			if err := n.runtime.do(ctx, "set", "server", backend+"/"+srv.name, "state", "maint"); err != nil {
				return entry{}, err
			}
		}
	}
	if err := n.shutdown(ctx, v, name, s); err != nil {
		return entry{}, err
	}
	if err := n.quiet(ctx, v, name, s); err != nil {
		return entry{}, err
	}
	v, err := n.look(ctx, name)
	if err != nil {
		return entry{}, err
	}
	for service := range v.slots[name] {
		backend := backendName(name, service, s.number)
		for _, srv := range v.servers[backend] {
			if err := n.empty(ctx, backend+"/"+srv.name, srv); err != nil {
				return entry{}, err
			}
		}
	}
	if v, err = n.look(ctx, name); err != nil {
		return entry{}, err
	}
	_, e, err := n.update(ctx, name, func(v view, e entry) (entry, error) {
		if now := e.in(s.number); now.generation != s.generation || now.state != slotLeaving {
			return e, fmt.Errorf("slot %d was given to another: %w", s.number, router.ErrStale)
		}
		return e.with(slot{number: s.number, state: slotFree, sum: "-", since: v.now}), nil
	})
	if err != nil {
		return e, err
	}
	return e, n.keepSlot(ctx, v, name, slot{number: s.number})
}

// quiet waits until no connection to the slot's servers is left, in use or kept for reuse.
func (n *Node) quiet(ctx context.Context, v view, name string, s slot) error {
	ticker := n.clock.NewTicker(checkPoll)
	defer ticker.Stop()
	for {
		var commands []command
		for service := range v.slots[name] {
			if v.has(name, service, s.number) {
				commands = append(commands, command{"show", "servers", "conn", backendName(name, service, s.number)})
			}
		}
		answers, err := n.runtime.show(ctx, commands...)
		if err != nil {
			return err
		}
		left := int64(0)
		for _, answer := range answers {
			count, err := connections(answer)
			if err != nil {
				return err
			}
			left += count
		}
		if left == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d connections of generation %d are still open: %w", left, s.generation, context.Cause(ctx))
		case <-ticker.Chan():
		}
	}
}

// connections sums what "show servers conn" tells of used and idle ones.
func connections(answer string) (int64, error) {
	total := int64(0)
	var used, idle int
	for line := range strings.Lines(answer) {
		fields := strings.Fields(line)
		if head, ok := strings.CutPrefix(line, "# "); ok {
			for i, column := range strings.Fields(head) {
				switch column {
				case "used_cur":
					used = i
				case "idle_cur":
					idle = i
				}
			}
			continue
		}
		if used == 0 || idle == 0 || len(fields) <= max(used, idle) {
			return 0, fmt.Errorf("connections of servers: %.80q", line)
		}
		for _, i := range []int{used, idle} {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("connections of servers: %.80q", line)
			}
			total += n
		}
	}
	return total, nil
}
