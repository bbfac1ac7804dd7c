package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"viridian/registry"
	"viridian/rollout"
)

// teamRegistry has instances that registered themselves, each named by a letter.
type teamRegistry struct {
	healthyRegistry
	mu      sync.Mutex
	ids     string
	away    bool          // it cannot be read
	changed chan struct{} // closed and replaced at each change
	slow    time.Duration // from the beginning of a watch to its first report
	says    string        // what instances say, and what the trouble is
}

func (r *teamRegistry) become(ids string, away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids, r.away = ids, away
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *teamRegistry) now() (instances []rollout.Instance, away bool, changed chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.ids {
		instances = append(instances, rollout.Instance{ID: string(id), Address: "10.0.0.1", Port: int(id)})
	}
	return instances, r.away, r.changed
}

func (r *teamRegistry) Find(context.Context, rollout.Adoption, string) (registry.Found, error) {
	instances, _, _ := r.now()
	return registry.Found{Passing: instances}, nil
}

func (r *teamRegistry) Watch(ctx context.Context, _ rollout.Spec, g rollout.Generation, report registry.Report) error {
	tick := time.NewTicker(1500 * time.Millisecond)
	defer tick.Stop()
	was := g.Groups[0]
	r.mu.Lock()
	slow, says := r.slow, r.says
	r.mu.Unlock()
	if slow > 0 {
		<-time.After(slow)
	}
	for {
		instances, away, changed := r.now()
		seen := registry.Seen{Trouble: fmt.Errorf("no leader%s", says)}
		if !away {
			seen = registry.Seen{Readings: []rollout.Reading{{Service: "web", Healthy: len(was.Instances), Total: len(was.Instances), Detail: says, Drift: says}}}
			if len(instances) > 0 && sortedIDs(instances) != sortedIDs(was.Instances) {
				seen.Members = []rollout.Group{{Service: "web", Instances: instances}}
			}
		}
		report(seen)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		case <-changed:
		}
	}
}

func idsOf(instances []rollout.Instance) (out string) {
	for _, in := range instances {
		out += in.ID
	}
	return out
}

func sortedIDs(instances []rollout.Instance) string {
	letters := strings.Split(idsOf(instances), "")
	slices.Sort(letters)
	return strings.Join(letters, "")
}

// follow is a replica with a live generation that follows the registry's instances, abc at first.
func follow(t *testing.T) (*replica, *teamRegistry) {
	t.Helper()
	team := &teamRegistry{healthyRegistry: healthyRegistry{announced: map[int]bool{}}, ids: "abc", changed: make(chan struct{})}
	r := startReplica(t, newMemory(nil), newNode("n1"), "first", nil, func(o *Options) {
		o.Registries = map[string]registry.Registry{"consul": team}
	})
	spec, err := rollout.ParseSpec([]byte(`{"registry": "consul", "services": [{"name": "web"}], "retention": {"drain": "0s"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.service.CreateEnvironment(t.Context(), rollout.PutCommand{Name: "shop", Spec: spec}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.service.RegisterGeneration(t.Context(), "shop", rollout.RegisterCommand{Version: "v", Promote: true, Groups: []rollout.Group{
		{Service: "web", Consul: &rollout.Adoption{Service: "web", Expect: 3, Timeout: rollout.DefaultAdoptionTimeout, Membership: rollout.Follow}}}}, nil); err != nil {
		t.Fatal(err)
	}
	within(t, time.Minute, "the generation is live", func() bool { return r.state(1) == rollout.Live })
	return r, team
}

func (r *replica) members() string {
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	return r.node.ids["shop1"]
}

func (r *replica) told(kind string) (out []rollout.Event) {
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	for _, e := range r.store.events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// Every change of members comes to the node, as one event; changes that come together are one; and nothing changes while
// nobody is there, or the registry is away.
func TestMembers_ComeToNodes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, team := follow(t)
		defer r.stop()
		revision := r.environment().Revision
		for i, c := range []struct{ now, want string }{{"abcd", "abcd"}, {"bcde", "ebcd"}, {"wxyz", "wxyz"}, {"yz", "zy"}, {"z", "z"}} {
			team.become(c.now, false)
			within(t, 5*time.Second, "the node has "+c.want, func() bool { return r.members() == c.want })
			within(t, 5*time.Second, "the node counts as staged", func() bool {
				ok, _ := r.environment().StagedEverywhere(1, time.Now())
				return ok
			})
			if n := len(r.told(rollout.EventGenerationMembers)); n != i+1 {
				t.Errorf("%d events after %d changes", n, i+1)
			}
		}
		for _, away := range []bool{false, true} {
			team.become("", away)
			<-time.After(10 * time.Second)
			synctest.Wait()
			if r.members() != "z" || len(r.told(rollout.EventGenerationMembers)) != 5 {
				t.Errorf("members are %s", r.members())
			}
		}
		began := time.Now()
		for i := range 100 {
			team.become("z"+string(rune('a'+i%20)), false)
			<-time.After(20 * time.Millisecond)
		}
		within(t, 5*time.Second, "the last change is there", func() bool { return sortedIDs(instancesOf(r.members())) == "tz" })
		if n := len(r.told(rollout.EventGenerationMembers)) - 5; n > 2+int(time.Since(began)/membersPause) {
			t.Errorf("%d changes in %s", n, time.Since(began))
		}
		if now := r.environment(); now.Revision != revision || r.state(1) != rollout.Live {
			t.Errorf("revision %d, was %d; generation 1 is %s", now.Revision, revision, r.state(1))
		}
	})
}

// A registry that came back empty takes no member away while those that register themselves come back; what stays away is
// let go.
func TestMembers_OutliveAnEmptyRegistry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, team := follow(t)
		defer r.stop()
		team.become("abcdef", false)
		within(t, 5*time.Second, "all are there", func() bool { return r.members() == "abcdef" })
		for _, now := range []string{"", "c", "cd", "acd", "abcdef"} {
			team.become(now, false)
			<-time.After(20 * time.Second)
			synctest.Wait()
			if r.members() != "abcdef" {
				t.Errorf("with %q back the members are %s", now, r.members())
			}
		}
		if n := len(r.told(rollout.EventGenerationMembers)); n != 1 {
			t.Errorf("%d changes", n)
		}
		team.become("b", false)
		<-time.After(lossPatience - 5*time.Second)
		synctest.Wait()
		if r.members() != "abcdef" {
			t.Errorf("before its time is over the members are %s", r.members())
		}
		within(t, 10*time.Second, "those that stay away are let go", func() bool { return r.members() == "b" })
	})
}

func instancesOf(ids string) (out []rollout.Instance) {
	for _, id := range ids {
		out = append(out, rollout.Instance{ID: string(id)})
	}
	return out
}

// What another generation has does not join, and is told as drift until it is gone; the rest of the change is made.
func TestMembers_OfOthersAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, team := follow(t)
		defer r.stop()
		r.store.mu.Lock()
		r.store.taken = map[string]string{"10.0.0.1:100": "generation 7 of environment blog"} // d
		r.store.mu.Unlock()
		drift := func() string {
			reading, _ := r.environment().Reading(1, "web", time.Now())
			return reading.Drift
		}
		team.become("bcde", false)
		within(t, 5*time.Second, "the others joined", func() bool { return r.members() == "ebc" })
		within(t, 5*time.Second, "d is told", func() bool { return drift() == "d at 10.0.0.1:100 belongs to generation 7 of environment blog" })
		team.become("bce", false)
		within(t, 5*time.Second, "d is gone", func() bool { return drift() == "" })
		if n := len(r.told(rollout.EventGenerationMembers)); n != 1 {
			t.Errorf("%d changes", n)
		}
	})
}

// A registry that came back empty, and is away again, takes nobody: patience is for what it says, and ends by what it says.
func TestMembers_AreNotLetGoByARegistryThatIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, team := follow(t)
		defer r.stop()
		team.become("a", false)
		<-time.After(5 * time.Second)
		for _, away := range []bool{true, false} {
			team.become("a", away)
			<-time.After(lossPatience - 5*time.Second)
			synctest.Wait()
			if r.members() != "abc" {
				t.Errorf("away: %v; the members are %s", away, r.members())
			}
			if away {
				<-time.After(lossPatience)
				synctest.Wait()
				if r.members() != "abc" {
					t.Errorf("it has been away for long, and the members are %s", r.members())
				}
			}
		}
		within(t, 15*time.Second, "those that stay away are let go", func() bool { return r.members() == "a" })
	})
}

// What a group has lost is remembered from one watch to the next, however long each takes to tell: what is waited for
// stays the number that there was.
func TestMembers_LostAreRememberedFromWatchToWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, team := follow(t)
		defer r.stop()
		team.become("abcdef", false)
		within(t, 5*time.Second, "all are there", func() bool { return r.members() == "abcdef" })
		team.mu.Lock()
		team.slow = 800 * time.Millisecond
		team.mu.Unlock()
		for _, c := range []struct{ now, want string }{{"ab", "abcdef"}, {"abx", "abcdex"}, {"abxy", "abcdyx"}, {"abxyz", "abczyx"}} {
			team.become(c.now, false)
			<-time.After(8 * time.Second)
			synctest.Wait()
			if r.members() != c.want {
				t.Errorf("with %s the members are %s, want %s", c.now, r.members(), c.want)
			}
		}
		team.become("abuxyz", false)
		within(t, 5*time.Second, "as many are there as before", func() bool { return sortedIDs(instancesOf(r.members())) == "abuxyz" })
	})
}

// Instances and registries may say anything, such as what no database keeps: it is recorded so that it can be kept and shown.
func TestReadings_OfHostileTexts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, team := follow(t)
		defer r.stop()
		team.mu.Lock()
		team.says = "\x00\xff\x1b[2J" + strings.Repeat("ä", 100_000)
		team.mu.Unlock()
		team.become("abcd", false) // and the watch begins anew
		within(t, 5*time.Second, "it is recorded", func() bool {
			reading, _ := r.environment().Reading(1, "web", time.Now())
			return reading.Detail != ""
		})
		team.become("abcd", true)
		within(t, 5*time.Second, "the trouble is told", func() bool { return r.environment().TroubleText() != "" })
		reading, _ := r.environment().Reading(1, "web", time.Now())
		for _, text := range []string{reading.Detail, reading.Drift, r.environment().TroubleText()} {
			if text != rollout.Plain(text) {
				t.Errorf("recorded %.50q of %d bytes", text, len(text))
			}
		}
		version := r.environment().Version
		<-time.After(20 * time.Second)
		if now := r.environment().Version; now > version+1 {
			t.Errorf("%d versions of one trouble", now-version)
		}
	})
}
