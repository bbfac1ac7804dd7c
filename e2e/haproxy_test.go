package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"viridian/client"
	"viridian/router/routertest"
)

// TestProveHAProxyFleet drives three real HAProxies by two replicas. Under load every flip is clean on each of them, and
// none ever goes back to an earlier revision; one that is paused, killed or changed by hand is noticed, holds up what the
// policy says and nothing else, and ends up at the newest route.
func TestProveHAProxyFleet(t *testing.T) {
	t.Parallel()
	for _, required := range []string{"all", "quorum"} {
		t.Run(required, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			f := newFleet(t, required)
			var stops []func() ([]string, int)
			for _, b := range f.balancers {
				stops = append(stops, b.watch("shop"))
			}
			flips := count(8, 120)
			traffic := f.load()
			c := &cycle{shop: f.shop}
			for i := range flips {
				f.through(i % 2)
				c.next()
			}
			requests := f.clean(traffic)
			f.inSync("every HAProxy at the route")
			told := f.paused(required) + ", " + f.killed(required)
			looks := 0
			for i, stop := range stops {
				back, seen := stop()
				looks += seen
				if len(back) > 0 || seen == 0 {
					t.Errorf("%s went back in %d looks: %s", f.balancers[i].name, seen, strings.Join(back, ", "))
				}
			}
			edits := f.edited()
			f.audit()
			report(t, "%d flips on 3 HAProxies by 2 replicas, %d requests: 0 failed, 0 stale; %d looks at revisions, none went back; %s; %s; %v",
				flips, requests, looks, told, edits, since(began))
		})
	}
}

// tryPromote makes the generation live, and says how the API answered. Where all are required that takes its timeout.
func (f *fleet) tryPromote(number int, required string) (status int, s client.Switch) {
	f.Helper()
	res, err := f.client.PromoteGenerationWithResponse(f.Context(), f.name, number, &client.PromoteGenerationParams{Timeout: ptr(awaited[required])}, client.PromoteRequest{})
	switch {
	case err == nil && res.JSON200 != nil:
		return 200, *res.JSON200
	case err == nil && res.JSON202 != nil:
		return 202, *res.JSON202
	}
	f.Fatalf("promote generation %d: %v %s", number, err, body(res))
	return 0, s
}

// awaited is how long the answer to a switch is waited for that one HAProxy does not follow.
var awaited = map[string]string{"all": "1s", "quorum": "30s"}

func (f *fleet) tryRollback(from int, required string) (status int, s client.Switch) {
	f.Helper()
	res, err := f.client.RollbackWithResponse(f.Context(), f.name, &client.RollbackParams{Timeout: ptr(awaited[required])}, client.RollbackRequest{From: &from})
	switch {
	case err == nil && res.JSON200 != nil:
		return 200, *res.JSON200
	case err == nil && res.JSON202 != nil:
		return 202, *res.JSON202
	}
	f.Fatalf("roll back from generation %d: %v %s", from, err, body(res))
	return 0, s
}

// answered checks that a switch which one HAProxy did not follow is answered as the policy says: with all required it is
// only committed, and with a quorum it is applied, and degraded.
func (f *fleet) answered(required string, status int, s client.Switch) {
	f.Helper()
	all := required == "all"
	if (status == 202) != all || (s.Status == client.SwitchStatusCommitted) != all || s.Degraded == all {
		f.Errorf("with one of three away and %s required: status %d, switch %d %s, degraded %v", required, status, s.Revision, s.Status, s.Degraded)
	}
}

// paused stops one HAProxy for as long as a promote takes, and lets it go on.
func (f *fleet) paused(required string) string {
	f.Helper()
	number, lb := f.candidate(), f.balancers[2]
	lb.signal(syscall.SIGSTOP)
	began := time.Now()
	status, s := f.tryPromote(number, required)
	f.answered(required, status, s)
	for _, b := range f.balancers[:2] {
		f.answers(b, number)
	}
	lb.signal(syscall.SIGCONT)
	f.answers(lb, number)
	back := f.inSync("the paused one is back")
	return fmt.Sprintf("one paused for %v: %d, followed %v after it went on", time.Since(began).Round(10*time.Millisecond), status, back.Round(10*time.Millisecond))
}

// killed ends one HAProxy by SIGKILL, rolls back without it, and starts it again.
func (f *fleet) killed(required string) string {
	f.Helper()
	lb := f.balancers[1]
	live := *f.route().Live
	f.eventually("a rollback has somewhere to go", func() bool { return f.route().Rollback.Ready })
	lb.kill()
	status, s := f.tryRollback(live, required)
	f.answered(required, status, s)
	for _, b := range []*balancer{f.balancers[0], f.balancers[2]} {
		f.answers(b, *s.To)
	}
	if r := f.receipt(lb); r.State == client.ReceiptStateInSync || r.Error == "" {
		f.Errorf("the receipt of the one that is gone: %+v", r)
	}
	lb.boot()
	back := f.answers(lb, *s.To)
	f.inSync("the killed one is back")
	return fmt.Sprintf("one killed: %d, the newest route %v after its start", status, back.Round(10*time.Millisecond))
}

// edited changes by hand what an HAProxy does, in several ways, and waits until it does again what it should.
func (f *fleet) edited() string {
	f.Helper()
	lb := f.balancers[0]
	older, err := lb.entry("shop")
	if err != nil {
		f.Fatal(err)
	}
	live := f.candidate()
	f.promote(live)
	f.inSync("before the edits")
	file := lb.path("viridian.map")
	var slowest time.Duration
	edits := []string{
		"set map " + file + " env/shop " + older,   // back to what it was
		"del map " + file + " env/shop",            // nothing is known of the environment any more
		"clear map " + file,                        // nor of any host
		"set map " + file + " env/shop 0|0|0|0",    // as if there had never been a route
		"set map " + file + " env/shop nonsense|1", // what Viridian never writes
		"set server viridian.shop.web.1/s1 state maint;set server viridian.shop.web.2/s1 state maint;set server viridian.shop.web.3/s1 state maint;set server viridian.shop.web.4/s1 state maint",
	}
	for _, edit := range edits {
		if answer, err := lb.tell(edit); err != nil || strings.TrimSpace(answer) != "" {
			f.Fatalf("%s: %v %s", edit, err, answer)
		}
		began := time.Now()
		f.answers(lb, live)
		slowest = max(slowest, time.Since(began))
		f.inSync("after " + edit)
	}
	if slowest > noticeTime {
		f.Errorf("the slowest of %d edits by hand was undone after %v", len(edits), slowest)
	}
	return fmt.Sprintf("%d edits by hand undone, the slowest in %v", len(edits), slowest.Round(10*time.Millisecond))
}

// noticeTime is how long an edit by hand may last: 1 s, and more where other tests keep the machine busy.
var noticeTime = time.Duration(count(10, 1)) * time.Second

// TestProveHAProxyStaleReplica stops a replica in the middle of telling HAProxies a route, for longer than its lease. The
// other one takes over, goes on to a newer route, and the first one wakes up: no HAProxy goes back.
func TestProveHAProxyStaleReplica(t *testing.T) {
	t.Parallel()
	began := time.Now()
	f := newFleet(t, "all")
	candidate := f.candidate()
	sleeper, other := f.replicas[0], f.replicas[1]
	sleeper.kill()
	sleeper.start("apply.before=sleep(400ms)") // so that it is stopped before its writes
	sleeper.ready()
	rounds, requests := count(1, 20), 0
	for range rounds {
		other.kill()
		f.through(0).eventually("the sleeper has the lease", func() bool { return f.leaseHolder() == sleeper.name })
		other.start("")
		other.ready()
		if f.generation(candidate).State == client.GenerationStateRejected {
			f.validate(candidate)
		}
		f.eventually("the candidate can be promoted", func() bool { return f.promotable(candidate) })
		var stops []func() ([]string, int)
		for _, b := range f.balancers {
			stops = append(stops, b.watch("shop"))
		}
		traffic := f.load()
		at := time.Now()
		res, err := f.client.PromoteGenerationWithResponse(t.Context(), f.name, candidate, &client.PromoteGenerationParams{Wait: ptr(client.WaitCommitted)}, client.PromoteRequest{})
		if err != nil || res.JSON200 == nil {
			t.Fatalf("promote: %v %s", err, body(res))
		}
		if err := sleeper.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		f.through(1).eventually("the other one has applied it", func() bool { return f.route().Switch.Status == client.SwitchStatusApplied })
		f.flips = append(f.flips, routertest.Flip{Begun: at, Applied: time.Now(), Weights: map[int]int{candidate: 100}})
		back := f.rollback(candidate)
		if err := sleeper.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		within(2*time.Second, func() bool { return false }) // it does what it still wants to
		requests += f.clean(traffic)
		for i, stop := range stops {
			if back, seen := stop(); len(back) > 0 || seen == 0 {
				t.Errorf("%s went back: %s", f.balancers[i].name, strings.Join(back, ", "))
			}
		}
		for _, b := range f.balancers {
			if at, err := b.revision("shop"); err != nil || at != back.Revision {
				t.Errorf("%s is at revision %d (%v), want %d", b.name, at, err, back.Revision)
			}
		}
	}
	f.audit()
	report(t, "%d times a replica was stopped before its writes, for longer than its lease, and woke up to a newer route: %d requests, 0 failed, 0 stale, no HAProxy went back; %v",
		rounds, requests, since(began))
}
