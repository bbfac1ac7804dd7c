package e2e

import (
	"slices"
	"testing"
	"time"

	"viridian/client"
	"viridian/failpoint"
	"viridian/registry/consultest"
)

// meshKillAt are the failpoints on the way into routers and out of them; the first three are those of the short proof.
var meshKillAt = []failpoint.Name{
	failpoint.StageActed, failpoint.ApplySwapped, failpoint.RemoveActed,
	failpoint.StageBefore, failpoint.StageRecorded, failpoint.ApplyBefore, failpoint.ApplyPersisted, failpoint.ApplyRecorded,
	failpoint.RemoveBefore, failpoint.RemoveRecorded,
}

// TestProveMeshKill kills the program at the failpoints of staging, switching and removing. After a start without any,
// splitter, query and key are where the route is, and nothing is left behind in the end.
func TestProveMeshKill(t *testing.T) {
	t.Parallel()
	began, kills := time.Now(), 0
	l := newMeshLab(t, consultest.Dev(t))
	r := l.replica("a")
	r.start("")
	r.ready()
	s := l.shop(r, "shop", "mesh", "dns", "kv")
	s.promote(s.candidate())
	for range count(1, 3) {
		for _, name := range meshKillAt[:count(3, len(meshKillAt))] {
			number := s.killedAt(name)
			s.settled("killed at " + string(name))
			live := *s.route().Live
			s.expect("killed at "+string(name), all(live), live)
			if live == number {
				s.rollback(number)
				s.expect("rolled back", all(1), 1)
			}
			s.retired(number)
			kills++
		}
	}
	s.audit()
	s.remove()
	l.leavesNothing()
	report(t, "killed -9 %d times at %d failpoints: splitter, query and key at the route after each start, nothing left in Consul; %v",
		kills, count(3, len(meshKillAt)), since(began))
}

// killedAt does with a new generation what passes the failpoint, with a replica that is killed there, and starts it again.
func (s *meshShop) killedAt(name failpoint.Name) (number int) {
	s.Helper()
	staging := slices.Contains([]failpoint.Name{failpoint.StageBefore, failpoint.StageActed, failpoint.StageRecorded}, name)
	if !staging {
		number = s.candidate()
		s.settled("before the kill")
	}
	r := s.replica
	r.kill()
	r.start(string(name) + "=kill")
	r.ready()
	switch {
	case staging:
		number = s.register()
	case slices.Contains([]failpoint.Name{failpoint.RemoveBefore, failpoint.RemoveActed, failpoint.RemoveRecorded}, name):
		// How it is answered is of no interest: the program may be gone by then.
		_, _ = s.client.RetireGenerationWithResponse(s.Context(), s.name, number, nil, client.RetireRequest{})
	default:
		s.eventually("it can be promoted", func() bool { return s.promotable(number) || r.gone() })
		_, _ = s.client.PromoteGenerationWithResponse(s.Context(), s.name, number, nil, client.PromoteRequest{})
	}
	s.eventually("killed at "+string(name), r.gone)
	r.start("")
	r.ready()
	if staging {
		s.becomes(number, client.GenerationStateReady)
	}
	return number
}

// retired waits until the generation is gone, having asked for it where nobody did.
func (s *meshShop) retired(number int) {
	s.Helper()
	if state := s.generation(number).State; state != client.GenerationStateRetiring && state != client.GenerationStateRetired {
		s.retire(number)
	}
	s.becomes(number, client.GenerationStateRetired)
}
