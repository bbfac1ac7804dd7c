package search

import (
	"slices"
	"strconv"
	"time"

	"viridian/rollout"
)

// database is what one database says. It is a value that is interned, and never changed.
type database struct {
	env     rollout.Environment
	gone    []rollout.Generation // retired, by number
	history []entry              // one for each switch
	// timeline counts how often an older copy was put in its place: then numbers are given out twice.
	timeline uint8
}

// entry is what the history keeps of a switch.
type entry struct {
	Revision, Live uint8
	Shares         shares
	Kind           rollout.SwitchKind
	Automatic      bool // by Viridian itself
}

// databases holds every database that was met, and what became of it by what was done to it: the decisions are slow,
// compared with a step of the search, and few databases are in many states.
type databases struct {
	w        *world
	ids      map[string]int32
	all      []*database
	scratch  []byte
	commands map[commandKey]result
	records  map[recordKey]result
	beats    map[beatKey]int32
	swaps    map[int32]int32
	plans    plans
}

// result is what something came to: the database after it, and an invariant that was broken on the way.
type result struct {
	db      int32
	changed bool
	broken  *violation
}

func newDatabases(w *world) *databases {
	return &databases{w: w, ids: map[string]int32{}, commands: map[commandKey]result{}, records: map[recordKey]result{},
		beats: map[beatKey]int32{}, swaps: map[int32]int32{}, plans: newPlans()}
}

// intern gives the database its number. What no decision looks at is made alike first.
func (d *databases) intern(db database) int32 {
	plain(&db)
	d.scratch = db.encode(d.scratch[:0])
	id, ok := d.ids[string(d.scratch)]
	if !ok {
		id = int32(len(d.all))
		d.all = append(d.all, &db)
		d.ids[string(d.scratch)] = id
	}
	return id
}

// empty is the database with an environment of one service and both nodes, and nothing registered.
func (d *databases) empty() int32 {
	spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web"}]}`))
	if err != nil {
		panic(err)
	}
	spec.Validation.Timeout, spec.Validation.ValidFor = rollout.Duration(ages), rollout.Duration(2*ages)
	spec.Retention.KeepFor, spec.Retention.KeepGenerations = rollout.Duration(ages), maxGenerations
	spec.Retention.Drain = rollout.Duration(drainTicks * tick)
	t, err := rollout.Environment{Timing: timing}.Create(rollout.PutCommand{Actor: person, Name: "shop", Spec: spec}, epoch)
	if err != nil {
		panic(err)
	}
	for i := range uint8(2) {
		t.After.Nodes = append(t.After.Nodes, rollout.Node{Router: "builtin", Name: nodeName(i), Incarnation: incarnation(0), SeenAt: epoch})
	}
	return d.intern(database{env: t.After})
}

func nodeName(i uint8) string      { return string(rune('a' + i)) }
func incarnation(run uint8) string { return strconv.Itoa(int(run)) }

// node returns the row of a node.
func (db *database) node(i uint8) rollout.Node {
	for _, n := range db.env.Nodes {
		if n.Name == nodeName(i) {
			return n
		}
	}
	return rollout.Node{}
}

// knows says whether the present run of the node has announced itself.
func (db *database) knows(i, run uint8) bool { return db.node(i).Incarnation == incarnation(run) }

// content is what the switch of that revision gave weight.
func (db *database) content(revision uint8) (entry, bool) {
	for _, e := range db.history {
		if e.Revision == revision {
			return e, true
		}
	}
	return entry{}, revision == 0
}

type beatKey struct {
	db      int32
	tick    uint8
	heard   [2]bool
	runs    [2]uint8
	restore int32 // the database before, where an older copy takes its place; -1 for none
}

// heard is the database after heartbeats.
func (d *databases) heard(id int32, tick uint8, heard [2]bool, runs [2]uint8) int32 {
	return d.beat(beatKey{id, tick, heard, runs, -1})
}

// restored is the copy in the place of the database, with the heartbeats that come at once.
func (d *databases) restored(copied, before int32, tick uint8, heard [2]bool, runs [2]uint8) int32 {
	return d.beat(beatKey{copied, tick, heard, runs, before})
}

func (d *databases) beat(key beatKey) int32 {
	if id, ok := d.beats[key]; ok {
		return id
	}
	db := *d.all[key.db]
	db.env.Nodes = slices.Clone(db.env.Nodes)
	for i := range db.env.Nodes {
		if key.heard[i] {
			db.env.Nodes[i].SeenAt, db.env.Nodes[i].Incarnation = at(key.tick), incarnation(key.runs[i])
		}
	}
	if key.restore >= 0 {
		db.timeline = d.all[key.restore].timeline + 1
	}
	id := d.intern(db)
	d.beats[key] = id
	return id
}

// swapped is the database with the names of the two nodes exchanged.
func (d *databases) swapped(id int32) int32 {
	if id < 0 {
		return id
	}
	if other, ok := d.swaps[id]; ok {
		return other
	}
	db := *d.all[id]
	other := map[string]string{nodeName(0): nodeName(1), nodeName(1): nodeName(0)}
	db.env.Nodes, db.env.Receipts, db.env.Stagings = slices.Clone(db.env.Nodes), slices.Clone(db.env.Receipts), slices.Clone(db.env.Stagings)
	for i := range db.env.Nodes {
		db.env.Nodes[i].Name = other[db.env.Nodes[i].Name]
	}
	for i := range db.env.Receipts {
		db.env.Receipts[i].Node = other[db.env.Receipts[i].Node]
	}
	for i := range db.env.Stagings {
		db.env.Stagings[i].Node = other[db.env.Stagings[i].Node]
	}
	swapped := d.intern(db)
	d.swaps[id], d.swaps[swapped] = swapped, id
	return swapped
}

// take makes the transition a database, after a look at what it may not do.
func (d *databases) take(id int32, now time.Time, t rollout.Transition) result {
	before := d.all[id]
	after := database{env: t.After, gone: before.gone, history: before.history, timeline: before.timeline}
	if after.env.Nodes == nil {
		after.env.Nodes = before.env.Nodes
	}
	after.env.Generations = nil
	for _, g := range t.After.Generations {
		switch {
		case g.State != rollout.Retired:
			after.env.Generations = append(after.env.Generations, g)
		case !slices.ContainsFunc(after.gone, func(o rollout.Generation) bool { return o.Number == g.Number }):
			after.gone = append(slices.Clone(after.gone), g)
		}
	}
	if s := t.NewSwitch; s != nil {
		after.history = append(slices.Clone(after.history), entry{Revision: uint8(s.Revision), Live: uint8(after.env.Live),
			Shares: sharesOf(s.Weights), Kind: s.Kind, Automatic: s.Actor == rollout.System.String()})
	}
	v := checkTransition(before, &after, t)
	next := d.intern(after)
	if v == nil {
		v = d.checkDatabase(next, now)
	}
	return result{db: next, changed: next != id, broken: v}
}

// naming is the environment as a store loads it for a command that names the generation.
func (db *database) naming(numbers ...uint8) rollout.Environment {
	e := db.env
	for _, g := range db.gone {
		if slices.Contains(numbers, uint8(g.Number)) {
			e.Generations = append(slices.Clone(e.Generations), g)
		}
	}
	slices.SortFunc(e.Generations, func(a, b rollout.Generation) int { return a.Number - b.Number })
	return e
}
