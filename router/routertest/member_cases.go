package routertest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// What a generation relies on whose instances come and go. Each member is a backend that answers with a number of its
// own in place of the generation's, so that one that left shows as stale.

// memberLoad is steady, and asks for answers that take their time.
var memberLoad = Load{KeepAlive: 4, Fresh: 2, SlowEvery: 25}

// followed is the generation with these members, as they were recorded at that time.
func (r *rig) followed(number, at int, members ...int) rollout.Generation {
	r.Helper()
	g := rollout.Generation{Environment: r.spec.Environment, Number: number, MembersAt: membersAt(at)}
	for _, svc := range r.spec.Services {
		group := rollout.Group{Service: svc.Name}
		for _, m := range members {
			if r.backends[m] == nil {
				r.backends[m] = NewBackend(r, m)
			}
			group.Instances = append(group.Instances, r.backends[m].Instance(fmt.Sprintf("%s-%d", svc.Name, m)))
		}
		g.Groups = append(g.Groups, group)
	}
	return g
}

// membersAt is a time of a database, in microseconds.
func membersAt(at int) time.Time { return time.Unix(1_800_000_000, int64(at)*1000).UTC() }

func (r *rig) tryMembers(route rollout.Route, g rollout.Generation) error {
	return r.Router.Stage(r.ctx, router.Fence{Revision: route.Revision, Term: 1}, route, g)
}

// members stages the generation with other members. From its return on, those that left get no more requests if carries.
func (r *rig) members(route rollout.Route, g rollout.Generation, carries bool, members ...int) {
	r.Helper()
	f := Flip{Begun: time.Now(), Weights: shares(members)}
	if err := r.tryMembers(route, g); err != nil {
		r.Fatalf("stage generation %d with members %v: %v", g.Number, members, err)
	}
	f.Applied = time.Now()
	if carries {
		r.flips = append(r.flips, f)
	}
}

func shares(members []int) map[int]int {
	out := map[int]int{}
	for _, m := range members {
		out[m] = 1
	}
	return out
}

// carry applies the route that gives all weight to the generation, which has these members.
func (r *rig) carry(revision int64, number int, members ...int) {
	r.Helper()
	f := Flip{Begun: time.Now(), Weights: shares(members)}
	if err := r.tryApply(r.route(revision, all(number))); err != nil {
		r.Fatalf("apply revision %d: %v", revision, err)
	}
	f.Applied = time.Now()
	r.flips = append(r.flips, f)
}

// answer checks that each of the members answers requests, and nobody else does.
func (r *rig) answer(members ...int) {
	r.Helper()
	seen := map[int]bool{}
	r.eventually(fmt.Sprintf("members %v answer", members), func() bool {
		a := r.ask(host)
		if a.Err != nil || !slices.Contains(members, a.Generation) {
			r.Fatalf("answered by member %d (%v), want %v", a.Generation, a.Err, members)
		}
		seen[a.Generation] = true
		return len(seen) == len(members)
	})
}

// openOnMember begins a long answer of that member.
func (r *rig) openOnMember(member int) opened {
	r.Helper()
	for range 200 {
		o := r.openAnswer("/slow")
		if o.by == member {
			return o
		}
		o.release()
		o.close()
	}
	r.Fatalf("member %d answers nothing", member)
	return opened{}
}

// unedited checks that the node is at the revision, with nothing to complain about.
func (r *rig) unedited(revision int64, number int, staged ...int) {
	r.Helper()
	r.holds(revision, all(number))
	if o := r.observe(); len(o.Edits) > 0 || !slices.Equal(o.Staged, staged) {
		r.Errorf("staged %v, want %v, edited: %v", o.Staged, staged, o.Edits)
	}
}

func (r *rig) clean(v Verdict, members ...int) {
	r.Helper()
	for _, m := range members {
		if v.By[m] == 0 {
			r.Errorf("member %d got no request", m)
		}
	}
	if !v.Clean() {
		r.Errorf("%v", v)
	}
}

// memberReplaced: one of three, while they carry all traffic and it is at work on a long answer.
func memberReplaced(r *rig) {
	route := r.route(1, all(1))
	r.members(r.route(0, nil), r.followed(1, 1, 11, 12, 13), false, 11, 12, 13)
	r.carry(1, 1, 11, 12, 13)
	r.answer(11, 12, 13)
	var under opened
	if !r.Signpost {
		under = r.openOnMember(12)
		defer under.close()
	}
	v := r.traffic(memberLoad, 1500, func(t *Traffic) {
		r.eventually("traffic", func() bool { return t.Count() > 200 })
		r.members(route, r.followed(1, 2, 11, 14, 13), true, 11, 14, 13)
	})
	r.clean(v, 11, 12, 13, 14)
	r.unedited(1, 1, 1)
	if !r.Signpost && !under.release() {
		r.Error("the open answer of the member that left did not end well")
	}
	r.backends[12].Close()
	r.answer(11, 13, 14)
	r.members(route, r.followed(1, 2, 11, 14, 13), true, 11, 14, 13) // again, to no effect
	r.clean(r.traffic(memberLoad, 200, func(*Traffic) {}), 11, 13, 14)
	r.unedited(1, 1, 1)
}

func membersGrowAndShrink(r *rig) {
	route := r.route(1, all(1))
	r.members(r.route(0, nil), r.followed(1, 1, 11, 12), false, 11, 12)
	r.carry(1, 1, 11, 12)
	v := r.traffic(memberLoad, 1500, func(t *Traffic) {
		more := func() {
			enough := t.Count() + 300
			r.eventually("traffic", func() bool { return t.Count() >= enough })
		}
		more()
		r.members(route, r.followed(1, 2, 11, 12, 13, 14, 15), true, 11, 12, 13, 14, 15)
		r.answer(11, 12, 13, 14, 15)
		r.unedited(1, 1, 1)
		more()
		r.members(route, r.followed(1, 3, 13), true, 13)
		r.answer(13)
		r.unedited(1, 1, 1)
		more()
	})
	r.clean(v, 11, 12, 13, 14, 15)
}

func membersAllReplaced(r *rig) {
	route := r.route(1, all(1))
	r.members(r.route(0, nil), r.followed(1, 1, 11, 12), false, 11, 12)
	r.carry(1, 1, 11, 12)
	v := r.traffic(memberLoad, 1500, func(t *Traffic) {
		r.eventually("traffic", func() bool { return t.Count() > 300 })
		r.members(route, r.followed(1, 2, 13, 14), true, 13, 14)
		r.answer(13, 14)
	})
	r.clean(v, 11, 12, 13, 14)
	r.unedited(1, 1, 1)
	r.backends[11].Close()
	r.backends[12].Close()
	r.clean(r.traffic(memberLoad, 200, func(*Traffic) {}), 13, 14)
}

// membersChangeUnweighted: a generation that waits for its promotion, or for a rollback to it.
func membersChangeUnweighted(r *rig) {
	r.members(r.route(0, nil), r.followed(1, 1, 11), false, 11)
	r.members(r.route(0, nil), r.followed(2, 1, 21, 22), false, 21, 22)
	r.carry(1, 1, 11)
	r.members(r.route(1, all(1)), r.followed(2, 2, 23, 22), false, 23, 22)
	r.answer(11)
	r.unedited(1, 1, 1, 2)
	r.carry(2, 2, 22, 23)
	r.answer(22, 23)
	r.members(r.route(2, all(2)), r.followed(1, 2, 12, 13), false, 12, 13) // all of a standby's
	r.answer(22, 23)
	r.carry(3, 1, 12, 13)
	r.answer(12, 13)
	r.clean(r.traffic(memberLoad, 200, func(*Traffic) {}), 12, 13)
	r.unedited(3, 1, 1, 2)
}

func membersAfterRestart(r *rig) {
	if r.Restart == nil {
		r.Skip("this load balancer cannot be restarted here")
	}
	r.members(r.route(0, nil), r.followed(1, 1, 11, 12, 13), false, 11, 12, 13)
	r.members(r.route(0, nil), r.followed(2, 1, 21), false, 21)
	r.carry(1, 1, 11, 12, 13)
	r.members(r.route(1, all(1)), r.followed(1, 2, 11, 14), true, 11, 14)
	r.members(r.route(1, all(1)), r.followed(2, 2, 22, 23), false, 22, 23)
	r.Router = r.Restart()
	r.answer(11, 14)
	r.unedited(1, 1, 1, 2)
	r.late(r.route(1, all(1)), r.followed(1, 1, 11, 12, 13)) // what is known of the members is durable
	r.answer(11, 14)
	r.carry(2, 2, 22, 23)
	r.answer(22, 23)
	r.unedited(2, 2, 1, 2)
}

// late stages members of an earlier time.
func (r *rig) late(route rollout.Route, g rollout.Generation) {
	r.Helper()
	if err := r.tryMembers(route, g); err != nil && !errors.Is(err, router.ErrStale) {
		r.Errorf("members of an earlier time: %v", err)
	}
}

func lateMembersAreRefused(r *rig) {
	r.members(r.route(0, nil), r.followed(1, 1, 11, 12), false, 11, 12)
	r.members(r.route(0, nil), r.followed(2, 1, 21), false, 21)
	r.carry(1, 1, 11, 12)
	r.members(r.route(1, all(1)), r.followed(1, 3, 11, 13), true, 11, 13)
	r.members(r.route(1, all(1)), r.followed(2, 3, 22), false, 22)
	for _, at := range []int{1, 2} {
		r.late(r.route(1, all(1)), r.followed(1, at, 11, 12))
		r.late(r.route(1, all(1)), r.followed(2, at, 21))
		r.answer(11, 13)
		r.unedited(1, 1, 1, 2)
	}
	r.carry(2, 2, 22)
	r.answer(22)
	r.members(r.route(2, all(2)), r.followed(2, 4, 24), true, 24) // and it is not stuck
	r.answer(24)
}

// formerMembersAreDrained: what is open on a member that left counts as the generation's, and is cut with the rest.
func formerMembersAreDrained(r *rig) {
	r.carries()
	r.spec.Drain = rollout.Duration(500 * time.Millisecond)
	r.members(r.route(0, nil), r.followed(1, 1, 11, 12), false, 11, 12)
	r.members(r.route(0, nil), r.followed(2, 1, 21), false, 21)
	r.carry(1, 1, 11, 12)
	under := r.openOnMember(12)
	defer under.close()
	r.members(r.route(1, all(1)), r.followed(1, 2, 11), true, 11)
	if d, ok := r.Router.(router.Drainer); ok {
		if n, err := d.InFlight(r.ctx, "shop", 1); err != nil || n != 1 {
			r.Errorf("%d open (%v), want the one on the member that left", n, err)
		}
	}
	begun := time.Now()
	r.carry(2, 2, 21)
	if n := r.openOn(1); n != 1 && time.Since(begun) < 400*time.Millisecond {
		r.Errorf("%d open on the generation without weight, want 1", n)
	}
	r.eventually("the drain", func() bool { return r.openOn(1) == 0 })
	if under.release() {
		r.Error("what was open on the member that left outlasted the drain")
	}
	if err := r.Router.Remove(r.ctx, router.Fence{Revision: 2, Term: 1}, "shop", 1); err != nil {
		r.Errorf("remove: %v", err)
	}
	r.answer(21)
}
