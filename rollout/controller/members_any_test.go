package controller

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// Whatever a registry says in whatever order, and however often it is away, slow or empty: a node never has nobody, and
// nobody who never was there; while the registry is away nothing changes; and in the end the members are those that are
// there, once those that were lost have had their time.
func TestMembers_InAnyWeather(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 4))
			r, team := follow(t)
			defer r.stop()
			ids := ""
			for range 60 {
				if random.IntN(4) > 0 {
					ids = ""
					few := random.IntN(3)
					for letter := 'a'; letter <= 'j'; letter++ {
						if random.IntN(3) >= few {
							ids += string(letter)
						}
					}
				}
				away := random.IntN(4) == 0
				team.mu.Lock()
				team.slow = time.Duration(random.IntN(3)) * 700 * time.Millisecond
				team.mu.Unlock()
				team.become(ids, away)
				<-time.After(time.Second) // a pass that was under way has ended
				before := r.members()
				<-time.After(time.Duration(random.IntN(40)) * 500 * time.Millisecond)
				synctest.Wait()
				now := r.members()
				if now == "" || away && now != before {
					t.Errorf("seed %d: with %q, away %v: the members are %q, were %q", seed, ids, away, now, before)
				}
				seen := map[rune]bool{}
				for _, letter := range now {
					if letter < 'a' || letter > 'j' || seen[letter] {
						t.Errorf("seed %d: the members are %q", seed, now)
					}
					seen[letter] = true
				}
			}
			team.become("bdf", false)
			within(t, lossPatience+30*time.Second, "in the end", func() bool { return sortedIDs(instancesOf(r.members())) == "bdf" })
			within(t, 10*time.Second, "the node counts as staged", func() bool {
				ok, _ := r.environment().StagedEverywhere(1, time.Now())
				return ok
			})
		})
	}
}
