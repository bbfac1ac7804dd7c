package haproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// The members of a generation that is followed come and go while its slot serves. Those that stay keep their servers,
// which nothing is told. Who joins is given a server that is free, and is checked before it serves. Who leaves is taken
// into maintenance: HAProxy sends it nothing more, lets what is open on it end, and still counts that as the slot's. The
// entry says that this is under way (slot.changing) before a server is touched, and so does the map file: a restart
// finds these members or those, and both are the generation's.

// change puts the members of a staged slot in the place of others.
func (s *staging) change(ctx context.Context, v view, e entry) error {
	name, number := s.route.Environment, s.slot.number
	// A full disk holds up no member. It then holds up the state files too, so that a restart finds all as before.
	undurable := s.keepMap(ctx, name, e)
	join := s.joining(v)
	for _, service := range slices.Sorted(maps.Keys(join)) {
		if err := s.changeService(ctx, v, service); err != nil {
			return fmt.Errorf("members of slot %d: %w", number, err)
		}
	}
	v, err := s.wait(ctx, true, s.slot.changing, func(v view) int {
		down := 0
		for service, servers := range join {
			for _, i := range servers {
				if now := v.servers[backendName(name, service, number)]; i >= len(now) || !now[i].up {
					down++
				}
			}
		}
		return down
	})
	if err = errors.Join(undurable, err); err != nil {
		return err
	}
	if v.sumOf(name, s.slot) != s.slot.sum {
		return errLost
	}
	if err := s.keepSlot(ctx, v, name, s.slot); err != nil {
		return err
	}
	if e, err = s.finish(ctx); err != nil {
		return err
	}
	return s.announce(ctx, e)
}

// joining lists, for every service, the servers whose instance is new to them.
func (s *staging) joining(v view) map[string][]int {
	out := map[string][]int{}
	for _, service := range s.placement.names() {
		out[service] = nil
		for i, srv := range v.servers[backendName(s.route.Environment, service, s.slot.number)] {
			if target, wanted := s.placement.target(service, i); wanted && !srv.at(target) {
				out[service] = append(out[service], i)
			}
		}
	}
	return out
}

// changeService lets those in that join, and then takes those out that left. Where weight is on the slot and nobody is up
// who stays, those that join serve at once: their registry says that they are well, and there is no one else.
func (s *staging) changeService(ctx context.Context, v view, service string) error {
	backend := backendName(s.route.Environment, service, s.slot.number)
	stays, up := s.staying(v, service)
	let, atOnce := s.start, s.serves && !up
	if atOnce {
		let = s.repair
	}
	if stays && (up || !s.serves) { // else nobody would be there for a flip that comes meanwhile
		if err := s.vacateServers(ctx, v, service); err != nil {
			return err
		}
	}
	for i, srv := range v.servers[backend] {
		target, wanted := s.placement.target(service, i)
		if !wanted || (srv.at(target) && srv.ready() && !atOnce) {
			continue // with atOnce, who joined a moment ago is not up yet either
		}
		if err := let(ctx, backend+"/"+srv.name, srv, target); err != nil {
			return err
		}
	}
	for i, srv := range v.servers[backend] {
		if _, wanted := s.placement.target(service, i); !wanted {
			if err := s.empty(ctx, backend+"/"+srv.name, srv); err != nil {
				return err
			}
		}
	}
	return nil
}

// staying says whether somebody stays on a server that takes requests, and whether one of those is up.
func (s *staging) staying(v view, service string) (some, up bool) {
	for i, srv := range v.servers[backendName(s.route.Environment, service, s.slot.number)] {
		if target, wanted := s.placement.target(service, i); wanted && srv.at(target) && srv.ready() {
			some, up = true, up || srv.up
		}
	}
	return some, up
}

// vacatePatience is how long what is open on former members holds up those that are given their servers.
const vacatePatience = 3 * time.Second

// vacateServers sees to it that those that join are given servers on which nothing of a former member is open. Where there
// was a free one for each of them, that is so. What outlasts the patience may later give its connection to the next one:
// that is logged.
func (s *staging) vacateServers(ctx context.Context, v view, service string) error {
	name, number := s.route.Environment, s.slot.number
	backend := backendName(name, service, number)
	given := map[string]bool{}
	for i, srv := range v.servers[backend] {
		if target, wanted := s.placement.target(service, i); wanted && !srv.at(target) {
			given[srv.name] = true
			if srv.idle() {
				continue
			}
			if err := s.runtime.do(ctx, "set", "server", backend+"/"+srv.name, "state", "maint"); err != nil {
				return err
			}
		}
	}
	ticker := s.clock.NewTicker(checkPoll)
	defer ticker.Stop()
	for end := s.clock.Now().Add(vacatePatience); ; {
		busy, err := s.busy(ctx, v, name, service, number)
		if err != nil {
			return err
		}
		maps.DeleteFunc(busy, func(server string, _ bool) bool { return !given[server] })
		switch {
		case len(busy) == 0:
			return nil
		case !s.clock.Now().Before(end):
			s.logger.Warn("a new member is given the server of one that left while something is open on it: print more servers with viridian haproxy-config --servers",
				"environment", name, "generation", s.placement.generation, "service", service, "servers", len(busy))
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.Chan():
		}
	}
}

// serves says whether every backend of the slot that is in use has a server that takes requests.
func (v view) serves(environment string, number int) bool {
	some := false
	for service := range v.slots[environment] {
		servers := v.servers[backendName(environment, service, number)]
		ready := slices.ContainsFunc(servers, server.ready)
		if !ready && slices.ContainsFunc(servers, func(srv server) bool { return !srv.idle() }) {
			return false
		}
		some = some || ready
	}
	return some
}

// lift lets traffic onto a slot whose members are being changed: a flip, which may be a rollback, waits for no check. Where
// nobody is up, those that are being checked are taken for up until their checks say otherwise.
func (n *Node) lift(ctx context.Context, v view, name string, s slot) {
	for service := range v.slots[name] {
		backend := backendName(name, service, s.number)
		servers := v.servers[backend]
		if slices.ContainsFunc(servers, func(srv server) bool { return srv.ready() && srv.up }) {
			continue
		}
		for _, srv := range servers {
			if !srv.ready() {
				continue
			}
			if err := n.runtime.do(ctx, "set", "server", backend+"/"+srv.name, "health", "up"); err != nil {
				n.logger.Warn("an instance that is being checked could not be taken for up", "environment", name, "generation", s.generation, "error", err)
			}
		}
	}
}
