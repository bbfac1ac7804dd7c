package haproxy

import (
	"context"
	"net/netip"
	"slices"
)

// arrange gives every instance a server of the slot. Of a generation that is not followed that is the order of the
// groups. Else whoever has a server keeps it, and those that join get what is free.
func (s *staging) arrange(ctx context.Context, v view, held slot) (placement, error) {
	if s.members.IsZero() || held.generation == 0 {
		return s.wanted, nil
	}
	name := s.route.Environment
	present := s.whereabouts(ctx, v, held)
	p := placement{generation: s.wanted.generation, services: map[string][]netip.AddrPort{}}
	for _, service := range s.wanted.names() {
		places := make([]netip.AddrPort, len(v.servers[backendName(name, service, held.number)]))
		join := s.wanted.stay(service, present, places)
		if len(join) > 0 {
			free, err := s.freeServers(ctx, v, service, held.number, places)
			if err != nil {
				return p, err
			}
			for i, target := range join[:min(len(join), len(free))] { // fitting has counted them
				places[free[i]] = target
			}
		}
		last := 0
		for i, target := range places {
			if target.IsValid() {
				last = i + 1
			}
		}
		p.services[service] = places[:last]
	}
	return p, nil
}

// whereabouts is where the slot has its instances: as it was staged or, where nobody knows that, as its servers are.
func (s *staging) whereabouts(ctx context.Context, v view, held slot) placement {
	if p, known := s.expected(ctx, v, s.route.Environment, held); known {
		return p
	}
	p, _ := v.held(s.route.Environment, held)
	return p
}

// stay puts those of the placement that are present into their places, and returns the others.
func (p placement) stay(service string, present placement, places []netip.AddrPort) (join []netip.AddrPort) {
	for _, target := range p.services[service] {
		if i := slices.Index(present.services[service], target); i >= 0 && i < len(places) && !places[i].IsValid() {
			places[i] = target
		} else {
			join = append(join, target)
		}
	}
	return join
}

// freeServers lists the servers that nobody keeps, the best first: one that is in use gives a request under way back a
// connection that the next one might be sent on, to whoever was there before.
func (s *staging) freeServers(ctx context.Context, v view, service string, number int, places []netip.AddrPort) ([]int, error) {
	busy, err := s.busy(ctx, v, s.route.Environment, service, number)
	if err != nil {
		return nil, err
	}
	servers := v.servers[backendName(s.route.Environment, service, number)]
	var free []int
	for i := range servers {
		if !places[i].IsValid() {
			free = append(free, i)
		}
	}
	rank := func(i int) int {
		switch srv := servers[i]; {
		case busy[srv.name]:
			return 2
		case !srv.idle():
			return 1
		}
		return 0
	}
	slices.SortStableFunc(free, func(a, b int) int { return rank(a) - rank(b) })
	return free, nil
}
