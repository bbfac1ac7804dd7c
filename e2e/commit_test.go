package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"viridian/client"
	"viridian/store/storetest"
)

// TestProveCommit cuts the connection to the database at COMMIT, before it, in it, after it, and after its answer: each
// command has happened once, or the caller was told that it did not, and the answer came soon.
func TestProveCommit(t *testing.T) {
	t.Parallel()
	began := time.Now()
	seed := chooseSeed(t)
	l := newLab(t)
	l.timing = timing{leaseTTL: 3 * time.Second, poll: time.Second, callTimeout: 5 * time.Second} // as it is in an installation
	direct := l.database
	c := newCutter(t, direct, seed)
	l.database = c.url
	r := l.replica("a")
	l.database = direct
	r.start("")
	r.ready()
	l.testify()
	x := &storm{lab: l, seed: seed}
	var drivers []*driver
	var flows []*trickle
	for i := range 4 {
		s := r.shop(fmt.Sprintf("shop-%d", i))
		s.promote(s.candidate())
		d := drive(s, seed+uint64(i), r)
		d.final(d.send(d.askPromote(d.second)))
		d.wait = client.WaitCommitted
		drivers = append(drivers, d)
		flows = append(flows, s.trickle(r))
	}
	c.arm(count(100, 2000))
	var all sync.WaitGroup
	for _, d := range drivers {
		all.Go(func() {
			for i := 0; d.problem == nil && !c.done(); i++ {
				d.send(d.askWeights(d.second, 10*(1-i%2)))
			}
		})
	}
	all.Wait()
	var took []time.Duration
	for _, d := range drivers {
		took = append(took, d.took...)
	}
	slices.Sort(took)
	acknowledged, longest, median := len(took), took[len(took)-1], took[len(took)/2]
	switches, requests, _ := x.judge(drivers, flows)
	if limit := time.Duration(count(40, 2)) * time.Second; longest > limit {
		t.Errorf("seed %d: an answer was definite after %v, want at most %v", seed, longest, limit)
	}
	if !c.done() || acknowledged < count(10, 400) {
		t.Errorf("seed %d: %d cuts are left, %d commands were acknowledged", seed, c.left, acknowledged)
	}
	commits, cuts := c.counted()
	report(t, "%d of %d commits cut (before, inside, after, answered: %v): %d commands acknowledged, %d switches, none lost and none twice, answers were definite after %v (median) to %v; %d requests; seed %d; %v",
		sum(cuts[:]), commits, cuts, acknowledged, switches, median.Round(time.Millisecond), longest.Round(time.Millisecond), requests, seed, since(began))
}

func sum(numbers []int) (total int) {
	for _, n := range numbers {
		total += n
	}
	return total
}

// TestProveDatabaseKill kills Postgres during switches: whatever was acknowledged is there when it is back.
func TestProveDatabaseKill(t *testing.T) {
	t.Parallel()
	began := time.Now()
	seed := chooseSeed(t)
	kills := count(4, 200)
	postgres := storetest.Server(t)
	if err := postgres.CreateDatabase(t.Context(), "viridian"); err != nil {
		t.Fatal(err)
	}
	l := labOn(t, postgres.URL("viridian"))
	replicas := []*replica{l.replica("a"), l.replica("b")}
	for _, r := range replicas {
		r.start("")
	}
	for _, r := range replicas {
		r.ready()
	}
	l.testify()
	x := &storm{lab: l, seed: seed}
	var drivers []*driver
	var flows []*trickle
	for i := range 3 {
		s := replicas[0].shop(fmt.Sprintf("shop-%d", i))
		s.promote(s.candidate())
		d := drive(s, seed+uint64(i), replicas...)
		drivers = append(drivers, d)
		flows = append(flows, s.trickle(replicas...))
	}
	over := make(chan struct{})
	var all sync.WaitGroup
	for _, d := range drivers {
		all.Go(func() {
			for d.problem == nil && !isClosed(over) {
				d.cycle()
			}
		})
	}
	random, done := rand.New(rand.NewPCG(seed, 3)), 0
	for ; done < kills && !t.Failed(); done++ {
		pause := time.NewTimer(time.Duration(200+random.IntN(800)) * time.Millisecond)
		<-pause.C
		begun := time.Now()
		postgres.Kill()
		if err := postgres.Restart(t.Context()); err != nil {
			t.Errorf("seed %d: restart %d: %v", seed, done, err)
		}
		x.longest = max(x.longest, time.Since(begun))
	}
	close(over)
	all.Wait()
	acknowledged := 0
	for _, d := range drivers {
		acknowledged += len(d.acked)
	}
	switches, requests, lost := x.judge(drivers, flows)
	if lost > 0 {
		t.Errorf("seed %d: %d requests got no answer, although traffic does not need the database", seed, lost)
	}
	slowest := x.slowest()
	if limit := finalTime + x.longest; slowest > limit {
		t.Errorf("seed %d: a switch was final %v after its commit, want at most %v", seed, slowest, limit)
	}
	report(t, "Postgres killed -9 %d times during %d switches: %d commands acknowledged, none lost and none twice; slowest switch final after %v, longest outage %v; %d requests, none lost; seed %d; %v",
		done, switches, acknowledged, slowest, x.longest.Round(time.Millisecond), requests, seed, since(began))
}
