package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"viridian/router/routertest"
)

// chooseSeed says what the random choices of a run follow from: VIRIDIAN_SEED, which repeats one, or chance.
func chooseSeed(t testing.TB) uint64 {
	t.Helper()
	if text := os.Getenv("VIRIDIAN_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return rand.Uint64N(1_000_000)
}

// finalTime is how long a switch may take to be applied or superseded, once what holds it up is over: 5 s, and more
// where other tests keep the machine busy.
var finalTime = time.Duration(count(30, 5)) * time.Second

// TestProveStorm kills three replicas, and stops them for longer than a lease, over and over, while switches of several
// environments go on under traffic. Every switch comes to its end, no node ever goes back, no answer changes, and no
// request is answered by a generation without weight.
func TestProveStorm(t *testing.T) {
	t.Parallel()
	began := time.Now()
	seed := chooseSeed(t)
	kills, stops, shops, want := count(20, 2000), count(5, 500), count(3, 6), count(40, 4000)
	l := newLab(t)
	l.timing = timing{leaseTTL: time.Second, poll: 100 * time.Millisecond, callTimeout: 2 * time.Second}
	replicas := []*replica{l.replica("a"), l.replica("b"), l.replica("c")}
	for _, r := range replicas {
		r.start("")
	}
	for _, r := range replicas {
		r.ready()
	}
	l.testify()
	var drivers []*driver
	var flows []*trickle
	for i := range shops {
		s := replicas[i%3].shop(fmt.Sprintf("shop-%d", i))
		s.promote(s.candidate())
		drivers = append(drivers, drive(s, seed+uint64(i), replicas...))
		flows = append(flows, s.trickle(replicas...))
	}

	x := &storm{lab: l, seed: seed}
	x.kills.Store(int64(kills))
	x.stops.Store(int64(stops))
	var faults, switching, looking sync.WaitGroup
	for i, r := range replicas {
		faults.Go(func() { x.torment(r, rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
	calm := make(chan struct{})
	looking.Go(func() { x.look(calm) })
	for _, d := range drivers {
		switching.Go(func() {
			for d.problem == nil && (!isClosed(calm) || len(d.flips) < want/shops) {
				d.cycle()
			}
		})
	}
	faults.Wait()
	close(calm)
	switching.Wait()
	looking.Wait()

	for _, r := range replicas {
		r.ready()
	}
	switches, requests, lost := x.judge(drivers, flows)
	if switches < want {
		t.Errorf("%d switches, want %d", switches, want)
	}
	slowest, longest := x.slowest(), x.longestFault()
	if limit := finalTime + longest; slowest > limit {
		t.Errorf("seed %d: a switch was final %v after its commit; the longest fault took %v, so the limit is %v", seed, slowest, longest, limit)
	}
	report(t, "%d kills and %d stops of three replicas during %d switches of %d environments: %d requests answered (%d lost with their replica), none by a generation without weight; "+
		"slowest switch final after %v, longest fault %v; seed %d; %v", kills, stops, switches, shops, requests, lost, slowest, longest, seed, since(began))
}

// storm is the faults of a run, and what was seen.
type storm struct {
	*lab
	seed         uint64
	kills, stops atomic.Int64 // that are left

	mu      sync.Mutex
	longest time.Duration // of a fault, until the replica was ready again
}

// torment kills and stops the replica while there is something left to do.
func (x *storm) torment(r *replica, random *rand.Rand) {
	for {
		if x.Failed() {
			return
		}
		pause := time.NewTimer(time.Duration(500+random.IntN(800)) * time.Millisecond)
		<-pause.C
		stop := random.IntN(5) == 0
		if stop && x.stops.Add(-1) < 0 {
			stop = false
		}
		if !stop && x.kills.Add(-1) < 0 {
			if x.stops.Add(-1) < 0 {
				return
			}
			stop = true
		}
		begun := time.Now()
		if stop {
			x.stop(r, x.timing.leaseTTL+time.Duration(random.IntN(500))*time.Millisecond)
		} else {
			r.kill()
			x.durable(r)
			r.start("")
		}
		if !within(patience, func() bool { return r.gone() || r.status("/readyz") == http.StatusOK }) || r.gone() {
			x.Errorf("seed %d: replica %s is not ready %v after a fault (stopped: %v)", x.seed, r.name, time.Since(begun), stop)
			return
		}
		x.mu.Lock()
		x.longest = max(x.longest, time.Since(begun))
		x.mu.Unlock()
	}
}

// durable checks that a replica which was killed comes up on no route of before those that it was seen at.
func (x *storm) durable(r *replica) {
	seen, err := x.tryText("SELECT environment || ' ' || revision FROM witness_receipt WHERE node = $1", r.name)
	if err != nil {
		x.Errorf("seed %d: %v", x.seed, err)
	}
	for _, line := range seen {
		var environment string
		var revision int64
		if _, err := fmt.Sscan(line, &environment, &revision); err != nil {
			x.Errorf("%q: %v", line, err)
		}
		var file struct{ State struct{ Revision int64 } }
		text, err := os.ReadFile(filepath.Join(filepath.Dir(r.config), "state", environment+".json"))
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		if err != nil || file.State.Revision < revision {
			x.Errorf("seed %d: I3: replica %s was seen at revision %d of %s, and was killed with revision %d on its disk: %v",
				x.seed, r.name, revision, environment, file.State.Revision, err)
		}
	}
}

func (x *storm) longestFault() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.longest.Round(time.Millisecond)
}

// stop holds the replica for that long, in whatever it is doing.
func (x *storm) stop(r *replica, pause time.Duration) {
	if err := r.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		x.Errorf("stop replica %s: %v", r.name, err)
	}
	over := time.NewTimer(pause)
	<-over.C
	_ = r.cmd.Process.Signal(syscall.SIGCONT)
}

// look asks the database again and again whether all is well, while things go on.
func (x *storm) look(until <-chan struct{}) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for !isClosed(until) && !x.Failed() {
		<-tick.C
		if seen, err := x.testimony(); err != nil || len(seen) > 0 {
			x.Errorf("seed %d, under way: %v\n%s", x.seed, err, strings.Join(seen[:min(20, len(seen))], "\n"))
		}
	}
}

// slowest is the longest time from a commit until the switch was applied, or the next one took its place.
func (x *storm) slowest() time.Duration {
	return time.Duration(x.number(`SELECT coalesce(max(extract(epoch FROM coalesce(s.applied_at, n.committed_at) - s.committed_at)) * 1000, 0)::bigint
		FROM switch s LEFT JOIN switch n ON n.environment = s.environment AND n.revision = s.revision + 1`)) * time.Millisecond
}

// judge holds everything that was asked, answered and written against each other.
func (x *storm) judge(drivers []*driver, flows []*trickle) (switches, requests, lost int) {
	x.Helper()
	x.eventually("every switch is final", func() bool { return x.number("SELECT count(*) FROM switch WHERE status = 'committed'") == 0 })
	for i, d := range drivers {
		answers, without := flows[i].stop()
		if d.problem != nil { // and it is not known what the route was
			x.Errorf("seed %d: %v", x.seed, d.problem)
			continue
		}
		x.eventually("every node is in order", d.inOrder)
		v := routertest.Check(answers, d.flips)
		if !v.Clean() || v.Requests == 0 {
			x.Errorf("seed %d, %s: %v", x.seed, d.name, v)
		}
		for _, wrong := range d.stable() {
			x.Errorf("seed %d: %s", x.seed, wrong)
		}
		d.audit()
		switches, requests, lost = switches+len(d.flips), requests+v.Requests, lost+without
	}
	x.sworn(x.seed)
	return switches, requests, lost
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
