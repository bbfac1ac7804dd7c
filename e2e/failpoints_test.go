package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"viridian/client"
	"viridian/failpoint"
	"viridian/router/routertest"
)

// modes are the actions of failpoints, as they are armed here.
var modes = []string{"kill", "error", "hang", "sleep(700ms)"}

// TestProveFailpoints arms every failpoint with every action in one of two replicas, has that replica do everything
// that passes the line, and runs it anew without failpoints: each was hit, each command has happened once with one
// answer, every switch came to its end, and nothing was seen that must not be. With small counts each failpoint has an
// action by chance, all are armed together, each for its first hit, and few are killed at: TestProveKill kills at all.
func TestProveFailpoints(t *testing.T) {
	t.Parallel()
	if !full {
		t.Run("some", func(t *testing.T) {
			t.Parallel()
			proveCells(t, func(c *cells) int {
				armed := map[failpoint.Name]string{}
				for _, name := range failpoint.Names() {
					armed[name] = modes[1+c.random.IntN(len(modes)-1)] + "@1"
				}
				want := len(armed)
				c.until(armed) // takes out what was hit
				return want
			})
		})
	}
	for _, mode := range modes[:count(1, len(modes))] {
		name, _, _ := strings.Cut(mode, "(")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proveCells(t, func(c *cells) int {
				names := failpoint.Names()
				c.random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
				names = names[:count(2, len(names))]
				for _, name := range names {
					c.until(map[failpoint.Name]string{name: mode})
				}
				return len(names)
			})
		})
	}
}

// proveCells runs what prove says, which returns how many failpoints are to be hit by that.
func proveCells(t *testing.T, prove func(c *cells) int) {
	t.Helper()
	began := time.Now()
	c := newCells(t, chooseSeed(t))
	want := prove(c)
	answered := c.judge()
	if len(c.hit) != want {
		t.Errorf("seed %d: %d failpoints were hit, want %d: %v", c.seed, len(c.hit), want, c.hit)
	}
	report(t, "%d of %d failpoints hit in %d runs of a replica: %d switches came to their end, %d requests, none by a generation without weight; slowest switch %v; seed %d; %v",
		len(c.hit), len(failpoint.Names()), c.runs, len(c.driver.flips), answered, c.slowest(), c.seed, since(began))
}

// cells is a lab of two replicas. Failpoints are armed in the second one, through which everything is asked.
type cells struct {
	*storm
	steady, faulty *replica
	driver         *driver
	flow           *trickle
	random         *rand.Rand
	hit            map[failpoint.Name]bool
	runs           int
}

func newCells(t *testing.T, seed uint64) *cells {
	t.Helper()
	l := newLab(t)
	l.timing = timing{leaseTTL: 600 * time.Millisecond, poll: 100 * time.Millisecond, callTimeout: 700 * time.Millisecond}
	c := &cells{storm: &storm{lab: l, seed: seed}, steady: l.replica("steady"), faulty: l.replica("faulty"),
		random: rand.New(rand.NewPCG(seed, 1)), hit: map[failpoint.Name]bool{}}
	c.steady.start("")
	c.faulty.start("")
	c.steady.ready()
	c.faulty.ready()
	l.testify()
	s := c.faulty.shop("shop")
	s.spec.Retention.Drain = ptr("200ms")
	s.put()
	s.promote(s.candidate())
	c.driver = drive(s, seed, c.faulty)
	c.driver.lenient = true
	c.flow = s.trickle(c.steady, c.faulty)
	return c
}

// until runs the armed failpoints until all of them were hit. One may hide another: what is recorded although that is
// said to have failed is not recorded again.
func (c *cells) until(armed map[failpoint.Name]string) {
	c.Helper()
	for range 8 {
		maps.DeleteFunc(armed, func(name failpoint.Name, _ string) bool { return c.hit[name] })
		if len(armed) == 0 {
			return
		}
		c.run(armed)
	}
	for name, action := range armed {
		if !c.hit[name] {
			c.Errorf("seed %d: %s=%s was not hit", c.seed, name, action)
		}
	}
}

// run runs the faulty replica with the failpoints armed, does everything, and runs it without any. A failpoint that is
// armed alone fires each time, until shortly after it was hit.
func (c *cells) run(armed map[failpoint.Name]string) {
	c.Helper()
	c.runs++
	var spec []string
	for name, action := range armed {
		spec = append(spec, string(name)+"="+action)
	}
	c.driver.second = c.driver.shop.candidate()
	from := size(c.faulty.log)
	c.faulty.kill()
	c.faulty.start(strings.Join(spec, ";"))
	c.giveLease()
	over, watching := make(chan struct{}), sync.WaitGroup{}
	watching.Go(func() { c.supervise(slices.Collect(maps.Keys(armed)), from, over) })
	c.everything()
	close(over)
	watching.Wait()
	if c.driver.problem != nil {
		c.Fatalf("seed %d, %v: %v", c.seed, armed, c.driver.problem)
	}
	if len(armed) > 1 {
		c.faulty.kill()
		c.faulty.start("")
	}
	c.faulty.ready()
	c.sworn(c.seed)
}

// giveLease makes the faulty replica the one that does the environment's work: the other one is held until its lease
// is over. With some failpoints the faulty one cannot take it.
func (c *cells) giveLease() {
	_ = c.steady.cmd.Process.Signal(syscall.SIGSTOP)
	within(4*c.timing.leaseTTL, func() bool { return c.faulty.gone() || c.holds() })
	_ = c.steady.cmd.Process.Signal(syscall.SIGCONT)
}

// holds says whether the present run of the faulty replica has the lease.
func (c *cells) holds() bool {
	return c.number("SELECT count(*) FROM lease WHERE holder LIKE $1 AND expires_at > clock_timestamp()", fmt.Sprintf("%s/%d-%%", c.faulty.name, c.faulty.cmd.Process.Pid)) > 0
}

// supervise notes what was hit. A failpoint that is armed alone goes on for a moment; then the replica is run without.
func (c *cells) supervise(names []failpoint.Name, from int64, over <-chan struct{}) {
	alone := len(names) == 1
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text := written(c.faulty.log, from)
		for _, name := range names {
			if strings.Contains(text, fmt.Sprintf(`msg="failpoint hit" name=%s`, name)) {
				c.hit[name] = true
			}
		}
		killed := c.faulty.gone() && c.faulty.killed()
		if alone && killed {
			c.hit[names[0]] = true
		}
		if alone && c.hit[names[0]] {
			if !killed {
				moment := time.NewTimer(300 * time.Millisecond)
				<-moment.C
				c.faulty.kill()
			}
			c.faulty.start("")
			return
		}
		if isClosed(over) {
			return
		}
		<-tick.C
	}
}

// everything registers a generation, promotes and rolls back the second one, and retires it, all through the faulty
// replica.
func (c *cells) everything() {
	d := c.driver
	number, key := d.shop.last+1, fmt.Sprintf("register-%d", c.runs)
	registration := d.registration(number)
	d.anyhow("a generation is registered", func(ctx context.Context, door *shop) bool {
		res, err := door.client.RegisterGenerationWithResponse(ctx, d.name, &client.RegisterGenerationParams{IdempotencyKey: &key}, registration)
		return err == nil && res.JSON201 != nil && res.JSON201.Number == number
	})
	d.shop.last = number
	d.anyhow("the registered generation is ready", func(ctx context.Context, door *shop) bool {
		res, err := door.client.ShowGenerationWithResponse(ctx, d.name, number)
		return err == nil && res.JSON200 != nil && res.JSON200.State == client.GenerationStateReady
	})
	d.cycle()
	for _, leaving := range []int{d.second, number} {
		key := fmt.Sprintf("retire-%d", leaving)
		d.anyhow("a retirement", func(ctx context.Context, door *shop) bool {
			res, err := door.client.RetireGenerationWithResponse(ctx, d.name, leaving, &client.RetireGenerationParams{IdempotencyKey: &key}, client.RetireRequest{})
			return err == nil && res.JSON202 != nil
		})
		d.anyhow(fmt.Sprintf("generation %d is retired", leaving), func(ctx context.Context, door *shop) bool {
			res, err := door.client.ShowGenerationWithResponse(ctx, d.name, leaving)
			return err == nil && res.JSON200 != nil && res.JSON200.State == client.GenerationStateRetired
		})
	}
}

// judge ends the traffic and holds everything against each other.
func (c *cells) judge() (answered int) {
	c.Helper()
	answers, _ := c.flow.stop()
	c.eventually("every node is in order", c.driver.inOrder)
	v := routertest.Check(answers, c.driver.flips)
	if !v.Clean() || v.Requests == 0 {
		c.Errorf("seed %d: %v", c.seed, v)
	}
	for _, wrong := range c.driver.stable() {
		c.Errorf("seed %d: %s", c.seed, wrong)
	}
	c.driver.audit()
	c.sworn(c.seed)
	return v.Requests
}

func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// written is what a file says behind that position.
func written(path string, from int64) string {
	text, err := os.ReadFile(path)
	if err != nil || int64(len(text)) < from {
		return ""
	}
	return string(text[from:])
}
