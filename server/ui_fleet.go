package server

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"viridian/rollout"
	"viridian/web"
)

// fleet is every node, and what it does in the environments that the caller may see.
func (s *server) fleet(caller Caller, now seen) web.Fleet {
	var out web.Fleet
	for _, n := range now.nodes {
		i := slices.IndexFunc(out.Routers, func(r web.RouterView) bool { return r.Name == n.Router })
		if i < 0 {
			out.Routers = append(out.Routers, web.RouterView{Name: n.Router, Driver: s.driverOf(n.Router)})
			i = len(out.Routers) - 1
		}
		out.Routers[i].Nodes = append(out.Routers[i].Nodes, s.nodeView(caller, n, now))
	}
	if len(out.Routers) == 0 {
		out.Routers = []web.RouterView{{Name: rollout.Builtin, Driver: rollout.Builtin}}
	}
	slices.SortFunc(out.Routers, func(a, b web.RouterView) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// driverOf is the driver of a router; empty for one that is not in the configuration of this replica.
func (s *server) driverOf(router string) string {
	if router == rollout.Builtin {
		return rollout.Builtin
	}
	return s.Service.Fleets[router].Driver
}

func (s *server) nodeView(caller Caller, n rollout.Node, now seen) web.NodeView {
	out := web.NodeView{Router: n.Router, Name: n.Name, Incarnation: n.Incarnation, Version: n.Version, SeenAt: n.SeenAt, State: "ready",
		Remove: web.Action{Label: "Take out", Href: "/routers/" + n.Router + "/nodes/" + n.Name + "/remove", Enabled: Can(caller, "node.remove", ""), Danger: true}}
	if !out.Remove.Enabled {
		out.Remove.Why = roleWhy(caller, "node.remove")
	}
	if now.now.Sub(n.SeenAt) > s.Store.Timing().Silence {
		out.State = "unreachable"
	}
	for _, at := range now.standings {
		if !slices.Contains(at.e.Spec.Routers, n.Router) {
			continue
		}
		v := viewed{e: at.e, now: now.now}
		v.e.Nodes = []rollout.Node{n}
		receipt := v.receipts()[0]
		if receipt.State == rollout.InSync {
			out.InSync++
			continue
		}
		out.Apart = append(out.Apart, web.NodeEnvironment{Environment: at.e.Name, Receipt: receipt, Decided: at.e.Revision})
	}
	return out
}

func (s *server) showFleet(w http.ResponseWriter, r *http.Request) error {
	caller := callOf(r.Context()).caller
	now, err := s.board.current(r.Context(), caller, "")
	if err != nil {
		return err
	}
	p := s.livePage(r, "Fleet", "fleet", streamPath("/fleet/live", "", s.board.mark(0, present)), now)
	return writePage(w, r, http.StatusOK, web.FleetPage(p, s.fleet(caller, now)))
}

func (s *server) followFleet(w http.ResponseWriter, r *http.Request) error {
	caller := callOf(r.Context()).caller
	return s.live(w, r, livePage{shape: func(seen) string { return present },
		parts: func(_ context.Context, now seen, _ bool) ([]part, func() []part) {
			return []part{s.board.drawing.own("fleet", render(web.Nodes(s.fleet(caller, now))))}, nil
		}})
}
