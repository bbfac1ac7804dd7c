package search

import (
	"time"

	"viridian/rollout"
)

// fact is what a pass saw and did, on its way into the database.
type fact struct {
	lane      lane
	run       uint8 // the run of the node that was spoken to
	staged    set
	unstaged  set
	announced set
	withdrawn set
	readings  set
	spec      uint8
	seen      bool // a receipt comes with it
	seenRun   uint8
	receipt   receipt
}

// receipt is what a node shows of itself.
type receipt struct {
	Route  route
	Error  bool  // what serves is not what is durable, or something failed
	Fence  uint8 // the revision that serves, where that is not durable
	Newest uint8 // the highest generation that is known there; not kept in the database
}

// route is what a node does, as far as decisions look at it.
type route struct {
	revision, live, previous, spec uint8
	shares                         shares
	timeline                       uint8 // of the database that it came from; no node knows this
	edited                         bool  // somebody changed it by hand; no node knows this
}

func (f fact) empty() bool {
	return f.staged|f.unstaged|f.announced|f.withdrawn|f.readings == 0 && !f.seen
}

type recordKey struct {
	db   int32
	tick uint8
	fact fact
}

// record takes a fact into the database, and settles there.
func (d *databases) record(id int32, ticks uint8, f fact) result {
	key := recordKey{id, ticks, f}
	if done, ok := d.records[key]; ok {
		return done
	}
	done := d.recorded(id, at(ticks), f)
	d.records[key] = done
	return done
}

func (d *databases) recorded(id int32, now time.Time, f fact) (done result) {
	defer caught(&done.broken)
	if d.w.lack.recovery && int64(max(f.receipt.Route.revision, f.receipt.Fence)) > d.all[id].env.Revision {
		f.seen = false
	}
	return d.take(id, now, d.all[id].env.Record(f.facts(), now))
}

func (f fact) facts() rollout.Facts {
	var out rollout.Facts
	name := nodeName(uint8(f.lane))
	staging := func(n int) rollout.Staging {
		return rollout.Staging{Generation: n, Router: "builtin", Node: name, Incarnation: incarnation(f.run), SpecVersion: int64(f.spec)}
	}
	for n := 1; n <= maxGenerations; n++ {
		number := uint8(n)
		if f.staged.has(number) {
			out.Staged = append(out.Staged, staging(n))
		}
		if f.unstaged.has(number) {
			out.Unstaged = append(out.Unstaged, staging(n))
		}
		if f.announced.has(number) {
			out.Announced = append(out.Announced, n)
		}
		if f.withdrawn.has(number) {
			out.Withdrawn = append(out.Withdrawn, n)
		}
		if f.readings.has(number) {
			out.Readings = append(out.Readings, rollout.Reading{Generation: n, Service: "web", Healthy: 1, Total: 1})
		}
	}
	if f.seen {
		out.Receipts = []rollout.Receipt{f.receipt.of(name, f.seenRun)}
	}
	return out
}

func (r receipt) of(name string, run uint8) rollout.Receipt {
	weights := r.Route.shares.weights()
	out := rollout.Receipt{Router: "builtin", Node: name, Incarnation: incarnation(run), Revision: int64(r.Route.revision),
		SpecVersion: int64(r.Route.spec), Weights: weights, Grade: rollout.GradeFenced,
		Hash: rollout.Route{Live: int(r.Route.live), Weights: weights}.Hash(), Fence: int64(r.Fence), Newest: int(r.Newest)}
	if r.Error {
		out.Error = "what serves is not durable"
	}
	return out
}
