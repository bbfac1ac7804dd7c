package rollout

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func (m *machine) actions() map[string]func() {
	return map[string]func(){
		"promote": m.Promote, "promote more": m.Promote, "rollback": m.Rollback, "weights": m.Weights, "weights more": m.Weights,
		"validate": m.Validate, "retire": m.Retire, "retain": m.Retain, "register": m.Register, "register more": m.Register,
		"lock": m.Lock, "release": m.Release, "replace": m.Replace, "delete": m.Delete,
		"follow": m.Follow, "follow more": m.Follow, "late": m.RecordLate, "work": m.Work, "probe": m.Probe,
		"deploy": m.Deploy, "deploy more": m.Deploy, "split": m.Split, "neglect": m.Neglect, "pass": m.Pass, "pass more": m.Pass, "node": m.Node, "converge": m.Converge,
		"edit": m.Edit, "backup": m.Backup, "restore": m.Restore,
	}
}

// TestProve_RandomWalks takes long random walks, and wants every rule kept and every move of the tables seen. It takes
// at least two rounds, and more until everything was seen.
func TestProve_RandomWalks(t *testing.T) {
	t.Parallel()
	least, most := 2, 30
	if os.Getenv("VIRIDIAN_PROVE") == "full" {
		least, most = 100, 100
	}
	var mu sync.Mutex
	seen := map[string]int{}
	for round := 0; round < least || (uncovered(seen) != nil && round < most); round += 2 {
		t.Run(fmt.Sprintf("rounds from %d", round), func(t *testing.T) {
			for i := range 2 {
				t.Run(fmt.Sprint(i), func(t *testing.T) {
					t.Parallel()
					rapid.Check(t, func(r *rapid.T) {
						counts := randomWalk(r)
						mu.Lock()
						defer mu.Unlock()
						for k, v := range counts {
							seen[k] += v
						}
					})
				})
			}
		})
		if t.Failed() {
			return
		}
	}
	if err := uncovered(seen); err != nil {
		t.Error(err)
	}
}

func randomWalk(r *rapid.T) map[string]int {
	m := newMachine(r, map[string]int{})
	actions := m.actions()
	names := slices.Sorted(maps.Keys(actions))
	for range rapid.SampledFrom([]int{60, 30, 15, 6, 3}).Draw(r, "steps") {
		actions[rapid.SampledFrom(names).Draw(r, "action")]()
	}
	m.Peace()
	for _, s := range m.history {
		if !reflect.DeepEqual(s.e, s.picture) {
			m.Fatalf("a later command reached into an environment:\n%s", cmp.Diff(s.picture, s.e))
		}
	}
	return m.counts
}

// uncovered names the moves that no walk made.
func uncovered(counts map[string]int) error {
	var missing []error
	want := []string{"applied", "applied degraded", "promote node_not_staged", "promote the live one", "promote", "rollback", "weights", "delete", "create", "rollback rollback_unavailable", "rollback rollback_target_unhealthy",
		"promote promotion_in_progress", "promote environment_locked", "promote revision_mismatch", "promotion paused",
		"switch heal", "switch recover", "event route.drifted", "event route.ahead", "event route.recovery_held", "known by another version"}
	for from, states := range GenerationMoves {
		for _, to := range states {
			want = append(want, string(from)+" to "+string(to))
		}
	}
	for _, outcome := range []PromotionState{PromotionSucceeded, PromotionAborted, PromotionRolledBack, PromotionSuperseded} {
		want = append(want, "promotion "+string(outcome))
	}
	for _, k := range want {
		if counts[k] == 0 {
			missing = append(missing, errors.New("no walk showed: "+k))
		}
	}
	return errors.Join(missing...)
}
