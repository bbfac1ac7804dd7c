package routertest

import (
	"strings"

	"viridian/rollout"
	"viridian/router"
)

// hostile are names that would do harm where names become commands, paths or keys.
var hostile = []string{
	"", ".", "..", "../shop", "../../etc/passwd", "a/../shop", "shop/../shop", "/shop", "shop/", "shop.json", "a\\b",
	"shop;flip", "shop; set map F shop green", "shop\nset map F shop green", "shop\r\n", "shop\x00", " shop", "shop ",
	`"shop"`, "'shop'", "`id`", "$(id)", "%2e%2e%2fshop", "shop#1", "<<", "@1", "-shop", "shop-", "SHOP", "schöp", "店", "\u202eshop",
	"shоp", // a Cyrillic o
	strings.Repeat("a", 64), strings.Repeat("a", 4096), "shop|2", "shop,x", "shop:80", "shop?x", "shop*", "*", "{}", "<b>",
}

// hostileNames gives every name everywhere. A driver may refuse it; what it takes must do no harm to the others.
func hostileNames(r *rig) {
	r.stage(0, 1)
	r.apply(1, all(1))
	fence := router.Fence{Revision: 1}
	for _, name := range hostile {
		g := r.generation(1)
		g.Groups[0].Instances[0].ID = name
		r.Logf("%.60q as an environment: %v", name, r.hostileEnvironment(name))

		other := r.route(1, all(1))
		other.Environment = "other"
		other.Services = []rollout.RouteService{service(name, "other.localhost")}
		g.Environment, g.Groups[0].Service = "other", name
		if err := r.Router.Stage(r.ctx, fence, other, g); err == nil {
			// Applied or not, and removed or not: what counts is what the others see of it.
			_ = r.Router.Apply(r.ctx, fence, other)
			_, _ = r.Router.Observe(r.ctx, "other")
			other.Revision, other.Weights, other.Live = 2, nil, 0
			_ = r.Router.Apply(r.ctx, router.Fence{Revision: 2}, other)
			_ = r.Router.Remove(r.ctx, router.Fence{Revision: 2}, "other", 1)
			if err := r.Router.Forget(r.ctx, router.Fence{Revision: 2}, "other"); err != nil {
				r.Errorf("a service of the name %.60q cannot be taken out again: %v", name, err)
			}
		}
		r.serves(host, 1)
		r.holds(1, all(1))
	}
	if r.Restart != nil {
		r.Router = r.Restart()
		r.serves(host, 1)
		r.holds(1, all(1))
	}
}

// hostileEnvironment drives an environment of that name through its life, as far as it gets.
func (r *rig) hostileEnvironment(name string) error {
	route, g := r.route(1, all(1)), r.generation(1)
	route.Environment, g.Environment = name, name
	route.Services = []rollout.RouteService{service("web", "hostile.localhost")}
	fence := router.Fence{Revision: 1}
	err := r.Router.Stage(r.ctx, fence, route, g)
	if err == nil {
		err = r.Router.Apply(r.ctx, fence, route)
	}
	_, _ = r.Router.Observe(r.ctx, name)
	_ = r.Router.Remove(r.ctx, fence, name, 1)
	_ = r.Router.Forget(r.ctx, fence, name)
	return err
}
