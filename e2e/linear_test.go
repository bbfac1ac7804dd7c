package e2e

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"viridian/client"
)

// stalls is how many environments a fair has. Each is a history of its own: what is asked of one says nothing of another.
const stalls = 4

// TestProveLinearizable has 16 clients promote, roll back, weigh, retire, validate and read in four environments, through
// three replicas that are killed and started again, over connections that are cut and calls that are given up. Of what
// was not answered, nobody knows whether it happened. All that was asked of an environment must be a history of one
// thing that changes one step at a time.
func TestProveLinearizable(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newLab(t)
	l.timing.callTimeout = 2 * time.Second
	var replicas []*replica
	for _, name := range []string{"a", "b", "c"} {
		r := l.replica(name)
		r.start("")
		replicas = append(replicas, r)
	}
	for _, r := range replicas {
		r.ready()
	}
	total, kills, histories := &tally{}, 0, 0
	for i := range count(1, 5) {
		f := newFair(replicas, i)
		f.run(count(400, 2400))
		for _, s := range f.stalls {
			s.judge(total)
			histories++
		}
		kills += f.kills
	}
	report(t, "%d demands of %d clients on 3 replicas in %d histories, all linearizable: %d answered, %d refused, %d in doubt for ever; "+
		"%d calls cut or given up, %d answered by a repeat; %d replicas killed; %d of %d planted wrong answers rejected; %v",
		total.demands, clients, histories, total.answered, total.refusals, total.doubts, total.cuts, total.repeats, kills,
		total.caught, total.planted, since(began))
}

// tally is what the histories came to.
type tally struct{ demands, answered, refusals, doubts, cuts, repeats, planted, caught int }

func (t *tally) add(o tally) {
	t.demands += o.demands
	t.answered += o.answered
	t.refusals += o.refusals
	t.doubts += o.doubts
	t.cuts += o.cuts
	t.repeats += o.repeats
	t.planted += o.planted
	t.caught += o.caught
}

// fair is some environments with many clients between them.
type fair struct {
	*lab
	replicas []*replica
	stalls   []*stall
	began    time.Time
	kills    int

	mu   sync.Mutex
	left int // demands to make
}

// stall is one environment, and the history of it.
type stall struct {
	*shop

	mu      sync.Mutex
	history []porcupine.Operation
	acked   map[int64]string // by revision: the key that was told of it
	open    []doubted
	refused []string // keys of which it was told in the end that nothing came of them
	retired int
	tally
}

// doubted is a demand in doubt.
type doubted struct {
	demand
	key  string
	call time.Duration
}

func newFair(replicas []*replica, number int) *fair {
	f := &fair{lab: replicas[0].lab, replicas: replicas}
	f.Helper()
	for i := range stalls {
		s := replicas[0].shop(fmt.Sprintf("fair-%d-%d", number, i))
		s.spec.Services[0].Health.Interval = ptr("500ms")
		s.spec.Retention.KeepFor, s.spec.Retention.KeepGenerations = ptr("1000h"), ptr(10)
		s.put()
		for range kinship {
			s.register()
		}
		f.stalls = append(f.stalls, &stall{shop: s, acked: map[int64]string{}})
	}
	for _, s := range f.stalls {
		for n := 1; n <= kinship; n++ {
			s.becomes(n, client.GenerationStateReady)
		}
		s.eventually("the first generation can be promoted", func() bool { return s.promotable(1) })
		s.promote(1)
	}
	f.began = time.Now()
	return f
}

// run lets the clients make that many demands, and kills replicas meanwhile.
func (f *fair) run(demands int) {
	f.Helper()
	f.left = demands
	var wait sync.WaitGroup
	for i := range clients {
		c := newCustomer(f, i)
		wait.Go(func() {
			for f.another() {
				c.rest()
				c.once()
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	f.disturb(done)
	last := newCustomer(f, clients)
	for i, s := range f.stalls {
		s.eventually("the last switch is applied", func() bool {
			return s.route().Switch.Status == client.SwitchStatusApplied && s.inOrder()
		})
		last.at = i
		last.resolve()
		last.ask(demand{verb: doRoute})
	}
}

func (f *fair) another() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left--
	return f.left >= 0
}

// disturb kills one replica after the other, and starts each again, until the clients are done.
func (f *fair) disturb(done chan struct{}) {
	f.Helper()
	pause := time.NewTicker(1500 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-done:
			return
		case <-pause.C:
		}
		r := f.replicas[rand.IntN(len(f.replicas))]
		r.kill()
		f.kills++
		select {
		case <-done:
		case <-pause.C:
		}
		r.start("")
		r.ready()
	}
}

// add takes a demand that was replied to into the history.
func (s *stall) add(id int, d demand, r reply, call, end time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.demands++; r.code != "" {
		s.refusals++
	} else {
		s.answered++
	}
	s.history = append(s.history, porcupine.Operation{ClientId: id, Input: d, Output: r, Call: int64(call), Return: int64(end)})
}

// doubt takes a demand of which nobody knows what came of it. It may happen at any time from its begin on.
func (s *stall) doubt(d demand, key string, call time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = append(s.open, doubted{d, key, call})
}

// leave takes the demands that are in doubt for ever into the history.
func (s *stall) leave(open []doubted) {
	for _, o := range open {
		o.demand.doubt = s.doubts
		s.doubts++
		s.demands++
		s.history = append(s.history, porcupine.Operation{Input: o.demand, Output: reply{unknown: true}, Call: int64(o.call), Return: int64(o.call)})
	}
}

// noteSwitch remembers which switch a key was told of.
func (s *stall) noteSwitch(r reply, key string, try int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if try > 1 {
		s.repeats++
	}
	if other := s.acked[r.revision]; r.changed && other != "" {
		s.Errorf("switch %d was told to %s and to %s", r.revision, other, key)
	}
	if r.changed {
		s.acked[r.revision] = key
	}
}

// mayRetire counts retirements: what is retired does not come back.
func (s *stall) mayRetire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired++
	return s.retired <= kinship/2
}
