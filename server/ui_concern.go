package server

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"viridian/rollout"
	"viridian/web"
)

// closing is how long before its end the time of the rollback target is spoken of.
const closing = 10 * time.Minute

// concernsOf lists what asks for a look in the environment, the gravest first.
func concernsOf(e rollout.Environment, now time.Time) []web.Concern {
	c := concerns{e: e, now: now}
	c.live()
	c.registry()
	c.nodes()
	c.rollback()
	c.newest()
	if e.Hold != nil && e.DeletingAt == nil {
		c.add(web.Warn, "automation is held since a rollback: %s", e.Hold.Reason)
		c.list[len(c.list)-1].Noted = true
	}
	if e.DeletingAt != nil {
		c.add(web.Neutral, "it is being deleted")
	}
	if e.Lock != nil {
		c.add(web.Neutral, "locked by %s: %s", e.Lock.By, e.Lock.Reason)
		c.list[len(c.list)-1].Noted = true
	}
	slices.SortStableFunc(c.list, func(a, b web.Concern) int { return cmp.Compare(gravity(b.Tone), gravity(a.Tone)) })
	return c.list
}

func gravity(t web.Tone) int { return map[web.Tone]int{web.Bad: 3, web.Warn: 2, web.Busy: 1}[t] }

type concerns struct {
	e    rollout.Environment
	now  time.Time
	list []web.Concern
}

func (c *concerns) add(tone web.Tone, format string, values ...any) {
	c.list = append(c.list, web.Concern{Tone: tone, Text: fmt.Sprintf(format, values...)})
}

// live looks at the instances of every generation that carries traffic.
func (c *concerns) live() {
	for _, n := range c.e.Weights.Numbers() {
		g, _ := c.e.Generation(n)
		for _, svc := range c.e.Spec.Services {
			size := g.Sizes[svc.Name]
			r, fresh := c.e.Reading(n, svc.Name, c.now)
			switch {
			case size == 0:
				c.add(web.Bad, "%s: generation %d carries traffic and has no instance", svc.Name, n)
			case !fresh:
				c.add(web.Warn, "%s: how the %d instances of generation %d are is not known just now", svc.Name, size, n)
			case r.Healthy == 0 && size == 1:
				c.add(web.Bad, "%s: the only instance of generation %d is not healthy", svc.Name, n)
			case r.Healthy == 0:
				c.add(web.Bad, "%s: none of %d instances of generation %d is healthy", svc.Name, size, n)
			case r.Healthy < size:
				c.add(web.Warn, "%s: %d of %d instances of generation %d are healthy", svc.Name, r.Healthy, size, n)
			}
		}
	}
}

// registry looks at what the registry cannot do, and at what others did in it.
func (c *concerns) registry() {
	if c.e.Trouble != nil {
		c.add(web.Warn, "the registry %s: %s", c.e.Spec.Registry, c.e.Trouble.Detail)
	}
	for _, r := range c.e.Readings {
		if g, known := c.e.Generation(r.Generation); known && g.State.Holds() && r.Drift != "" {
			c.add(web.Warn, "%s: the instances of generation %d drifted: %s", r.Service, r.Generation, r.Drift)
		}
	}
}

// nodes looks at what every node does.
func (c *concerns) nodes() {
	if len(c.e.Nodes) == 0 {
		c.add(web.Warn, "no node of its routers has been heard of")
	}
	for _, n := range c.e.Nodes {
		r, _ := c.e.Receipt(n)
		name := c.nodeName(n)
		switch c.e.ReceiptState(n, c.now) {
		case rollout.Drifted:
			c.add(web.Bad, "node %s does something else than was decided", name)
		case rollout.Ahead:
			c.add(web.Bad, "node %s is at revision %d, ahead of %d: was the database restored?", name, r.Revision, c.e.Revision)
		case rollout.Unreachable:
			c.add(web.Warn, "node %s is silent; it may still serve what it had%s", name, because(r.Error))
			continue
		case rollout.Behind:
			if c.e.Switch != nil && c.now.Sub(c.e.Switch.CommittedAt) > c.e.Timing.Silence {
				c.add(web.Warn, "node %s has not taken over revision %d", name, c.e.Revision)
			}
		}
		if r.Error != "" {
			c.add(web.Warn, "node %s: %s", name, r.Error)
		}
	}
	if s := c.e.Switch; s != nil && s.Status == rollout.Applied && s.Degraded {
		c.add(web.Warn, "the last switch was applied without a node that could not be reached")
	}
}

// nodeName is the node's name, with its router where another one has a node of that name.
func (c *concerns) nodeName(n rollout.Node) string {
	if slices.ContainsFunc(c.e.Nodes, func(other rollout.Node) bool { return other.Name == n.Name && other.Router != n.Router }) {
		return n.Name + " of router " + n.Router
	}
	return n.Name
}

func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// rollback looks at what a rollback would find.
func (c *concerns) rollback() {
	ready := c.e.Readiness(c.now)
	if ready.Generation == 0 {
		return
	}
	for _, reason := range ready.Reasons {
		c.add(web.Warn, "rollback: %s", reason)
	}
	if until := ready.KeepUntil; until != nil && until.Sub(c.now) < closing && c.e.Promotion == nil {
		c.add(web.Neutral, "generation %d, the rollback target, is kept for less than %d minutes more", ready.Generation, int(closing/time.Minute))
	}
}

// newest looks at the generation that came last: what a build waits for.
func (c *concerns) newest() {
	if len(c.e.Generations) == 0 {
		return
	}
	g := c.e.Generations[len(c.e.Generations)-1]
	switch {
	case g.State == rollout.Failed:
		c.add(web.Warn, "generation %d failed: %s", g.Number, g.Reason)
	case g.Waiting == rollout.Adopting && c.e.Trouble != nil: // which is told already
		c.add(web.Neutral, "generation %d waits for its instances", g.Number)
	case g.Waiting == rollout.Adopting:
		c.add(web.Neutral, "generation %d waits for its instances: %s", g.Number, g.Reason)
	case g.State == rollout.Ready && g.Waiting != "":
		c.add(web.Warn, "generation %d asked to be promoted, and waits: %s", g.Number, g.Waiting)
	}
}

// standingOf is how the environment is, in a word.
func standingOf(e rollout.Environment, list []web.Concern) web.Standing {
	worst := web.Neutral
	if len(list) > 0 {
		worst = list[0].Tone
	}
	switch {
	case e.DeletingAt != nil:
		return web.Standing{Tone: web.Busy, Word: "being deleted"}
	case worst == web.Bad:
		return web.Standing{Tone: web.Bad, Word: "broken"}
	case e.Switch != nil && e.Switch.Status == rollout.Committed:
		return web.Standing{Tone: web.Busy, Word: "switching"}
	case e.Promotion != nil:
		return web.Standing{Tone: web.Busy, Word: "promoting"}
	case worst == web.Warn && e.Hold != nil && len(list) == 1:
		return web.Standing{Tone: web.Warn, Word: "held"}
	case worst == web.Warn:
		return web.Standing{Tone: web.Warn, Word: "needs attention"}
	case e.Live == 0:
		return web.Standing{Tone: web.Neutral, Word: "nothing live"}
	case e.Lock != nil:
		return web.Standing{Tone: web.Good, Word: "steady, locked"}
	}
	return web.Standing{Tone: web.Good, Word: "steady"}
}
