package haproxy

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

// keeper brings a node to what is desired of it, again and again, as a controller does.
type keeper struct {
	*lab
	passing     sync.Mutex // held during a pass: a node has one that drives it
	mu          sync.Mutex
	revision    int64
	weights     rollout.Weights
	generations []int                // to be staged
	opened      map[string]time.Time // when each run of the node first answered
	kept        map[string]time.Time // when its traffic then was as desired
}

// run keeps until stop is closed. What fails is tried again.
func (k *keeper) run(stop <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		incarnation, err := k.Pulse(k.ctx)
		if err != nil {
			continue
		}
		k.mu.Lock()
		if k.opened[incarnation].IsZero() {
			k.opened[incarnation] = time.Now()
		}
		k.mu.Unlock()
		k.keep()
	}
}

// keep does one pass.
func (k *keeper) keep() {
	k.passing.Lock()
	defer k.passing.Unlock()
	k.mu.Lock()
	revision, weights, generations := k.revision, k.weights, slices.Clone(k.generations)
	k.mu.Unlock()
	route := k.route(revision, weights)
	o, err := k.Observe(k.ctx, "shop")
	if err != nil {
		return
	}
	if o.Revision == revision && o.Hash == route.Hash() {
		k.mu.Lock()
		if k.kept[o.Incarnation].IsZero() {
			k.kept[o.Incarnation] = time.Now()
		}
		k.mu.Unlock()
	}
	if slices.Sort(generations); o.Revision == revision && o.Hash == route.Hash() && o.Error == "" && slices.Equal(o.Staged, generations) {
		return
	}
	slices.SortFunc(generations, func(a, b int) int { return weights[b] - weights[a] }) // what serves goes first
	for _, number := range generations {
		if !slices.Contains(o.Staged, number) {
			_ = k.Stage(k.ctx, router.Fence{Revision: revision}, route, k.generation(number)) // or the next time
		}
	}
	if k.Apply(k.ctx, router.Fence{Revision: revision}, route) == nil {
		for _, number := range o.Staged {
			if !slices.Contains(generations, number) {
				_ = k.Remove(k.ctx, router.Fence{Revision: revision}, "shop", number)
			}
		}
	}
}

// want changes what is desired.
func (k *keeper) want(revision int64, weights rollout.Weights, generations ...int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.revision, k.weights, k.generations = revision, weights, generations
}

// settled says whether the run that answers now is as desired, by an observation of its own.
func (k *keeper) settled() bool {
	k.passing.Lock()
	defer k.passing.Unlock()
	k.mu.Lock()
	revision, weights, generations := k.revision, k.weights, slices.Clone(k.generations)
	k.mu.Unlock()
	o, err := k.Observe(k.ctx, "shop")
	slices.Sort(generations)
	return err == nil && o.Revision == revision && o.Hash == k.route(revision, weights).Hash() && o.Error == "" && slices.Equal(o.Staged, generations)
}

// TestProveRestarts kills HAProxy and starts it again, reloads it, and kills its worker, in the middle of flips and
// stagings. Within a second of its socket answering it does what is desired, and never does a generation answer that
// was taken out.
func TestProveRestarts(t *testing.T) {
	t.Parallel()
	for name, disturb := range map[string]func(l *lab){
		"killed": func(l *lab) { l.kill(); l.boot() },
		"reloaded": func(l *lab) {
			before := l.pulse()
			var asked time.Time
			eventually(l, "a new worker answers", func() bool {
				if time.Since(asked) > 3*time.Second { // again: a master that is busy with the reload before loses the signal
					asked = time.Now()
					if err := l.process.Process.Signal(syscall.SIGUSR2); err != nil {
						l.Fatal(err)
					}
				}
				now := l.pulse()
				return now != before && now != ""
			})
		},
		"worker killed": func(l *lab) {
			worker, err := strconv.Atoi(strings.Split(l.pulse(), "-")[0])
			if err == nil {
				err = syscall.Kill(worker, syscall.SIGKILL)
			}
			if err != nil {
				l.Fatal(err)
			}
			_ = l.process.Wait() // the master ends with it
			l.kill()
			l.boot()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proveRestarts(t, full(8, 100), disturb)
		})
	}
}

func (l *lab) pulse() string {
	i, err := l.Pulse(l.ctx)
	if err != nil {
		return ""
	}
	return i
}

func proveRestarts(t *testing.T, rounds int, disturb func(*lab)) {
	l := newLab(t, func(h *haproxy, _ *Config) { h.masterWorker = true })
	k := &keeper{lab: l, opened: map[string]time.Time{}, kept: map[string]time.Time{}}
	l.stage(0, 1)
	l.apply(1, all(1))
	k.want(1, all(1), 1)
	stop := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() { k.run(stop) })
	traffic := routertest.Load{Address: l.listen, Host: shopHost, KeepAlive: 2, Fresh: 2}.Start()
	removed := map[int]time.Time{}
	t.Cleanup(func() {
		if t.Failed() {
			o, err := l.Observe(context.WithoutCancel(l.ctx), "shop")
			t.Logf("wanted revision %d with %v, staged %v; observed %+v, %v", k.revision, k.weights, k.generations, o, err)
		}
	})
	for round := range rounds {
		fresh := round + 2
		l.generation(fresh)
		var disturbance sync.WaitGroup
		if round%2 == 0 { // in the middle of a staging, and of the flip after it
			disturbance.Go(func() { disturb(l) })
		}
		k.want(int64(fresh-1), all(fresh-1), fresh-1, fresh)
		if round%2 == 0 {
			disturbance.Wait()
		}
		eventually(t, "staged", k.settled)
		if round%2 == 1 {
			disturbance.Go(func() { disturb(l) })
		}
		k.want(int64(fresh), all(fresh), fresh-1, fresh)
		disturbance.Wait()
		eventually(t, "flipped", k.settled)
		k.want(int64(fresh), all(fresh), fresh)
		eventually(t, "removed", k.settled)
		removed[fresh-1] = time.Now()
	}
	close(stop)
	wait.Wait()
	failed, retired := 0, 0
	answers := traffic.Stop()
	for _, a := range answers {
		switch at, gone := removed[a.Generation]; {
		case a.Err != nil:
			failed++ // nobody was there to answer
		case gone && a.Start.After(at):
			retired++
		}
	}
	slowest, runs := k.slowest()
	t.Logf("%d rounds, %d runs, %d requests, %d of them while it was away; as desired %v after the socket at the latest",
		rounds, runs, len(answers), failed, slowest.Round(time.Millisecond))
	if retired > 0 {
		t.Errorf("%d requests were answered by a generation that had been removed", retired)
	}
	// Where other tests keep the machine busy, everything takes longer.
	if limit := time.Duration(full(10, 1)) * time.Second; slowest > limit {
		t.Errorf("it took %v until a new run did what is desired", slowest)
	}
	if runs < rounds {
		t.Errorf("%d runs were seen in %d rounds", runs, rounds)
	}
}

// slowest is the longest time from the first answer of a run until it was as desired.
func (k *keeper) slowest() (time.Duration, int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	slowest := time.Duration(0)
	for incarnation, at := range k.opened {
		if kept, ok := k.kept[incarnation]; ok {
			slowest = max(slowest, kept.Sub(at))
		}
	}
	return slowest, len(k.opened)
}
