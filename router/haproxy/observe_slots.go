package haproxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// observeSlots lists what is staged, counts what is open without weight, and goes on with drains that another process
// began.
func (n *Node) observeSlots(ctx context.Context, o *observation, e entry) error {
	for _, s := range e.slots {
		if s.state == slotStaged {
			n.observeStaged(ctx, o, s)
		}
		if s.generation == 0 || e.carries(s) {
			continue
		}
		open, err := n.open(ctx, o.view, o.name, s)
		if err != nil {
			return err
		}
		if open > 0 {
			if o.InFlight == nil {
				o.InFlight = map[int]int{}
			}
			o.InFlight[s.generation] = open
		}
		if s.draining() {
			n.startDrain(o.view, o.name, e, s)
		}
	}
	slices.Sort(o.Staged)
	return nil
}

func (n *Node) observeStaged(ctx context.Context, o *observation, s slot) {
	if !s.isChanging() && o.sumOf(o.name, s) != s.sum {
		o.edited(editSlot, s.number, s.generation, n.difference(ctx, o, s))
		return
	}
	if key := previewKeyOf(o.name, s.generation); o.entries[key] != strconv.Itoa(s.number) {
		o.edited("the map entry %s should be %d and is %s", key, s.number, shown(o.entries[key]))
		return
	}
	o.Staged = append(o.Staged, s.generation)
	if n.files == nil || s.isChanging() {
		return
	}
	if kept, err := n.keptServers(ctx, o.view, o.name, s); err != nil {
		o.found("state file of slot %d: %v", s.number, err)
	} else if kept.sumOf(o.name, s) != s.sum {
		o.found("the state file of slot %d does not hold generation %d", s.number, s.generation)
	}
}

// keptServers is a view of the slot's servers as the state files have them.
func (n *Node) keptServers(ctx context.Context, v view, name string, s slot) (view, error) {
	kept := view{layout: v.layout, servers: map[string][]server{}}
	for service := range v.slots[name] {
		backend := backendName(name, service, s.number)
		_, servers, err := n.files.readState(ctx, backend)
		if err != nil {
			return kept, err
		}
		kept.servers[backend] = servers
	}
	return kept, nil
}

// difference names what somebody changed of the slot's servers.
func (n *Node) difference(ctx context.Context, o *observation, s slot) string {
	expected, known := n.expected(ctx, o.view, o.name, s)
	var out []string
	for _, service := range slices.Sorted(maps.Keys(o.slots[o.name])) {
		if !o.has(o.name, service, s.number) {
			continue
		}
		for i, srv := range o.servers[backendName(o.name, service, s.number)] {
			what := srv.condition()
			target, wanted := expected.target(service, i)
			if known && wanted {
				if !srv.at(target) {
					what = fmt.Sprintf("is at %s instead of %s", srv.where(), target)
				}
			} else if srv.idle() {
				continue
			} else if !known {
				what = "is at " + srv.where() + " and " + what
			}
			if what != conditionReady || (known && !wanted) {
				out = append(out, fmt.Sprintf("server %s/%s %s", service, srv.name, what))
			}
		}
	}
	if len(out) == 0 {
		return "its backends are not in the configuration"
	}
	return strings.Join(out, ", ")
}

const conditionReady = "is ready"

func (s server) condition() string {
	switch {
	case s.idle():
		return "is in maintenance"
	case s.admin&^adminConfigured != 0:
		return "is draining"
	case !s.checked:
		return "is not checked"
	case s.weight != s.initial:
		return fmt.Sprintf("has the weight %d instead of %d", s.weight, s.initial)
	case s.askedElsewhere():
		return "is asked for its health at another address"
	}
	return conditionReady
}
