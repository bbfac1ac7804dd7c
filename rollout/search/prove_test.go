package search

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// full says whether the proofs run with their full counts.
var full = os.Getenv("VIRIDIAN_PROVE") == "full"

func count(few, all int) int {
	if full {
		return all
	}
	return few
}

// What the worlds begin with.
var (
	oneLive  = []command{{askRegister, 0}, {askPromote, 1}}
	twoReady = append(oneLive[:2:2], command{askRegister, 0})
	// threeReady has a live generation and two that are ready.
	threeReady = append(twoReady[:3:3], command{askRegister, 0})
	// twoLive has promoted both, so that the first is what a rollback goes to.
	twoLive = append(twoReady[:3:3], command{askPromote, 2})
)

// worlds are what is gone through, each with nothing planted.
func worlds() []*world {
	return []*world{
		{name: "there and back, nodes driven under a lease", driven: true, setup: twoReady, asks: []ask{askPromote, askRollback},
			budget: budget{commands: 2, restarts: 1, takeovers: 1}},
		{name: "there and back, nodes followed by their replicas", setup: twoReady, asks: []ask{askPromote, askRollback},
			budget: budget{commands: 3, restarts: 2, cuts: 1}},
		{name: "three generations and weights by hand", driven: true, setup: threeReady,
			asks: []ask{askPromote, askSupersede, askRollback, askWeights}, budget: budget{commands: 2, takeovers: 1}},
		{name: "every rollback and supersede", setup: threeReady,
			asks: []ask{askPromote, askSupersede, askRollback, askRollbackTo, askWeights}, budget: budget{commands: 4}},
		{name: "retirement against rollback, driven", driven: true, setup: twoLive, asks: []ask{askRetire, askRollback},
			budget: budget{commands: 2, restarts: 1, takeovers: 1, ticks: 3}},
		{name: "retirement while a node is away", setup: twoLive, asks: []ask{askRetire, askRollback, askPromote},
			budget: budget{commands: 2, cuts: 1, restarts: 1, ticks: 3}},
		{name: "from registration to retirement, driven", driven: true, setup: oneLive, asks: []ask{askRegister, askPromote, askRetire},
			budget: budget{commands: 3, takeovers: 1, ticks: 2}},
		{name: "promotion by itself, and the hold after a rollback", setup: twoReady,
			asks: []ask{askAutomatic, askPromote, askRollback, askValidate}, budget: budget{commands: 3, restarts: 1}},
		{name: "validated again after a rollback", driven: true, setup: twoLive, asks: []ask{askRollback, askValidate, askPromote},
			budget: budget{commands: 3, takeovers: 1}},
		{name: "a database restored from a copy", setup: twoReady, asks: []ask{askPromote, askRollback},
			budget: budget{commands: 3, restores: 1, restarts: 1}},
		{name: "restored while a node is away", setup: twoReady, asks: []ask{askPromote, askRollback},
			budget: budget{commands: 3, restores: 1, cuts: 1, ticks: 2}},
		{name: "restored, with weights by hand and a node changed", setup: threeReady, asks: []ask{askPromote, askRollback, askWeights},
			budget: budget{commands: 2, restores: 1, edits: 1}},
		{name: "a node changed by hand", setup: twoReady, asks: []ask{askPromote, askRollback},
			budget: budget{commands: 2, edits: 2, restarts: 1, ticks: 1}},
	}
}

// TestProveSearch goes through every order of what can happen in each of the worlds, up to a bound, and finds no state
// in which an invariant is broken.
func TestProveSearch(t *testing.T) {
	began := time.Now()
	states, transitions, whole := 0, 0, 0
	met := map[string]bool{}
	for _, w := range worlds() {
		f := w.explore(count(10_000, 2_500_000))
		t.Logf("%s: %v", w.name, f)
		if f.broken != nil {
			t.Errorf("%s: %s", w.name, f.told())
		}
		states += f.states
		transitions += f.transitions
		if f.complete {
			whole++
		}
		w.met(met)
	}
	for _, what := range mustMeet {
		if !met[what] {
			t.Errorf("no world came to a %s", what)
		}
	}
	if least := count(100_000, 1_000_000); states < least {
		t.Errorf("%d states, want at least %d", states, least)
	}
	fmt.Printf("%s: %d states and %d transitions of %d small worlds, %d of them to the end: no invariant broken; %v\n",
		t.Name(), states, transitions, len(worlds()), whole, time.Since(began).Round(100*time.Millisecond))
}

// mustMeet is what the worlds together come to. Without it, that nothing is broken would say little.
var mustMeet = []string{
	"switch promote", "switch rollback", "switch abort", "switch manual", "switch heal", "switch recover",
	"generation registered", "generation validating", "generation ready", "generation shifting", "generation live", "generation standby",
	"generation rejected", "generation retiring", "generation retired",
	"promotion paused", "promotion baking",
	"degraded switch", "hold of automation",
}

// met notes what the databases of the world tell of.
func (w *world) met(into map[string]bool) {
	for _, db := range w.all {
		for _, e := range db.history {
			into["switch "+string(e.Kind)] = true
		}
		for _, g := range db.env.Generations {
			into["generation "+string(g.State)] = true
		}
		if p := db.env.Promotion; p != nil {
			into["promotion "+string(p.State)] = true
		}
		into["generation retired"] = into["generation retired"] || len(db.gone) > 0
		into["degraded switch"] = into["degraded switch"] || (db.env.Switch != nil && db.env.Switch.Degraded)
		into["hold of automation"] = into["hold of automation"] || db.env.Hold != nil
	}
}
