package e2e

import (
	"encoding/json"
	"syscall"
	"testing"
	"time"

	"viridian/client"
	"viridian/registry/consultest"
)

// TestProveConsulFollowStale stops the replica that has seen other members, right before it stages them, for longer than
// its lease. The other one takes over, members go on coming and going, and the first one wakes up: older members never
// come back.
func TestProveConsulFollowStale(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newMeshLab(t, consultest.Dev(t))
	sleeper, other := l.replica("a"), l.replica("b")
	sleeper.start("stage.before=sleep(300ms)") // so that it is stopped before it stages
	sleeper.ready()
	s := &followed{meshShop: l.shop(sleeper, "shop", "kv", "mesh"), nodes: 2}
	one := s.follow("1812")
	for range 3 {
		s.join(one)
	}
	s.becomes(one.number, client.GenerationStateReady)
	s.promote(one.number)
	other.start("")
	other.ready()
	rounds, looks := count(1, 20), 0
	for range rounds {
		other.kill()
		s.shop.replica = sleeper
		s.eventually("the sleeper has the lease", func() bool { return s.leaseHolder() == sleeper.name })
		s.is("the sleeper is at work", one)
		other.start("")
		other.ready()
		stop := s.watchMembers()
		since := s.number(`SELECT (extract(epoch FROM since) * 1000000)::bigint FROM membership WHERE environment = $1`, s.name)
		s.join(one)
		s.eventually("the sleeper has recorded it", func() bool {
			return s.number(`SELECT (extract(epoch FROM since) * 1000000)::bigint FROM membership WHERE environment = $1`, s.name) > since
		})
		if err := sleeper.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		s.shop.replica = other
		s.is("the other one has taken over", one)
		end := s.leave(one, one.oldest())
		s.is("one has left", one)
		s.replace(one)
		if err := sleeper.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		within(2*time.Second, func() bool { return false }) // it does what it still wants to
		back, seen := stop()
		looks += seen
		if back > 0 || seen == 0 {
			t.Errorf("in %d looks the members went back %d times", seen, back)
		}
		s.is("the sleeper is awake", one)
		end()
	}
	s.audit()
	report(t, "%d times a replica was stopped before it staged members, for longer than its lease, and woke up to other ones: %d looks at the key, none older; %v", rounds, looks, since(began))
}

// watchMembers reads over and over of when the published members are, until stop is called, which tells how often they
// became older.
func (s *followed) watchMembers() (stop func() (back, seen int)) {
	done, ended := make(chan struct{}), make(chan struct{})
	back, seen := 0, 0
	go func() {
		defer close(ended)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		var newest time.Time
		for {
			pair, _, err := s.lab.admin.KV().Get("viridian/shop/route", nil)
			var route struct {
				Groups []struct {
					At time.Time `json:"members_at"`
				}
			}
			if err == nil && pair != nil && json.Unmarshal(pair.Value, &route) == nil && len(route.Groups) > 0 {
				seen++
				if at := route.Groups[0].At; at.Before(newest) {
					back++
				} else {
					newest = at
				}
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() (int, int) {
		close(done)
		<-ended
		return back, seen
	}
}
