package server

import (
	"context"
	"time"

	"viridian/rollout"
	"viridian/server/api"
)

// builtinRouter is the router that every installation has, and the only driver of this version.
const builtinRouter = "builtin"

func (h handlers) ListRouters(ctx context.Context, _ api.ListRoutersRequestObject) (api.ListRoutersResponseObject, error) {
	nodes, now, err := h.Store.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	router := api.Router{Name: builtinRouter, Driver: builtinRouter, Required: api.RouterRequiredAll, Grade: api.Grade(rollout.GradeFenced), Nodes: []api.Node{}}
	for _, n := range nodes {
		if n.Router == builtinRouter {
			router.Nodes = append(router.Nodes, nodeOf(n, now, h.Store.Timing().Silence))
		}
	}
	return api.ListRouters200JSONResponse{Items: []api.Router{router}}, nil
}

func (h handlers) RemoveNode(ctx context.Context, request api.RemoveNodeRequestObject) (api.RemoveNodeResponseObject, error) {
	out, err := h.Store.RemoveNode(ctx, request.Router, request.Node, actor(ctx), idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	return api.RemoveNode204Response{}, nil
}

func nodeOf(n rollout.Node, now time.Time, silence time.Duration) api.Node {
	state := api.NodeStateReady
	switch {
	case n.Removed:
		state = api.NodeStateRemoved
	case now.Sub(n.SeenAt) > silence:
		state = api.NodeStateUnreachable
	}
	return api.Node{Router: n.Router, Name: n.Name, Incarnation: n.Incarnation, Version: n.Version, SeenAt: n.SeenAt, State: state}
}
