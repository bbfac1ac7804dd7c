package search

import "testing"

// planted are faults, each with the world in which it is found and the invariant that tells of it.
var planted = []struct {
	name  string
	lack  lack
	world world
	tells string
}{
	{"no fence", lack{fence: true}, world{driven: true, setup: twoReady, asks: []ask{askPromote, askRollback},
		budget: budget{commands: 2, takeovers: 1}}, neverBack},
	{"a fence that a restart forgets", lack{durability: true}, world{driven: true, setup: twoReady, asks: []ask{askPromote, askRollback},
		budget: budget{commands: 2, takeovers: 1, restarts: 1}}, neverBack},
	{"a clean-up that waits for nothing", lack{cleanup: cleanAtOnce}, world{setup: twoReady, asks: []ask{askPromote, askRetire},
		budget: budget{commands: 2, ticks: 2}}, flipCutsNothing},
	{"a clean-up that does not wait for the nodes", lack{cleanup: cleanWithoutConfirmation}, world{setup: twoReady,
		asks: []ask{askPromote, askRetire}, budget: budget{commands: 2, ticks: 2}}, flipCutsNothing},
	{"break before make: remove before the weight has moved", lack{driver: true, order: removeBeforeApply},
		world{setup: twoReady, asks: []ask{askPromote}, budget: budget{commands: 1}}, flipCutsNothing},
	{"break before make: apply before what it needs is staged", lack{driver: true, order: applyBeforeStage},
		world{setup: twoLive, missed: 2, asks: []ask{askRollback}, budget: budget{commands: 1}}, flipCutsNothing},
	{"a revision that is used again", lack{recovery: true}, world{setup: twoReady, asks: []ask{askPromote},
		budget: budget{commands: 2, restores: 1}}, endsFinal},
	{"a route that serves, is not durable, and is never told", lack{candour: true}, world{setup: threeReady, asks: []ask{askPromote},
		budget: budget{commands: 2, restores: 1}}, endsFinal},
}

// TestProveSearch_FindsWhatIsPlanted plants each fault and wants it found, and the same world without it clean.
func TestProveSearch_FindsWhatIsPlanted(t *testing.T) {
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			w := p.world
			w.lack = p.lack
			found := w.explore(100_000)
			if found.broken == nil || found.broken.invariant != p.tells {
				t.Errorf("%v: found %v, want %q", found, found.broken, p.tells)
			}
			if found.broken != nil {
				t.Logf("%v: %s", found, found.told())
			}
			control := p.world
			control.lack.driver = p.lack.driver
			if clean := control.explore(count(10_000, 500_000)); clean.broken != nil {
				t.Errorf("without the fault: %s", clean.told())
			} else {
				t.Logf("without the fault: %v", clean)
			}
		})
	}
}
