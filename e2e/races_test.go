package e2e

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// outcome is what one of two racing commands was told.
type outcome struct {
	rollout.Answer
	code rollout.Code // of a refusal
	at   int64        // the revision that a refusal names
}

func (o outcome) String() string {
	if o.code != "" {
		return fmt.Sprintf("refused with %s at %d", o.code, o.at)
	}
	return fmt.Sprintf("revision %d, generation %d, changed %v", o.Revision, o.Generation, o.Changed)
}

// won and lost are the forms of an outcome that the rules speak of.
func (o outcome) won(revision int64, generation int) bool {
	return o.code == "" && o.Changed && o.Revision == revision && o.Generation == generation
}

func (o outcome) late(revision int64) bool {
	return o.code == "" && !o.Changed && o.Revision == revision
}

func (o outcome) refused(code rollout.Code) bool { return o.code == code }

// TestProveRaces lets two things happen at once that exclude each other, again and again, each time in an environment
// of its own and through two replicas: the rules say who may win, and what the other one is told.
func TestProveRaces(t *testing.T) {
	t.Parallel()
	for name, race := range map[string]func(w *raceWorld, a *arena, random *rand.Rand) string{
		"two rollbacks": twoRollbacks, "rollback and promote": rollbackAndPromote, "rollback and retirement": rollbackAndRetirement,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			seed := chooseSeed(t)
			w := newRaceWorld(t)
			times := count(100, 5000)
			var next atomic.Int64
			var mu sync.Mutex
			how := map[string]int{}
			var workers sync.WaitGroup
			for i := range 4 {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				workers.Go(func() {
					for n := next.Add(1); n <= int64(times) && !t.Failed(); n = next.Add(1) {
						a := w.arena(int(n))
						result := race(w, a, random)
						if why := w.wrong(a); why != "" {
							t.Errorf("seed %d, race %d (%s): %s", seed, n, result, why)
						}
						mu.Lock()
						how[result]++
						mu.Unlock()
					}
				})
			}
			workers.Wait()
			if len(how) < 2 {
				t.Errorf("seed %d: every race went the same way: %v", seed, how)
			}
			report(t, "%d races of %s: %v; seed %d; %v", times, name, how, seed, since(began))
		})
	}
}

// twoRollbacks: a person and a machine leave the same generation at once. One of them makes the switch, and both are
// told of it. Without "from", the second one finds nothing to go back to.
func twoRollbacks(w *raceWorld, a *arena, random *rand.Rand) string {
	from := 2 * random.IntN(2)
	one, two := w.both(
		func(s *controller.Service) (controller.Outcome, error) {
			return s.Rollback(w.Context(), a.name, a.leave(from), a.key("one"))
		},
		func(s *controller.Service) (controller.Outcome, error) {
			return s.Rollback(w.Context(), a.name, a.leave(from), a.key("two"))
		})
	if two.won(3, 1) {
		one, two = two, one
	}
	told := two.late(3)
	if from == 0 {
		told = two.refused(rollout.RollbackUnavailable)
	}
	if !one.won(3, 1) || !told {
		w.Errorf("%s, from %d: %v and %v", a.name, from, one, two)
	}
	a.wantLive, a.wantRevision, a.wantStates = 1, 3, map[int]rollout.GenerationState{1: rollout.Live, 2: rollout.Rejected, 3: rollout.Ready}
	return fmt.Sprintf("from %d", from)
}

// rollbackAndPromote: generation 2 is left while the next one comes. Whoever promotes first keeps what it promoted: the
// rollback from 2 is late, for 2 carries nothing any more. After a rollback a promote goes on from where that led, or
// is refused when it expected the revision of before.
func rollbackAndPromote(w *raceWorld, a *arena, random *rand.Rand) string {
	var expected *int64
	if random.IntN(2) == 0 {
		expected = ptr(int64(2))
	}
	back, forth := w.both(
		func(s *controller.Service) (controller.Outcome, error) {
			return s.Rollback(w.Context(), a.name, a.leave(2), a.key("back"))
		},
		func(s *controller.Service) (controller.Outcome, error) {
			return s.PromoteGeneration(w.Context(), a.name, rollout.PromoteCommand{Actor: rollout.System, Generation: 3, ExpectedRevision: expected}, a.key("forth"))
		})
	switch {
	case forth.won(3, 3) && back.late(3):
		a.wantLive, a.wantRevision, a.wantStates = 3, 3, map[int]rollout.GenerationState{1: rollout.Standby, 2: rollout.Standby, 3: rollout.Live}
		return "promoted first"
	case back.won(3, 1) && expected != nil && forth.refused(rollout.RevisionMismatch) && forth.at == 3:
		a.wantLive, a.wantRevision, a.wantStates = 1, 3, map[int]rollout.GenerationState{1: rollout.Live, 2: rollout.Rejected, 3: rollout.Ready}
		return "rolled back first, promote refused"
	case back.won(3, 1) && expected == nil && forth.won(4, 3):
		a.wantLive, a.wantRevision, a.wantStates = 3, 4, map[int]rollout.GenerationState{1: rollout.Standby, 2: rollout.Rejected, 3: rollout.Live}
		return "rolled back first, then promoted"
	case back.won(3, 1) && expected == nil && forth.refused(rollout.PromotionInProgress):
		a.wantLive, a.wantRevision, a.wantStates = 1, 3, map[int]rollout.GenerationState{1: rollout.Live, 2: rollout.Rejected, 3: rollout.Ready}
		return "rolled back first, promote has to wait"
	}
	w.Errorf("%s: the rollback %v, the promote (expecting %v) %v", a.name, back, expected != nil, forth)
	return "?"
}

// rollbackAndRetirement: the standby's time is over at the instant at which somebody goes back to it. Either it is
// retired, and the rollback finds nothing, or it is live, and is never retired.
func rollbackAndRetirement(w *raceWorld, a *arena, random *rand.Rand) string {
	until := w.keepFor(a, 5*time.Millisecond)
	spread := []int{1500, 6000, 25_000}[random.IntN(3)] // how near is near depends on what else the machine does
	offset := time.Duration(random.IntN(2*spread)-spread) * time.Microsecond
	settled := make(chan struct{})
	go func() {
		defer close(settled)
		for w.now().Before(until.Add(2 * time.Millisecond)) {
			w.record(a.name, rollout.Facts{}) // as the holder of the lease does when a deadline has come
		}
		w.record(a.name, rollout.Facts{})
	}()
	wait := time.NewTimer(time.Until(until) + offset) // the database is on this machine, and has its clock
	<-wait.C
	back := outcomeOf(w.services[1].Rollback(w.Context(), a.name, a.leave(2), a.key("back")))
	<-settled
	switch {
	case back.won(3, 1):
		a.wantLive, a.wantRevision, a.wantStates = 1, 3, map[int]rollout.GenerationState{1: rollout.Live, 2: rollout.Rejected, 3: rollout.Ready}
		return "rolled back"
	case back.refused(rollout.RollbackUnavailable):
		a.wantLive, a.wantRevision, a.wantStates = 2, 2, map[int]rollout.GenerationState{1: rollout.Retiring, 2: rollout.Live, 3: rollout.Ready}
		return "retired"
	}
	w.Errorf("%s: the rollback %v", a.name, back)
	return "?"
}

// outcomeOf reads what a command was told; anything but an answer or a refusal is in its code.
func outcomeOf(out controller.Outcome, err error) outcome {
	var refusal *rollout.Refusal
	switch {
	case err == nil:
		return outcome{Answer: out.Answer}
	case errors.As(err, &refusal):
		return outcome{code: refusal.Code, at: refusal.Revision}
	}
	return outcome{code: rollout.Code(err.Error())}
}
