package builtin

import (
	"viridian/rollout"
	"viridian/router"
)

// change gives the generation other members, in place: what is open, counted or draining goes on as it is, and so does all
// that is known of those that stay. environment.mu is held.
func (r *Router) change(env *environment, g *generation, groups []rollout.Group, members router.Members) {
	before := g.pools
	g.pools = map[string]*pool{}
	for _, group := range groups {
		p := before[group.Service]
		if p == nil {
			p = r.newPool(g, group)
		} else {
			p.change(group.Instances, r.probing.Load() && env.asks(group.Service))
			delete(before, group.Service)
		}
		g.pools[group.Service] = p
	}
	for _, gone := range before {
		gone.closeIdle()
	}
	g.groups, g.members = groups, members
}

// closeIdle closes the connections that no request is on. environment.mu is held.
func (g *generation) closeIdle() {
	for _, p := range g.pools {
		p.closeIdle()
	}
}

// change gives the pool other instances. One that stays at its address is the same as before. One that joins is asked
// for its health first, where that is done.
func (p *pool) change(instances []rollout.Instance, asked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := map[string]*instance{}
	for _, in := range p.instances {
		before[in.target] = in
	}
	var next []*instance
	for _, in := range instances {
		member := before[instanceTarget(in)]
		if member == nil {
			member = newInstance(in)
			member.fresh = asked
		}
		delete(before, member.target)
		member.ID = in.ID
		next = append(next, member)
	}
	p.instances = next
	p.refresh()
	for _, gone := range before {
		gone.left.Store(true)
		gone.transport.CloseIdleConnections()
	}
}

// members lists the instances of this moment.
func (p *pool) members() []*instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.instances
}

// closeIdle closes the connections that no request is on.
func (p *pool) closeIdle() {
	for _, in := range p.members() {
		in.transport.CloseIdleConnections()
	}
}
