package server

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/web"
)

// maxRemoved bounds how many nodes are listed that were taken out.
const maxRemoved = 20

// fleet is every node, and what it does in the environments that the caller may see.
func (s *server) fleet(caller Caller, now seen) web.Fleet {
	var out web.Fleet
	routers := map[string]int{}
	router := func(name string) *web.RouterView {
		i, known := routers[name]
		if !known {
			i = len(out.Routers)
			routers[name] = i
			out.Routers = append(out.Routers, s.routerView(name))
		}
		return &out.Routers[i]
	}
	for _, name := range s.Service.Routers() {
		router(name)
	}
	for _, n := range now.nodes {
		r := router(n.Router)
		r.Nodes = append(r.Nodes, s.nodeView(caller, n, now))
	}
	for _, n := range now.removed {
		if r := router(n.Router); len(r.Removed) < maxRemoved {
			r.Removed = append(r.Removed, web.NodeView{Router: n.Router, Name: n.Name, Incarnation: n.Incarnation, State: "removed", SeenAt: seenAt(n)})
		}
	}
	slices.SortFunc(out.Routers, func(a, b web.RouterView) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// routerView is a router without its nodes, as the API tells it.
func (s *server) routerView(name string) web.RouterView {
	r := s.router(name, nil, time.Time{})
	return web.RouterView{Name: name, Driver: r.Driver, Required: string(r.Required), Grade: string(r.Grade)}
}

// seenAt is when a node was heard of; zero for never.
func seenAt(n rollout.Node) time.Time {
	if !n.EverSeen() {
		return time.Time{}
	}
	return n.SeenAt
}

func (s *server) nodeView(caller Caller, n rollout.Node, now seen) web.NodeView {
	shown := s.nodeOf(n, now.now)
	out := web.NodeView{Router: n.Router, Name: n.Name, Incarnation: n.Incarnation, Version: n.Version, SeenAt: seenAt(n), State: string(shown.State), Error: shown.Error,
		Remove: web.Action{Label: "Take out", Href: "/routers/" + n.Router + "/nodes/" + n.Name + "/remove", Enabled: Can(caller, "node.remove", ""), Danger: true}}
	switch {
	case !out.Remove.Enabled:
		out.Remove.Why = roleWhy(caller, "node.remove")
	case shown.State == api.NodeStateReady:
		out.Remove.Enabled, out.Remove.Why = false, "it is there: stop it first"
	}
	for _, at := range now.standings {
		if !slices.Contains(at.e.Spec.Routers, n.Router) {
			continue
		}
		v := viewed{e: at.e, now: now.now}
		v.e.Nodes = []rollout.Node{n}
		one := web.NodeEnvironment{Environment: at.e.Name, Receipt: v.receipts()[0], Decided: at.e.Revision}
		if one.Receipt.State == rollout.InSync {
			out.InSync = append(out.InSync, one)
		} else {
			out.Apart = append(out.Apart, one)
		}
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
