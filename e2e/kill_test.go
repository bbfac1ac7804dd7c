package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"viridian/client"
	"viridian/failpoint"
)

// killAt says at which failpoints the program is killed on the way of each command. The first own of them are the
// command's own; the others lie on the way of another one too, and are left out with small counts.
var killAt = map[string]struct {
	own   int
	names []failpoint.Name
}{
	"promote": {8, []failpoint.Name{
		failpoint.PromoteDecided, failpoint.PromoteCommitted, failpoint.ApplyBefore, failpoint.ApplySwapped,
		failpoint.StateFileTemp, failpoint.ApplyPersisted, failpoint.ApplyRecorded, failpoint.LeaseClaimed,
	}},
	"rollback": {2, []failpoint.Name{
		failpoint.RollbackDecided, failpoint.RollbackCommitted, failpoint.ApplyBefore, failpoint.ApplySwapped,
		failpoint.StateFileTemp, failpoint.ApplyPersisted, failpoint.ApplyRecorded, failpoint.LeaseClaimed,
	}},
	"retire": {8, []failpoint.Name{
		failpoint.RetireDecided, failpoint.RetireCommitted, failpoint.RemoveBefore, failpoint.RemoveActed,
		failpoint.RemoveRecorded, failpoint.DeregisterBefore, failpoint.DeregisterActed, failpoint.DeregisterRecorded,
		failpoint.StateFileTemp,
	}},
	"register": {8, []failpoint.Name{
		failpoint.RegisterBefore, failpoint.RegisterActed, failpoint.RegisterRecorded, failpoint.StageBefore,
		failpoint.StageActed, failpoint.StageRecorded, failpoint.SettleDecided, failpoint.SettleCommitted,
	}},
}

// TestProveKill_CoversEveryFailpoint fails when a failpoint was added that no scenario kills at.
func TestProveKill_CoversEveryFailpoint(t *testing.T) {
	t.Parallel()
	covered := map[failpoint.Name]bool{}
	for _, at := range killAt {
		for _, name := range at.names[:count(at.own, len(at.names))] {
			covered[name] = true
		}
	}
	for _, name := range failpoint.Names() {
		if !covered[name] {
			t.Errorf("nothing is killed at %s", name)
		}
	}
}

// TestProveKill kills the program at every failpoint on the way of a command. The next run reaches the committed
// route, and a client that repeats its command with the same key gets the one answer to it.
func TestProveKill(t *testing.T) {
	t.Parallel()
	for command, at := range killAt {
		names := at.names[:count(at.own, len(at.names))]
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			l := newLab(t)
			l.timing.leaseTTL, l.timing.callTimeout = 600*time.Millisecond, 1500*time.Millisecond // a retirement waits for both
			r := l.replica("a")
			r.start("")
			r.ready()
			k := &victim{shop: r.shop("shop")}
			k.promote(k.candidate())
			k.second = k.candidate()
			for range count(1, 3) {
				for _, name := range names {
					k.killDuring(k.command(command), name)
				}
			}
			k.audit()
			k.generationsOnce()
			k.eventsWithoutGap()
			report(t, "killed -9 %d times at %d failpoints of %s, and %d times at a start: each retry got the one answer, and the committed route within %v; %v",
				k.kills, len(names), command, k.startKills, k.slowest.Round(time.Millisecond), since(began))
		})
	}
}

// victim is a shop whose replica is killed. Generation 1 is live and second is ready, or live.
type victim struct {
	*shop
	second     int
	leaving    int // the generation that retires next
	coming     int // the number of the generation that is registered next
	keys       int
	kills      int           // on the way of a command
	startKills int           // before a command could be sent
	slowest    time.Duration // from the start of the next run until the committed route served
}

// routeTime is how long the run after a kill may take from its start until the committed route serves: 5 s, and more
// where other tests keep the machine busy.
var routeTime = time.Duration(count(20, 5)) * time.Second

// killDuring kills the program at the failpoint on the way of the command, and checks what comes after. A start of
// the program may pass the failpoint too: then a later hit is tried.
func (k *victim) killDuring(c command, name failpoint.Name) {
	k.Helper()
	hit := 1
	for range 60 { // a start stages every generation that may serve, and they grow in number
		c.prepare()
		before := k.route()
		k.kill()
		k.start(fmt.Sprintf("%s=kill@%d", name, hit))
		if !k.started(c) {
			k.startKills++
			hit++
			k.checkKilled(name)
			k.restart(before)
			if now := k.route(); now.Revision != before.Revision {
				k.Fatalf("%s: revision %d after a kill at the start, want %d", name, now.Revision, before.Revision)
			}
			continue
		}
		k.keys++
		key := fmt.Sprintf("%s-%d", c.name, k.keys)
		first := k.send(c, key, name)
		if !k.gone() { // this time its start came by less often
			k.kill()
			k.restart(before)
			k.once(c, key, before, first)
			if hit--; hit == 0 {
				k.Fatalf("a %s does not come by %s", c.name, name)
			}
			continue
		}
		k.kills++
		k.checkKilled(name)
		k.restart(before)
		k.checkCommitted(name, before.Revision)
		k.once(c, key, before, first)
		return
	}
	k.Errorf("no %s was killed at %s", c.name, name)
}

// started waits until the run can take the command and has put itself in order, and so is likely to have passed the
// failpoints of a start. It is false when the run was killed before that.
func (k *victim) started(c command) bool {
	k.Helper()
	done := within(patience, func() bool { return k.gone() || (k.status("/readyz") == http.StatusOK && k.inOrder() && c.possible()) })
	if !done {
		k.Fatalf("the run is not ready for a %s", c.name)
	}
	return !k.gone()
}

func (k *victim) checkKilled(name failpoint.Name) {
	k.Helper()
	if !k.killed() {
		k.Fatalf("the run that was to be killed at %s ended so: %v", name, k.cmd.ProcessState)
	}
}

// checkCommitted checks where the failpoints around a command's commit lie: what was committed is there after the kill,
// and what was only decided is not.
func (k *victim) checkCommitted(name failpoint.Name, before int64) {
	k.Helper()
	want := before
	switch name {
	case failpoint.PromoteDecided, failpoint.RollbackDecided:
	case failpoint.PromoteCommitted, failpoint.RollbackCommitted:
		want++
	default:
		return
	}
	if now := k.route().Revision; now != want {
		k.Errorf("after a kill at %s the route is at revision %d, want %d", name, now, want)
	}
}

// send sends the command and waits until the run is killed, or everything that comes of the command has come, other
// than what comes again and again. It returns the answer, if there was one.
func (k *victim) send(c command, key string, name failpoint.Name) *answer {
	k.Helper()
	var got *answer
	recurs := name == failpoint.LeaseClaimed
	if !within(patience, func() bool {
		if got == nil {
			got, _ = c.ask(key)
		}
		return k.gone() || (got != nil && !recurs && c.finished(*got))
	}) {
		k.Fatalf("a %s neither ends nor is the run killed", c.name)
	}
	within(time.Second, k.gone) // the kill may come right after what was waited for
	return got
}

// restart runs the program again, without failpoints, and checks that it reaches the committed route in time. Before
// that only what the route was before the kill may answer.
func (k *victim) restart(before client.Route) {
	k.Helper()
	begun := time.Now()
	k.start("")
	k.ready()
	committed := k.route()
	reached := func() bool {
		generation, status := k.ask()
		if generation != *before.Live && generation != *committed.Live {
			k.Fatalf("after a kill, a request is answered by generation %d with status %d; live is %d and was %d",
				generation, status, *committed.Live, *before.Live)
		}
		return generation == *committed.Live && k.inOrder()
	}
	k.eventually("the committed route after a kill", reached)
	took := time.Since(begun)
	if took > routeTime {
		k.Errorf("the committed route served %v after the start, want at most %v", took, routeTime)
	}
	k.slowest = max(k.slowest, took)
}

// once repeats the command with its key until it is answered, and once more, and checks that it has happened once.
// first is what was answered before the kill, or nil.
func (k *victim) once(c command, key string, before client.Route, first *answer) {
	k.Helper()
	got := k.retry(c, key)
	if first != nil && *first != got {
		k.Errorf("a %s was answered with %+v, and its repeat with %+v", c.name, *first, got)
	}
	if again := k.retry(c, key); again != got {
		k.Errorf("a %s was answered with %+v, and its second repeat with %+v", c.name, got, again)
	}
	k.eventually("the "+c.name+" comes to its end", func() bool { return c.finished(got) })
	want := before.Revision
	if c.flips {
		want++
	}
	now := k.route()
	if now.Revision != want || (c.flips && got.Revision != want) {
		k.Errorf("a %s was answered with %+v and led to revision %d, want %d", c.name, got, now.Revision, want)
	}
	k.soon("the route after a repeat", routeTime, func() bool { generation, _ := k.ask(); return generation == *now.Live })
}

func (k *victim) retry(c command, key string) answer {
	k.Helper()
	var got *answer
	var problem string
	if !within(patience, func() bool { got, problem = c.ask(key); return got != nil }) {
		k.Fatalf("a %s is not answered: %s", c.name, problem)
	}
	return *got
}

// generationsOnce checks that nothing happened to a generation twice that happens once.
func (k *victim) generationsOnce() {
	k.Helper()
	told := map[string]int{}
	for _, e := range k.events() {
		if e.Generation != nil {
			told[fmt.Sprintf("%s %d", e.Kind, *e.Generation)]++
		}
	}
	for n := 1; n <= k.last; n++ {
		for _, kind := range []string{"generation.registered", "generation.retiring", "generation.retired"} {
			if times := told[fmt.Sprintf("%s %d", kind, n)]; times > 1 || (kind == "generation.registered" && times == 0) {
				k.Errorf("event %s of generation %d is there %d times", kind, n, times)
			}
		}
	}
}

// eventsWithoutGap checks that the audit log of the whole installation counts up from its first event.
func (k *victim) eventsWithoutGap() {
	k.Helper()
	after := int64(0)
	for {
		res, err := k.client.ListEventsWithResponse(k.Context(), &client.ListEventsParams{After: &after, Limit: ptr(200)})
		if err != nil || res.JSON200 == nil {
			k.Fatalf("list events: %v %s", err, body(res))
		}
		for _, e := range res.JSON200.Items {
			if e.Id != after+1 {
				k.Errorf("event %d follows event %d", e.Id, after)
			}
			after = e.Id
		}
		if res.JSON200.NextCursor == nil {
			return
		}
	}
}
