package search

import (
	"strconv"
	"strings"
	"time"

	"viridian/rollout"
)

// world is one small installation: how it begins, and how much may happen in it. Without the faults and stalls that a
// budget limits, the orders of what happens are not limited at all.
type world struct {
	name  string
	setup []command // each brought to its end before the search begins
	// missed is how many commands at the end of the setup node b could not be reached for; it counts as silent then.
	missed int
	// asks are the kinds of command that clients may send.
	asks   []ask
	budget budget
	// driven nodes belong to nobody: the holder of the lease works on both. Else each replica follows routes with its
	// own node, without a lease.
	driven bool
	lack   lack

	peace []string // what came, in words, when an end was last looked for

	*databases
}

// budget is how often each thing may still happen.
type budget struct {
	commands  uint8 // that change something
	ticks     uint8
	restarts  uint8 // of nodes
	takeovers uint8 // of the lease, while the one who had it goes on
	cuts      uint8 // a node that cannot be reached
	edits     uint8 // of a node's weights, by hand
	restores  uint8 // of the database, from a copy
}

// Time goes by in ticks. A node is silent in the second tick without a heartbeat; what is open on a generation that
// lost its weight is over in the next tick; and a grace is one tick.
const (
	tick       = 10 * time.Second
	drainTicks = 1
	graceTicks = 1
	ages       = 10000 * time.Hour // what does not happen by itself in a small world
)

var epoch = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

var timing = rollout.Timing{Silence: tick + tick/2, Freshness: 2 * ages, Grace: graceTicks * tick}

func at(ticks uint8) time.Time { return epoch.Add(time.Duration(ticks) * tick) }

// state is all that is true at one moment. It is small and comparable; what is big is interned, and a number here.
type state struct {
	db       int32 // the database
	backup   int32 // a copy of it; -1 for none
	tick     uint8
	holder   uint8 // the worker that has the lease
	term     uint8 // of the lease
	registry set   // the generations that the registry knows
	nodes    [2]node
	threads  [4]thread // followers of nodes a and b, then the two workers
	left     budget
}

// set is a set of generations.
type set uint8

func (s set) has(generation uint8) bool { return s&(1<<generation) != 0 }
func (s *set) add(generation uint8)     { *s |= 1 << generation }
func (s *set) drop(generation uint8)    { *s &^= 1 << generation }

// shares are weights by generation.
type shares [maxGenerations + 1]uint8

// maxGenerations bounds how many are ever registered.
const maxGenerations = 3

func (s shares) sum() (total int) {
	for _, share := range s {
		total += int(share)
	}
	return total
}

func (s shares) carried() (out set) {
	for n, share := range s {
		if share > 0 {
			out.add(uint8(n))
		}
	}
	return out
}

func (s shares) weights() rollout.Weights {
	out := rollout.Weights{}
	for n, share := range s {
		if share > 0 {
			out[n] = int(share)
		}
	}
	return out
}

func sharesOf(w rollout.Weights) (out shares) {
	for n, share := range w {
		out[n] = uint8(share)
	}
	return out
}

// start is the state in which the search begins: the setup carried out in peace.
func (w *world) start() (state, *violation) {
	if w.databases == nil {
		w.databases = newDatabases(w)
	}
	s := state{db: w.empty(), backup: -1, term: 1}
	for i, cmd := range w.setup {
		if w.missed > 0 && i == len(w.setup)-w.missed {
			s.nodes[1].away = true
			s.advance(w)
			s.advance(w)
		}
		done := w.command(s.db, s.tick, cmd)
		if done.broken != nil || !done.changed {
			return s, broken("setup", "%v was not carried out: %v", cmd, done.broken)
		}
		s.db = done.db
		if v := w.settle(&s); v != nil {
			return s, v
		}
	}
	s.left = w.budget
	return s, nil
}

func (s set) String() string {
	var out []string
	for n := range uint8(maxGenerations + 1) {
		if s.has(n) {
			out = append(out, strconv.Itoa(int(n)))
		}
	}
	return "{" + strings.Join(out, ", ") + "}"
}
