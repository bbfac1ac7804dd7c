package search

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// finding is what a search came to.
type finding struct {
	states      int
	transitions int
	depth       int // of the last state that was reached
	complete    bool
	broken      *violation
	trace       []string // the shortest way to it, in words
}

func (f finding) String() string {
	whole := "all there are"
	if !f.complete {
		whole = "bounded"
	}
	return fmt.Sprintf("%d states (%s), %d transitions, depth %d", f.states, whole, f.transitions, f.depth)
}

// key names a state, and all that are the same but for the names of nodes and workers.
type key [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func hashOf(s *state) key {
	return key{maphash.Comparable(seeds[0], *s), maphash.Comparable(seeds[1], *s)}
}

// key is the least hash of the state's images.
func (w *world) key(s *state) key {
	least := hashOf(s)
	add := func(s *state) {
		if k := hashOf(s); slices.Compare(k[:], least[:]) < 0 {
			least = k
		}
	}
	nodes := w.swapNodes(*s)
	if !w.driven { // a replica is a node with its follower and its worker
		nodes = swapWorkers(nodes)
		add(&nodes)
		return least
	}
	add(&nodes)
	workers := swapWorkers(*s)
	add(&workers)
	both := swapWorkers(nodes)
	add(&both)
	return least
}

func (w *world) swapNodes(s state) state {
	s.db, s.backup = w.swapped(s.db), w.swapped(s.backup)
	s.nodes[0], s.nodes[1] = s.nodes[1], s.nodes[0]
	s.threads[0], s.threads[1] = s.threads[1], s.threads[0]
	for i := range s.threads {
		t := &s.threads[i]
		if t.phase == acting {
			t.plan = w.plans.swapped(t.plan)
		}
		if t.phase != idle && t.fact.lane != registryLane {
			t.fact.lane = 1 - t.fact.lane
		}
	}
	return s
}

func swapWorkers(s state) state {
	s.threads[firstWorker], s.threads[firstWorker+1] = s.threads[firstWorker+1], s.threads[firstWorker]
	s.holder = 1 - s.holder
	return s
}

// search is one walk through a world, breadth first.
type search struct {
	*world
	limit int
	seen  map[key]struct{}
	reach []origin // of every state, in the order in which they were reached
	ends  map[key]bool
	found finding
}

// origin is how a state was reached first: from which one, by which of its events.
type origin struct {
	from  int32
	event uint16
}

type reached struct {
	state
	index int32
}

// explore walks through the world until everything was seen, a limit is reached or an invariant is broken.
func (w *world) explore(limit int) finding {
	first, v := w.start()
	if v != nil {
		return finding{broken: v, trace: []string{"the setup"}}
	}
	x := &search{world: w, limit: limit, seen: map[key]struct{}{w.key(&first): {}}, reach: []origin{{from: -1}}, ends: map[key]bool{}}
	frontier := []reached{{first, 0}}
	for len(frontier) > 0 && x.found.broken == nil {
		if len(x.reach) >= limit {
			break
		}
		x.found.depth++
		frontier = x.level(frontier)
	}
	x.found.states, x.found.complete = len(x.reach), len(frontier) == 0
	if x.found.complete {
		x.found.depth--
	}
	return x.found
}

// level goes one event on from every state of the frontier.
func (x *search) level(frontier []reached) (next []reached) {
	for i := range frontier {
		if x.found.broken != nil || len(x.reach) >= x.limit {
			return append(next, frontier[i:]...)
		}
		s := &frontier[i]
		number := uint16(0)
		x.events(&s.state, func(e event) {
			mine := number
			number++
			if x.found.broken != nil {
				return
			}
			after, v := x.happen(s.state, e)
			if v == nil && after == s.state {
				return
			}
			x.found.transitions++
			if v == nil {
				v = x.checkNodes(&s.state, &after)
			}
			k := x.key(&after)
			if _, known := x.seen[k]; known && v == nil {
				return
			}
			x.seen[k] = struct{}{}
			x.reach = append(x.reach, origin{s.index, mine})
			index := int32(len(x.reach) - 1)
			var peace []string
			if v == nil {
				if v = x.checkEnd(after); v != nil {
					peace = append([]string{"and from then on, in peace:"}, x.peace...)
				}
			}
			if v != nil {
				x.found.broken, x.found.trace = v, append(x.trace(index), peace...)
				return
			}
			next = append(next, reached{after, index})
		})
	}
	return next
}

// trace tells how a state was reached.
func (x *search) trace(index int32) []string {
	var numbers []uint16
	for ; x.reach[index].from >= 0; index = x.reach[index].from {
		numbers = append(numbers, x.reach[index].event)
	}
	slices.Reverse(numbers)
	s, _ := x.start()
	var words []string
	for _, number := range numbers {
		var all []event
		x.events(&s, func(e event) { all = append(all, e) })
		after, _ := x.happen(s, all[number])
		words = append(words, fmt.Sprintf("%d. %s", len(words)+1, x.tell(&s, &after, all[number])))
		s = after
	}
	return words
}

// told is the way to what is broken, in words.
func (f finding) told() string {
	lines := []string{f.broken.String()}
	for i := 0; i < len(f.trace); {
		same := 1
		for i+same < len(f.trace) && f.trace[i+same] == f.trace[i] {
			same++
		}
		line := f.trace[i]
		if i += same; same > 1 {
			line = fmt.Sprintf("%s, %d times", line, same)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
