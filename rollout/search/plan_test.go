package search

import (
	"fmt"
	"strconv"
	"strings"

	"viridian/rollout"
)

// lane is what a pass works on: a node, or the registry with everything that needs no node.
type lane uint8

const registryLane lane = 2

func (l lane) String() string {
	if l == registryLane {
		return "the registry"
	}
	return "node " + nodeName(uint8(l))
}

// plan is what a pass takes from the database and from its node at its begin, and goes by to its end, however late that
// is: the actions that are its own, as [rollout.Decide] lists them, and the route.
type plan struct {
	lane     lane
	run      uint8 // the node's, as the database knows it
	route    route
	own      uint8 // the revision that the node says it is at
	last     uint8 // the highest number given out
	known    set   // generations that are not retired
	steps    string
	settle   bool
	readings set // generations whose health is waited for
	seen     bool
	receipt  receipt // what the database knows of the node
	news     receipt // from where on what a node shows is lacking in the database; see [rollout.Environment.Lacks]
}

// step is one thing that a pass does. A pass can end after each.
type step struct {
	do         doing
	generation uint8
}

type doing uint8

const (
	doStage doing = iota
	doSwap
	doPersist
	doRemove
	doRegister
	doDeregister
)

func (s step) String() string {
	return fmt.Sprintf([...]string{"stage generation %d", "serve revision %d", "make revision %d durable", "remove generation %d",
		"announce generation %d", "withdraw generation %d"}[s.do], s.generation)
}

func (p *plan) len() uint8 { return uint8(len(p.steps)) }

func (p *plan) step(i uint8) step { return step{doing(p.steps[i] >> 4), p.steps[i] & 15} }

func (p *plan) String() string {
	var out []string
	for i := range p.len() {
		out = append(out, p.step(i).String())
	}
	if p.settle {
		out = append(out, "settle")
	}
	if len(out) == 0 {
		out = append(out, "only look")
	}
	return strings.Join(out, ", ")
}

type plans struct {
	ids   map[plan]int32
	all   []*plan
	made  map[planKey]int32
	swaps map[int32]int32
}

type planKey struct {
	db     int32
	tick   uint8
	lane   lane
	shown  receipt // by the node
	staged set
}

func newPlans() plans {
	return plans{ids: map[plan]int32{}, made: map[planKey]int32{}, swaps: map[int32]int32{}}
}

func (p *plans) intern(made plan) int32 {
	id, ok := p.ids[made]
	if !ok {
		id = int32(len(p.all))
		p.all = append(p.all, &made)
		p.ids[made] = id
	}
	return id
}

// swapped is the same plan for the other node.
func (p *plans) swapped(id int32) int32 {
	if id < 0 || p.all[id].lane == registryLane {
		return id
	}
	other, ok := p.swaps[id]
	if !ok {
		made := *p.all[id]
		made.lane = 1 - made.lane
		other = p.intern(made)
		p.swaps[id], p.swaps[other] = other, id
	}
	return other
}

// plan is what a pass of that lane would do now.
func (w *world) plan(s *state, l lane) int32 {
	key := planKey{db: s.db, tick: s.tick, lane: l}
	if l != registryLane {
		n := &s.nodes[l]
		key.shown, key.staged = n.shows(), n.table.staged
	}
	if made, ok := w.plans.made[key]; ok {
		return made
	}
	made := w.plans.intern(w.makePlan(key))
	w.plans.made[key] = made
	return made
}

func (d *databases) makePlan(key planKey) plan {
	db, l := d.all[key.db], key.lane
	e := db.env
	p := plan{lane: l, last: uint8(e.LastNumber), route: route{revision: uint8(e.Revision), live: uint8(e.Live),
		previous: uint8(e.Previous), spec: uint8(e.SpecVersion), shares: sharesOf(e.Weights), timeline: db.timeline}}
	for _, g := range e.Generations {
		p.known.add(uint8(g.Number))
	}
	if l != registryLane {
		e = db.witnessed(key)
		own, _ := e.Receipt(db.node(uint8(l)))
		p.own = uint8(own.Revision)
	}
	var steps []byte
	add := func(do doing, number uint8) { steps = append(steps, byte(do)<<4|number) }
	for _, a := range d.w.lack.reorder(e, l, at(key.tick), rollout.Decide(e, at(key.tick))) {
		own := l != registryLane && a.Node == nodeName(uint8(l))
		switch {
		case own && a.Kind == rollout.ActStage:
			add(doStage, uint8(a.Generation))
		case own && a.Kind == rollout.ActApply:
			add(doSwap, p.route.revision)
			add(doPersist, p.route.revision)
		case own && a.Kind == rollout.ActRemove:
			add(doRemove, uint8(a.Generation))
		case l != registryLane:
		case a.Kind == rollout.ActRegister:
			add(doRegister, uint8(a.Generation))
		case a.Kind == rollout.ActDeregister:
			add(doDeregister, uint8(a.Generation))
		case a.Kind == rollout.ActSettle:
			p.settle = true
		}
	}
	p.steps = string(steps)
	if l == registryLane {
		p.readings = unread(e)
		p.route, p.known, p.last = route{}, 0, 0 // it goes by nothing of these
		return p
	}
	db.seen(&p)
	return p
}

// witnessed is the environment with what the node says of itself.
func (db *database) witnessed(key planKey) rollout.Environment {
	n := db.node(uint8(key.lane))
	var staged []int
	for g := 1; g <= maxGenerations; g++ {
		if key.staged.has(uint8(g)) {
			staged = append(staged, g)
		}
	}
	seen := key.shown.of(n.Name, 0)
	seen.Incarnation = n.Incarnation
	return db.env.Witnessed(n, seen, staged)
}

// unread are the announced generations whose validation waits for a reading, and those that serve, while a repair
// waits for theirs.
func unread(e rollout.Environment) (out set) {
	for _, g := range e.Generations {
		since := g.Checked.Since
		waits := g.Announced && (g.State == rollout.Validating || g.State == rollout.Registered)
		if e.Mending != nil && e.Mending.Lost != nil && e.Weights.Carries(g.Number) {
			waits, since = true, &e.Mending.Lost.At
		}
		for _, r := range e.Readings {
			if r.Generation == g.Number && (since == nil || !r.At.Before(*since)) {
				waits = false
			}
		}
		if waits {
			out.add(uint8(g.Number))
		}
	}
	return out
}

// seen notes what the database knows of the node.
func (db *database) seen(p *plan) {
	n := db.node(uint8(p.lane))
	run, err := strconv.Atoi(n.Incarnation)
	if err != nil {
		panic(err)
	}
	p.run = uint8(run)
	for !db.env.Lacks(rollout.Receipt{Revision: int64(p.news.Route.revision)}) {
		p.news.Route.revision++
	}
	for !db.env.Lacks(rollout.Receipt{SpecVersion: int64(p.news.Route.spec)}) {
		p.news.Route.spec++
	}
	r, ok := db.env.Receipt(n)
	if !ok {
		return
	}
	p.seen = true
	p.receipt = receipt{Error: r.Error != "", Route: route{revision: uint8(r.Revision), spec: uint8(r.SpecVersion), shares: sharesOf(r.Weights)}}
	for live := range uint8(maxGenerations + 1) { // a receipt tells live by its hash alone
		if r.Hash == (rollout.Route{Live: int(live), Weights: r.Weights}).Hash() {
			p.receipt.Route.live = live
		}
	}
}
