package server

import (
	"context"
	"slices"
	"time"

	"viridian/rollout"
	"viridian/server/api"
)

func (h handlers) ListRouters(ctx context.Context, _ api.ListRoutersRequestObject) (api.ListRoutersResponseObject, error) {
	nodes, now, err := h.Store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	names := h.Service.Routers()
	for _, n := range nodes {
		if !n.Removed && !slices.Contains(names, n.Router) { // nobody drives it from here, and it may serve all the same
			names = append(names, n.Router)
		}
	}
	slices.Sort(names)
	out := api.ListRouters200JSONResponse{Items: []api.Router{}}
	for _, name := range names {
		out.Items = append(out.Items, h.router(name, nodes, now))
	}
	return out, nil
}

// router shows one, as this replica is configured to drive it, with those of the nodes that are its own.
func (s *server) router(name string, nodes []rollout.Node, now time.Time) api.Router {
	fleet := s.Service.Fleets[name]
	out := api.Router{Name: name, Driver: fleet.Driver, Required: api.RouterRequired(fleet.Required), Grade: api.Grade(s.gradeOf(name)), Nodes: []api.Node{}}
	switch {
	case name == rollout.Builtin:
		out.Driver, out.Required = rollout.Builtin, api.RouterRequiredReachable
	case fleet.Required == "":
		out.Required = api.RouterRequiredAll
	}
	for _, n := range nodes {
		if n.Router == name {
			out.Nodes = append(out.Nodes, s.nodeOf(n, now))
		}
	}
	return out
}

// gradeOf is how safe the nodes of a router are from stale writers, as far as the configuration tells.
func (s *server) gradeOf(router string) rollout.Grade {
	switch grade := s.Service.Fleets[router].Grade; {
	case router == rollout.Builtin:
		return rollout.GradeFenced
	case grade != "":
		return grade
	}
	return rollout.GradeReadBack
}

// contactError says why this replica does not reach a node of a fleet; empty when it does, and for replicas.
func (s *server) contactError(n rollout.Node) string {
	if n.Router == rollout.Builtin {
		return ""
	}
	if _, configured := s.Service.Fleets[n.Router].Nodes[n.Name]; !configured {
		return "it is not in the configuration of this replica"
	}
	contact, _ := s.Service.Contacts.Of(n.Router, n.Name)
	return contact.Error
}

func (h handlers) RemoveNode(ctx context.Context, request api.RemoveNodeRequestObject) (api.RemoveNodeResponseObject, error) {
	out, err := h.Store.RemoveNode(ctx, request.Router, request.Node, actor(ctx), idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	return api.RemoveNode204Response{}, nil
}

func (s *server) nodeOf(n rollout.Node, now time.Time) api.Node {
	out := api.Node{Router: n.Router, Name: n.Name, Incarnation: n.Incarnation, Version: n.Version, State: api.NodeStateReady, Error: s.contactError(n)}
	if n.EverSeen() {
		out.SeenAt = &n.SeenAt
	}
	switch {
	case n.Removed:
		out.State, out.Error = api.NodeStateRemoved, ""
	case now.Sub(n.SeenAt) > s.Store.Timing().Silence:
		out.State = api.NodeStateUnreachable
	}
	return out
}
