package haproxy

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
)

// placement is what a slot shall hold: the addresses of each service's servers, in their order. One that is not valid is
// of a server that has none.
type placement struct {
	generation int
	services   map[string][]netip.AddrPort
}

// place checks a generation and makes its placement.
func place(g rollout.Generation) (placement, error) {
	p := placement{generation: g.Number, services: map[string][]netip.AddrPort{}}
	if g.Number < 1 || len(g.Groups) == 0 {
		return p, fmt.Errorf("generation %d has no groups to serve from", g.Number)
	}
	for _, group := range g.Groups {
		if !rollout.ValidName(group.Service) {
			return p, fmt.Errorf("generation %d: %.80q is not the name of a service", g.Number, group.Service)
		}
		if len(group.Instances) == 0 {
			return p, fmt.Errorf("generation %d has no instances of service %q", g.Number, group.Service)
		}
		for _, in := range group.Instances {
			a, err := netip.ParseAddr(in.Address)
			if err != nil || a.Zone() != "" || in.Port < 1 || in.Port > 65535 {
				return p, fmt.Errorf("generation %d: %.80q port %d is not an IP address and a port, which is what HAProxy can be told at run time",
					g.Number, in.Address, in.Port)
			}
			p.services[group.Service] = append(p.services[group.Service], netip.AddrPortFrom(a.Unmap(), uint16(in.Port)))
		}
	}
	return p, nil
}

// names lists the services, in order.
func (p placement) names() []string { return slices.Sorted(maps.Keys(p.services)) }

// size is the number of instances.
func (p placement) size() int {
	size := 0
	for _, targets := range p.services {
		for _, target := range targets {
			if target.IsValid() {
				size++
			}
		}
	}
	return size
}

// target is the address of a service's server, if it has one.
func (p placement) target(service string, server int) (netip.AddrPort, bool) {
	targets := p.services[service]
	if server >= len(targets) {
		return netip.AddrPort{}, false
	}
	return targets[server], targets[server].IsValid()
}

// sum is what slot.sum says of the placement.
func (p placement) sum() string {
	words := []string{strconv.Itoa(p.generation)}
	for _, service := range p.names() {
		for i, target := range p.services[service] {
			if !target.IsValid() {
				continue
			}
			words = append(words, fmt.Sprintf("%s %s%d %s", service, serverName, i+1, target))
		}
	}
	return sum(words...)
}

// held reads from the view what the slot holds, by the servers that would take requests. exact is false when a server
// is neither in nor out, or is not checked.
func (v view) held(environment string, s slot) (p placement, exact bool) {
	p, exact = placement{generation: s.generation, services: map[string][]netip.AddrPort{}}, true
	for service := range v.slots[environment] {
		used := 0
		var targets []netip.AddrPort
		for i, srv := range v.servers[backendName(environment, service, s.number)] {
			if srv.idle() {
				targets = append(targets, netip.AddrPort{})
				continue
			}
			a, err := netip.ParseAddr(srv.address)
			exact = exact && err == nil && srv.ready()
			targets, used = append(targets, netip.AddrPortFrom(a.Unmap(), uint16(srv.port))), i+1
		}
		if used > 0 {
			p.services[service] = targets[:used]
		}
	}
	return p, exact
}

// sumOf is the sum of what the slot holds, "" when that is no placement.
func (v view) sumOf(environment string, s slot) string {
	p, exact := v.held(environment, s)
	if !exact {
		return ""
	}
	return p.sum()
}

// usable says whether the slot can serve the placement: each service has a server in use, and all in use are of it.
func (v view) usable(environment string, number int, p placement) bool {
	for service, targets := range p.services {
		ready := 0
		for i, srv := range v.servers[backendName(environment, service, number)] {
			switch {
			case srv.idle():
			case i >= len(targets) || !srv.at(targets[i]): // no server is at the address of nobody
				return false
			case srv.ready():
				ready++
			}
		}
		if ready == 0 {
			return false
		}
	}
	return true
}

// up counts the servers of the placement that are up by their checks.
func (v view) up(environment string, number int, p placement) (up, total int) {
	for service, targets := range p.services {
		for i, srv := range v.servers[backendName(environment, service, number)] {
			if i < len(targets) && srv.at(targets[i]) && srv.ready() && srv.up {
				up++
			}
		}
	}
	return up, p.size()
}

// sum is a short fingerprint, another one when anything in the words differs.
func sum(words ...string) string {
	digest := sha256.Sum256([]byte(strings.Join(words, "\n")))
	return hex.EncodeToString(digest[:6])
}
