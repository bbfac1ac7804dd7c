package haproxy

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
)

// fill gives the servers of a slot their addresses and lets them be checked. Where atOnce is false, a server that was
// changed takes no request before its checks have passed as often as the health question says; where it is true, the
// slot carries weight or is about to, its instances were checked before, and nothing is gained by waiting.
func (n *Node) fill(ctx context.Context, v view, environment string, number int, p placement, atOnce bool) error {
	for _, service := range p.names() {
		backend := backendName(environment, service, number)
		for i, srv := range v.servers[backend] {
			var err error
			target, wanted := p.target(service, i)
			switch name := backend + "/" + srv.name; {
			case !wanted:
				err = n.empty(ctx, name, srv)
			case srv.at(target) && srv.ready():
			case atOnce:
				err = n.repair(ctx, name, srv, target)
			default:
				err = n.start(ctx, name, srv, target)
			}
			if err != nil {
				return fmt.Errorf("fill slot %d: %w", number, err)
			}
		}
	}
	return nil
}

// start takes the server out, moves it, and lets it in as one that is down until its checks pass. HAProxy would count
// it as up from the moment it leaves maintenance; while it drains, that does no harm.
func (n *Node) start(ctx context.Context, name string, srv server, target netip.AddrPort) error {
	if !srv.idle() {
		if err := n.runtime.do(ctx, "set", "server", name, "state", "maint"); err != nil {
			return err
		}
	}
	if err := n.move(ctx, name, srv, target); err != nil {
		return err
	}
	for _, words := range [][]string{{"state", "drain"}, {"health", "down"}, {"state", "ready"}} {
		if err := n.runtime.do(ctx, append([]string{"set", "server", name}, words...)...); err != nil {
			return err
		}
	}
	return nil
}

// repair makes the server right while requests may be on it. Where it was before, a check may have failed: it is taken for
// up until one fails here.
func (n *Node) repair(ctx context.Context, name string, srv server, target netip.AddrPort) error {
	if err := n.move(ctx, name, srv, target); err != nil {
		return err
	}
	if err := n.runtime.do(ctx, "set", "server", name, "state", "ready"); err != nil {
		return err
	}
	return n.runtime.do(ctx, "set", "server", name, "health", "up")
}

// move gives the server its address, and takes back what else a hand may have changed of it. HAProxy closes the idle
// connections to the address before.
func (n *Node) move(ctx context.Context, name string, srv server, target netip.AddrPort) error {
	address, port := target.Addr().String(), strconv.Itoa(int(target.Port()))
	var commands []command
	if !srv.at(target) {
		commands = append(commands, command{"set", "server", name, "addr", address, "port", port})
	}
	if srv.weight != srv.initial {
		commands = append(commands, command{"set", "server", name, "weight", strconv.Itoa(srv.initial)})
	}
	if srv.checkPort != 0 && srv.checkPort != int(target.Port()) {
		commands = append(commands, command{"set", "server", name, "check-port", port})
	}
	if srv.checkAddress != noAddress && srv.checkAddress != address {
		commands = append(commands, command{"set", "server", name, "check-addr", address})
	}
	if !srv.checked {
		commands = append(commands, command{"enable", "health", name})
	}
	for _, c := range commands {
		if err := n.runtime.do(ctx, c...); err != nil {
			return err
		}
	}
	return nil
}

// empty takes a server out that the placement has no instance for. Its checks may stay switched off until it is given an
// address: a server that somebody added by hand has none.
func (n *Node) empty(ctx context.Context, name string, srv server) error {
	if !srv.idle() {
		if err := n.runtime.do(ctx, "set", "server", name, "state", "maint"); err != nil {
			return err
		}
	}
	srv.checked = true
	return n.move(ctx, name, srv, netip.AddrPortFrom(netip.MustParseAddr(nowhere), nowherePort))
}
