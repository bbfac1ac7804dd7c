package store_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"viridian/rollout"
	"viridian/store"
)

// instances at one address; ids are of their ports.
func instances(address string, ports ...int) (out []rollout.Instance) {
	for _, port := range ports {
		out = append(out, rollout.Instance{ID: fmt.Sprint("i", port), Address: address, Port: port, Meta: map[string]string{"consul-node": "n"}})
	}
	return out
}

// following is an environment with a generation of three groups, of which the one in the middle is followed.
func (w *world) following(name, address string) (number int) {
	w.Helper()
	w.do(name, create(name, spec(w, `{"registry": "consul", "services": [{"name": "api"}, {"name": "web"}, {"name": "zoo"}]}`)))
	follow := &rollout.Adoption{Service: "web", Expect: 3, Timeout: rollout.DefaultAdoptionTimeout, Membership: rollout.Follow}
	number = w.do(name, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Register(rollout.RegisterCommand{Actor: alice, Version: "1", Groups: []rollout.Group{
			{Service: "api", Instances: instances(address, 1, 2)}, {Service: "web", Consul: follow}, {Service: "zoo", Instances: instances(address, 3)}}}, now)
	}).Generation
	w.do(name, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Adopt(rollout.AdoptCommand{Generation: number, Groups: []rollout.Group{{Service: "web", Instances: instances(address, 80, 81, 82)}}}, now)
	})
	return number
}

// become records that the followed group has these members.
func (w *world) become(name string, number int, members []rollout.Instance) error {
	g := must(w.Generation(w.Context(), name, number))
	now := []rollout.Group{{Service: "web", Instances: members}}
	seen, _, _ := rollout.NextMembers(g.Groups, now, nil, nil)
	seen.Generation, seen.Since = number, g.MembersAt
	_, err := w.Record(w.Context(), name, 0, rollout.Facts{Members: []rollout.MembersSeen{seen}})
	return err
}

func (w *world) groups(name string, number int) map[string][]rollout.Instance {
	out := map[string][]rollout.Instance{}
	for _, group := range must(w.Generation(w.Context(), name, number)).Groups {
		if out[group.Service] != nil {
			w.Errorf("service %s comes in two parts", group.Service)
		}
		out[group.Service] = group.Instances
	}
	return out
}

// Members come and go, in their order, with their claims; what was listed stays, and so does the list that was adopted.
func TestMembership(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.following("shop", "10.0.0.1")
	adopted := must(w.Generation(t.Context(), "shop", n))
	if adopted.MembersAt.IsZero() || adopted.Sizes["web"] != 3 {
		t.Errorf("adopted as %+v", adopted)
	}
	last := adopted.MembersAt
	for _, members := range [][]rollout.Instance{
		instances("10.0.0.1", 80, 83, 82), instances("10.0.0.1", 80, 83, 82, 84, 85, 86, 87), instances("10.0.0.2", 80), instances("10.0.0.1", 80),
	} {
		w.must(w.become("shop", n, members))
		want := map[string][]rollout.Instance{"api": instances("10.0.0.1", 1, 2), "web": members, "zoo": instances("10.0.0.1", 3)}
		if diff := cmp.Diff(want, w.groups("shop", n)); diff != "" {
			t.Errorf("members (-want +got):\n%s", diff)
		}
		e, _, err := w.Environment(t.Context(), "shop")
		w.must(err)
		g, _ := e.Generation(n)
		if diff := cmp.Diff(map[string]int{"api": 2, "web": len(members), "zoo": 1}, g.Sizes); diff != "" || !g.MembersAt.After(last) {
			t.Errorf("sizes (-want +got):\n%s\nsince %v, before %v", diff, g.MembersAt, last)
		}
		last = g.MembersAt
		if claims := w.count(`SELECT count(*) FROM instance_claim`); claims != 3+len(members) {
			t.Errorf("%d claims for %d members", claims, len(members))
		}
	}
	if kept := w.count(`SELECT count(*) FROM instance WHERE service = 'web' AND port IN (80, 81, 82) AND address = '10.0.0.1'`); kept != 3 {
		t.Errorf("%d of 3 instances are known as they were adopted", kept)
	}
	var events []string
	for _, e := range must(w.Events(t.Context(), store.EventFilter{Environments: []string{"shop"}})) {
		if e.Kind == rollout.EventGenerationMembers {
			events = append(events, fmt.Sprint(e.Data["size"], " ", e.Data["joined"], " ", e.Data["left"]))
		}
	}
	slices.Sort(events)
	want := []string{"1 [i80 10.0.0.1:80] [i80 10.0.0.2:80]", "1 [i80 10.0.0.2:80] [i80 10.0.0.1:80 i83 10.0.0.1:83 i82 10.0.0.1:82 i84 10.0.0.1:84 i85 10.0.0.1:85 i86 10.0.0.1:86 i87 10.0.0.1:87]",
		"3 [i83 10.0.0.1:83] [i81 10.0.0.1:81]", "7 [i84 10.0.0.1:84 i85 10.0.0.1:85 i86 10.0.0.1:86 i87 10.0.0.1:87] []"}
	slices.Sort(want)
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A staging says which members it was made with.
func TestMembership_IsStaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := w.following("shop", "10.0.0.1")
	w.must(w.Heartbeat(t.Context(), edge, 0))
	staging := w.staging("shop", n)
	staging.MembersAt = must(w.Generation(t.Context(), "shop", n)).MembersAt
	for range 2 {
		e := w.record("shop", rollout.Facts{Staged: []rollout.Staging{staging}})
		loaded, _, err := w.Environment(t.Context(), "shop")
		w.must(err)
		if diff := cmp.Diff(e.Stagings, loaded.Stagings, cmpopts.EquateApproxTime(0)); diff != "" || !loaded.Stagings[0].MembersAt.Equal(staging.MembersAt) {
			t.Errorf("stagings (-want +got):\n%s", diff)
		}
		staging.MembersAt = staging.MembersAt.Add(time.Second)
	}
}

// An instance that another generation has does not join, and says whose it is; what left is free for others.
func TestMembership_IsClaimed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n, other := w.following("shop", "10.0.0.1"), w.following("blog", "10.0.0.2")
	taken, err := w.Taken(t.Context(), "shop", n, append(instances("10.0.0.1", 80, 90), instances("10.0.0.2", 80, 90)...))
	w.must(err)
	if diff := cmp.Diff(map[string]string{"10.0.0.2:80": fmt.Sprintf("generation %d of environment blog", other)}, taken); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	before := w.groups("shop", n)
	wantCode(t, w.become("shop", n, instances("10.0.0.2", 80)), rollout.InstanceInUse)
	if diff := cmp.Diff(before, w.groups("shop", n)); diff != "" {
		t.Errorf("a refused change was made:\n%s", diff)
	}
	w.must(w.become("blog", other, instances("10.0.0.2", 81)))
	w.must(w.become("shop", n, instances("10.0.0.2", 80)))
	stale := rollout.MembersSeen{Generation: n, Since: time.Now().Add(-time.Hour), Was: []rollout.Group{{Service: "web"}}, Now: []rollout.Group{{Service: "web", Instances: instances("10.0.0.3", 1)}}}
	if e, err := w.Record(t.Context(), "shop", 0, rollout.Facts{Members: []rollout.MembersSeen{stale}}); err != nil || len(w.groups("shop", n)["web"]) != 1 || e.Generations == nil {
		t.Errorf("members that were compared with older ones: %v", errors.Join(err))
	}
}

// A restored database is recovered whatever became of the generations that are followed: of those that may not serve any
// more the members stay, and one that is validated again is staged again. So it is with one that fails by the same settling.
func TestMembership_SurvivesARecovery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	retiring, late := w.following("shop", "10.0.0.1"), w.following("blog", "10.0.0.2")
	w.must(w.Heartbeat(t.Context(), edge, 0))
	w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Retire(rollout.RetireCommand{Actor: alice, Generation: retiring}, now)
	})
	for environment, number := range map[string]int{"shop": retiring, "blog": late} {
		before := must(w.Generation(t.Context(), environment, number))
		e, _, err := w.Environment(t.Context(), environment)
		w.must(err)
		ahead := receiptOf(e)
		ahead.Revision = e.Revision + 8
		if environment == "blog" { // its time to be staged is long over
			if _, err := w.raw().Exec(t.Context(), `UPDATE generation SET checked = jsonb_set(checked, '{deadline}', to_jsonb(now() - interval '1 hour')) WHERE environment = 'blog'`); err != nil {
				t.Fatal(err)
			}
		}
		e, err = w.Record(t.Context(), environment, 0, rollout.Facts{Receipts: []rollout.Receipt{ahead}})
		if err != nil {
			t.Errorf("%s: the recovery is refused: %v", environment, err)
			continue
		}
		after := must(w.Generation(t.Context(), environment, number))
		if g, _ := e.Generation(number); e.Revision != ahead.Revision+1 || g.State.Holds() || !g.MembersAt.Equal(after.MembersAt) || !cmp.Equal(before.Groups, after.Groups) {
			t.Errorf("%s is at revision %d, generation %d %s with members of %v, and %v in the database", environment, e.Revision, number, g.State, g.MembersAt, after.MembersAt)
		}
		if claims := w.count(`SELECT count(*) FROM instance_claim WHERE environment = $1`, environment); claims != 0 {
			t.Errorf("%d claims of a generation that may not serve", claims)
		}
	}
}
