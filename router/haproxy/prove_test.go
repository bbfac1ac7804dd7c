package haproxy

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

// full is the count of a proof: the small one, or the whole one by VIRIDIAN_PROVE=full.
func full(small, whole int) int {
	if os.Getenv("VIRIDIAN_PROVE") == "full" {
		return whole
	}
	return small
}

// TestProveFlips: two thousand flips of one node and of three, which take each flip at once, with shares of 0, 10, 50
// and 100 percent, under load over kept and fresh connections with slow bodies among them. No request fails, and none
// that begins after a flip was applied is answered by a generation without weight in it.
func TestProveFlips(t *testing.T) {
	t.Parallel()
	for name, nodes := range map[string]int{"one node": 1, "three nodes": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fleet := make([]*lab, nodes)
			backends := map[int]*routertest.Backend{1: routertest.NewBackend(t, 1), 2: routertest.NewBackend(t, 2)}
			var traffic []*routertest.Traffic
			stop := make(chan struct{})
			var watchers sync.WaitGroup
			for i := range fleet {
				fleet[i] = newLab(t)
				fleet[i].backends = backends
				fleet[i].stage(0, 1, 2)
				fleet[i].apply(1, all(1))
			}
			for _, l := range fleet {
				watchers.Go(func() {
					if back := l.watchRevision(stop); back > 0 {
						t.Errorf("the revision went back %d times", back)
					}
				})
				traffic = append(traffic, routertest.Load{Address: l.listen, Host: shopHost, KeepAlive: 4, Fresh: 2, SlowEvery: 100}.Start())
			}
			flips := []routertest.Flip{{Begun: time.Now(), Applied: time.Now(), Weights: all(1)}}
			shares := []int{0, 10, 50, 100, 50, 100, 0, 100, 10}
			began := time.Now()
			count := full(200, 2000)
			for i := range count {
				f := routertest.Flip{Begun: time.Now(), Weights: rollout.Weights{1: 100 - shares[i%len(shares)], 2: shares[i%len(shares)]}}
				var wait sync.WaitGroup
				for _, l := range fleet {
					wait.Go(func() {
						if err := l.tryApply(int64(i+2), f.Weights); err != nil {
							t.Errorf("flip %d: %v", i, err)
						}
					})
				}
				wait.Wait()
				f.Applied = time.Now()
				flips = append(flips, f)
				if t.Failed() {
					break
				}
			}
			t.Logf("%d flips, %v each", count, (time.Since(began) / time.Duration(count)).Round(10*time.Microsecond))
			close(stop)
			watchers.Wait()
			for i, tr := range traffic {
				v := routertest.Check(tr.Stop(), flips)
				t.Logf("node %d: %v", i+1, v)
				if !v.Clean() || v.By[1] == 0 || v.By[2] == 0 {
					t.Errorf("node %d: %v", i+1, v)
				}
				if o := fleet[i].observe(); o.Revision != int64(count+1) || o.Error != "" {
					t.Errorf("node %d is at revision %d: %s", i+1, o.Revision, o.Error)
				}
			}
		})
	}
}

// TestProveGenerations takes sixty generations through their lives under load: staged, flipped to, drained, removed,
// their instances gone.
func TestProveGenerations(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1)
	l.apply(1, all(1))
	count := full(12, 60)
	v := l.load(routertest.Load{KeepAlive: 4, Fresh: 2, SlowEvery: 100}, func(traffic *routertest.Traffic) {
		for number := 2; number <= count; number++ {
			l.stage(int64(number-1), number)
			l.apply(int64(number), all(number))
			enough := traffic.Count() + 20
			eventually(l, "requests meanwhile", func() bool { return traffic.Count() >= enough })
			if retired := number - 2; retired > 0 { // the one before stays as a standby
				eventually(l, "the drain", func() bool { n, err := l.InFlight(l.ctx, "shop", retired); return err == nil && n == 0 })
				l.remove(int64(number), retired)
				l.backends[retired].Close() // an instance that is gone answers nobody
			}
		}
	})
	t.Logf("%d generations: %v", count, v)
	if !v.Clean() || len(v.By) != count {
		t.Errorf("%d generations answered: %v", len(v.By), v)
	}
}

// TestFence_OfAPausedWriter holds up a writer between its look and its write, while another one goes on. When it wakes,
// the fence refuses it, and it finds that it is late.
func TestFence_OfAPausedWriter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	line := newBadLine(t, l.dir+"/fence.sock")
	paused := l.haproxy.bareNode(t, func(o *Options) { o.Fence, o.Timeout = "unix:"+line.path, time.Minute })
	if _, err := paused.Observe(l.ctx, "shop"); err != nil { // the first look asks the fence, too
		t.Fatal(err)
	}
	line.fault.Store(int32(waits))
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(l.ctx, time.Minute)
		defer cancel()
		ended <- paused.Apply(ctx, router.Fence{Revision: 2}, l.route(2, all(2)))
	}()
	<-line.reached
	l.apply(3, all(1))
	line.fault.Store(int32(sound))
	close(line.resume)
	if err := <-ended; !errors.Is(err, router.ErrStale) {
		t.Errorf("the paused writer: %v", err)
	}
	l.serves("1", 200)
	if o := l.observe(); o.Revision != 3 || o.Error != "" {
		t.Errorf("at revision %d: %s", o.Revision, o.Error)
	}
}
