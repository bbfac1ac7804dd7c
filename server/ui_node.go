package server

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/web"
)

func (s *server) removeNodeDeed() deed {
	return deed{path: "/routers/{router}/nodes/{node}/remove", action: "node.remove", nav: "fleet", ask: s.askRemoveNode, do: s.doRemoveNode}
}

func (s *server) askRemoveNode(r *http.Request, _ url.Values) (web.Ask, error) {
	router, name := pathValue(r, "router"), pathValue(r, "node")
	nodes, now, err := s.Store.Nodes(r.Context())
	if err != nil {
		return web.Ask{}, err
	}
	a := newAsk(r, "Take node "+name+" out", "/fleet")
	a.Look, a.Submit = web.Danger, "Take it out"
	a.Lead = "For a node that is gone for good: it is waited for no more, and holds up the removal of no generation. If it comes back, it reports by itself and is a node again."
	for _, n := range nodes {
		if n.Router != router || n.Name != name {
			continue
		}
		silent := now.Sub(n.SeenAt)
		a.Facts = []web.Fact{{Name: "Router", Value: n.Router}, {Name: "Node", Value: n.Name}, {Name: "Incarnation", Value: n.Incarnation},
			{Name: "Last heard of", Value: fmt.Sprintf("%s (%s ago)", exact(n.SeenAt), silent.Round(time.Second))}}
		switch {
		case n.Removed:
			a.Refused = "it is taken out already"
		case silent <= s.Store.Timing().Silence:
			a.Refused = fmt.Sprintf("it was heard of %s ago: stop it first", silent.Round(time.Millisecond))
		default:
			a.Warn = "It may still be serving, by the last route that it was given. Nobody looks after it any more once it is taken out."
		}
		return a, nil
	}
	return a, rollout.Refuse(rollout.NotFound, fmt.Sprintf("router %s has no node %s", router, name), "look at the fleet")
}

func (s *server) doRemoveNode(r *http.Request, key *controller.IdempotencyKey) (done, error) {
	_, err := s.Store.RemoveNode(r.Context(), pathValue(r, "router"), pathValue(r, "node"), actor(r.Context()), key)
	return done{title: "Node " + pathValue(r, "node") + " is taken out", text: "It is waited for no more.", back: "/fleet", said: "removed"}, err
}
