package haproxy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// Stage gives the generation a slot, fills it, and returns when its instances were checked: all up, or as long as a
// healthy one needs to be. On what is staged already it looks for damage and mends it. Later members of a generation that
// is followed are changed in place, see members.go. Under a number that a restored
// database gives out again, other instances take the place of those without weight, and of those that the route means
// too; it is ErrInUse while the others serve. It is ErrNoSlot when all slots are taken, and an error that says what to
// print when the configuration cannot hold the generation.
func (n *Node) Stage(ctx context.Context, f router.Fence, route rollout.Route, g rollout.Generation) error {
	if err := checkNames(route.Environment, route.Services); err != nil {
		return err
	}
	p, err := place(g)
	if err != nil {
		return err
	}
	s := staging{Node: n, route: route, wanted: p, members: router.MembersOf(f, g)}
	v, e, err := n.update(ctx, route.Environment, func(v view, e entry) (entry, error) { return s.claim(ctx, v, e, f) })
	if err != nil {
		return fmt.Errorf("environment %s, generation %d: %w", route.Environment, g.Number, err)
	}
	if err := s.run(ctx, v, e); err != nil {
		return fmt.Errorf("environment %s, generation %d: %w", route.Environment, g.Number, err)
	}
	return s.asked(v)
}

// staging is one Stage under way.
type staging struct {
	*Node
	route     rollout.Route
	wanted    placement // in the order of the groups
	members   router.Members
	placement placement // the same, by the servers that are to have them
	sites     map[string]string
	slot      slot
	atOnce    bool
	serves    bool // the slot carries weight, or is about to
}

// claim finds the generation's slot, or takes a free one.
func (s *staging) claim(ctx context.Context, v view, e entry, f router.Fence) (entry, error) {
	if err := e.checkFence(f); err != nil {
		return e, err
	}
	fits, err := s.fitting(v)
	if err != nil {
		return e, err
	}
	name := s.route.Environment
	held, known := e.of(s.wanted.generation)
	later, err := held.members.Take(s.members, e.revision)
	if err != nil {
		return e, err
	}
	if s.placement, err = s.arrange(ctx, v, held); err != nil {
		return e, err
	}
	switch {
	case known && !slices.Contains(fits, held.number): // the configuration lost the slot
		e = e.with(slot{number: held.number, state: slotFree})
		known, s.placement = false, s.wanted
		fallthrough
	case !known:
		if err := s.asked(v); err != nil {
			return e, err
		}
		if held, err = s.free(v, e, fits); err != nil {
			return e, err
		}
		held.state, held.since = slotFilling, v.now
	case e.carries(held) && held.sum != s.placement.sum() && !s.route.Weights.Carries(held.generation):
		return e, fmt.Errorf("it serves here from other instances: %w", router.ErrInUse)
	}
	s.slot = s.next(v, e, held, known, later)
	s.remember(name, s.slot, s.placement)
	e.mark = f
	e, s.sites = e.with(s.slot).adopt(s.route)
	return e, nil
}

// next is what becomes of the generation's slot.
func (s *staging) next(v view, e entry, held slot, known, later bool) slot {
	same := held.sum == s.placement.sum()
	s.serves = known && held.state == slotStaged && (e.carries(held) || s.route.Weights.Carries(held.generation))
	change := known && held.state == slotStaged && !s.members.IsZero() && (held.isChanging() || (later && !same))
	s.atOnce = s.serves && !change
	switch {
	case !change:
		held.changing = 0
	case !held.isChanging() || !same:
		held.changing = v.now
	}
	if known && !change && !s.atOnce && (held.state == slotLeaving || !v.usable(s.route.Environment, held.number, s.placement)) {
		held.state, held.since = slotFilling, v.now
	}
	if !known || !held.members.At.Equal(s.members.At) {
		held.members = s.members
	}
	held.generation, held.sum = s.placement.generation, s.placement.sum()
	return held
}

// fitting lists the slots whose backends have enough servers.
func (s *staging) fitting(v view) ([]int, error) {
	name := s.route.Environment
	fits, err := v.common(name, s.wanted.names())
	if err != nil {
		return nil, err
	}
	for _, service := range s.wanted.names() {
		want := len(s.wanted.services[service])
		for _, number := range v.slots[name][service] {
			if have := len(v.servers[backendName(name, service, number)]); have < want {
				return nil, fmt.Errorf("service %s has %d instances, and a slot of the HAProxy configuration holds %d: print it anew with viridian haproxy-config --servers %d, and reload",
					service, want, have, want)
			}
		}
	}
	return fits, nil
}

// free chooses the slot that has been free for longest, and refuses one that was emptied just now: see
// [Options.SlotRest].
func (s *staging) free(v view, e entry, fits []int) (slot, error) {
	best, found := slot{}, false
	for _, number := range fits {
		if c := e.in(number); c.generation == 0 && (!found || c.since < best.since) {
			best, found = c, true
		}
	}
	if !found {
		return best, fmt.Errorf("all %d slots are taken: %w", len(fits), router.ErrNoSlot)
	}
	if rest := best.since + int64(s.rest/time.Second) - v.now; best.since > 0 && rest > 0 {
		return best, fmt.Errorf("slot %d was emptied just now and is given away in %d s: %w", best.number, rest, router.ErrNoSlot)
	}
	return best, nil
}

// asked refuses a health question other than the printed one, since HAProxy cannot be told another at run time.
func (s *staging) asked(v view) error {
	for _, svc := range s.route.Services {
		site := siteName(s.route.Environment, svc.Name)
		if printed, known := v.asks[site]; known && printed != sumOfQuestion(svc.Service) {
			return fmt.Errorf("service %s has another health question or protocol than the HAProxy configuration asks: print it anew with viridian haproxy-config, and reload", svc.Name)
		}
	}
	return nil
}

func (s *staging) run(ctx context.Context, v view, e entry) error {
	name, number := s.route.Environment, s.slot.number
	if s.sites != nil {
		if err := s.putSites(ctx, name, s.sites); err != nil {
			return err
		}
	}
	if s.slot.isChanging() {
		return s.change(ctx, v, e)
	}
	if err := s.fill(ctx, v, name, number, s.placement, s.atOnce); err != nil {
		return err
	}
	v, err := s.wait(ctx, s.slot.state == slotFilling, s.slot.since, func(v view) int {
		up, total := v.up(name, number, s.placement)
		return total - up
	})
	if err != nil {
		return err
	}
	// The state files come before the entry says that the slot can be used: a restart must never find a slot in use
	// with the addresses of whoever had it before.
	if err := s.keepSlot(ctx, v, name, s.slot); err != nil {
		return err
	}
	if s.slot.state == slotFilling {
		if e, err = s.finish(ctx); err != nil {
			return err
		}
	}
	return s.announce(ctx, e)
}

// announce makes the generation known to previews, and all of it durable.
func (s *staging) announce(ctx context.Context, e entry) error {
	name, number := s.route.Environment, s.slot.number
	key := previewKeyOf(name, s.placement.generation)
	err := s.put(ctx, func(view) map[string]string { return map[string]string{key: strconv.Itoa(number)} })
	if err != nil {
		return err
	}
	return s.keepMap(ctx, name, e)
}

// finish marks the slot as staged, if it is still this staging's.
func (s *staging) finish(ctx context.Context) (entry, error) {
	_, e, err := s.update(ctx, s.route.Environment, func(_ view, e entry) (entry, error) {
		now := e.in(s.slot.number)
		if !now.isStill(s.slot) || (now.state != slotFilling && now.state != slotStaged) {
			return e, fmt.Errorf("slot %d was given to another: %w", s.slot.number, router.ErrStale)
		}
		if now.state == slotFilling {
			now.state, now.since = slotStaged, 0
		}
		now.changing = 0
		return e.with(now), nil
	})
	return e, err
}

// look again how often, while servers are checked.
const checkPoll = 10 * time.Millisecond

// wait looks until none is missing, or the time has passed since then that a healthy one needs. What is not worth it is
// looked at once.
func (s *staging) wait(ctx context.Context, worth bool, since int64, missing func(view) int) (view, error) {
	name, total := s.route.Environment, s.placement.size()
	ticker := s.clock.NewTicker(checkPoll)
	defer ticker.Stop()
	down := total
	for {
		v, err := s.look(ctx, name)
		switch {
		case ctx.Err() != nil:
			return v, fmt.Errorf("%d of %d instances are not up yet: %w", down, total, context.Cause(ctx))
		case errors.Is(err, context.DeadlineExceeded): // a connection knew before ctx
			return v, fmt.Errorf("%d of %d instances are not up yet: %w", down, total, err)
		case err != nil:
			return v, err
		}
		if e, err := parseEntry(v.entries[envKey+name]); err == nil && !e.in(s.slot.number).isStill(s.slot) {
			return v, fmt.Errorf("slot %d was given to another meanwhile: %w", s.slot.number, router.ErrStale)
		}
		down = missing(v)
		if over := v.now >= since+s.longest(); down == 0 || !worth || over {
			if down > 0 {
				s.logger.Info("staged with instances that are not up", "environment", name, "generation", s.placement.generation, "down", down, "of", total)
			}
			return v, nil
		}
		select {
		case <-ctx.Done():
		case <-ticker.Chan():
		}
	}
}

// longest is how many seconds a healthy instance may need until it is up.
func (s *staging) longest() int64 {
	longest := time.Second
	for _, svc := range s.route.Services {
		h := svc.Health
		longest = max(longest, time.Duration(max(h.HealthyAfter, 1))*h.Interval.Std()+h.Timeout.Std())
	}
	return int64(longest/time.Second) + 2 // two clocks that count whole seconds
}
