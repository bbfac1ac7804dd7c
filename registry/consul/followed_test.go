package consul

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"

	"viridian/registry"
	"viridian/rollout"
)

// entryOf is an instance as Consul has it.
func entryOf(node, id string, port int, status string) *api.ServiceEntry {
	return &api.ServiceEntry{Node: &api.Node{Node: node, Address: "10.0.0.1"}, Service: &api.AgentService{ID: id, Port: port},
		Checks: api.HealthChecks{{Status: status}}}
}

// groupOf has these instances as members.
func groupOf(t *testing.T, membership rollout.Membership, entries ...*api.ServiceEntry) rollout.Group {
	t.Helper()
	group := rollout.Group{Service: "web", Consul: &rollout.Adoption{Service: "team-web", Membership: membership}}
	for _, f := range entries {
		in, err := instanceOf(f)
		if err != nil {
			t.Fatal(err)
		}
		group.Instances = append(group.Instances, in)
	}
	return group
}

func judged(group rollout.Group, found []*api.ServiceEntry) (rollout.Reading, *rollout.Group) {
	members, others := compare(group, found)
	return judge(group, members, others, newDigests(clockwork.NewRealClock(), *group.Consul, ""))
}

func TestPresent(t *testing.T) {
	t.Parallel()
	a, b, c := entryOf("n1", "a", 81, api.HealthPassing), entryOf("n2", "b", 82, api.HealthPassing), entryOf("n3", "c", 83, api.HealthPassing)
	ill := entryOf("n1", "a", 81, api.HealthCritical)
	for _, test := range []struct {
		name    string
		has     []*api.ServiceEntry
		found   []*api.ServiceEntry
		members string // empty when they are as they were
		healthy int
		drift   string
	}{
		{"the same ones in another order", []*api.ServiceEntry{a, b}, []*api.ServiceEntry{b, a}, "", 2, ""},
		{"one is ill", []*api.ServiceEntry{a, b}, []*api.ServiceEntry{ill, b}, "", 1, ""},
		{"one comes", []*api.ServiceEntry{a}, []*api.ServiceEntry{c, a}, "a:81 c:83", 1, ""},
		{"one comes and warns", []*api.ServiceEntry{a}, []*api.ServiceEntry{entryOf("n3", "c", 83, api.HealthWarning), a}, "", 1, ""},
		{"one goes", []*api.ServiceEntry{a, b}, []*api.ServiceEntry{b}, "b:82", 1, ""},
		{"one for another", []*api.ServiceEntry{a, b}, []*api.ServiceEntry{c, b}, "b:82 c:83", 1, ""},
		{"all for others", []*api.ServiceEntry{a, b}, []*api.ServiceEntry{c}, "c:83", 0, ""},
		{"only one that is ill stays", []*api.ServiceEntry{a, b}, []*api.ServiceEntry{ill}, "a:81", 0, ""},
		{"nobody is there", []*api.ServiceEntry{a, b}, nil, "", 0, "the last known 2 are kept"},
		{"nobody who could join", []*api.ServiceEntry{b}, []*api.ServiceEntry{ill}, "", 0, "the last known 1 are kept"},
		{"one that moved keeps its id, though another would have it", []*api.ServiceEntry{a, b},
			[]*api.ServiceEntry{entryOf("n0", "a", 90, api.HealthPassing), entryOf("n1", "a", 91, api.HealthPassing), b}, "b:82 a-553b49a6:90 a:91", 1, ""},
		{"one takes the id of one that left", []*api.ServiceEntry{a, b}, []*api.ServiceEntry{entryOf("n9", "a", 90, api.HealthPassing), b}, "b:82 a:90", 1, ""},
		{"one takes the id of nobody who stays", []*api.ServiceEntry{a}, []*api.ServiceEntry{entryOf("n0", "a", 90, api.HealthPassing), a}, "a:81 a-553b49a6:90", 1, ""},
		{"one cannot be reached", []*api.ServiceEntry{a}, []*api.ServiceEntry{a, entryOf("n9", "z", 0, api.HealthPassing)}, "", 1, "instance z on node n9 has no address and port that can be used"},
		{"one that cannot be reached is ill as well", []*api.ServiceEntry{a}, []*api.ServiceEntry{a, entryOf("n9", "z", 0, api.HealthCritical)}, "", 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			group := groupOf(t, rollout.Follow, test.has...)
			reading, now := judged(group, test.found)
			var members []string
			if now != nil {
				for _, in := range now.Instances {
					members = append(members, fmt.Sprintf("%s:%d", in.ID, in.Port))
				}
			}
			if got := strings.Join(members, " "); got != test.members {
				t.Errorf("members %q, want %q", got, test.members)
			}
			if reading.Total != len(test.has) || reading.Healthy != test.healthy || reading.Unhealthy != len(test.has)-test.healthy {
				t.Errorf("reading %+v", reading)
			}
			if (reading.Drift == "") != (test.drift == "") || !strings.Contains(reading.Drift, test.drift) {
				t.Errorf("drift %q, want %q", reading.Drift, test.drift)
			}
			group.Consul.Membership = rollout.Frozen
			if _, now := judged(group, test.found); now != nil {
				t.Errorf("a group that is frozen gets the members %+v", now)
			}
		})
	}
}

func TestPresent_HasABound(t *testing.T) {
	t.Parallel()
	var found []*api.ServiceEntry
	for n := range mostMembers + 2 {
		found = append(found, entryOf("n", fmt.Sprintf("web-%04d", n), 1000+n, api.HealthPassing))
	}
	reading, now := judged(groupOf(t, rollout.Follow, found[1]), found)
	if now == nil || len(now.Instances) != mostMembers || now.Instances[0].ID != "web-0001" {
		t.Fatalf("%d members", len(now.Instances))
	}
	if want := "web-2000 on n is one too many: a group has at most 2000 instances; web-2001 on n is one too many: a group has at most 2000 instances"; reading.Drift != want {
		t.Errorf("drift %q", reading.Drift)
	}
	if _, now := judged(groupOf(t, rollout.Follow, found[:mostMembers]...), found); now != nil {
		t.Errorf("a full group gets %d members", len(now.Instances))
	}
}

// TestBoard_ForgetsMembersThatItCannotRead: what cannot be read any more changes nothing.
func TestBoard_ForgetsMembersThatItCannotRead(t *testing.T) {
	t.Parallel()
	var last registry.Seen
	b := newBoard(1, []string{"api", "web"}, func(seen registry.Seen) { last = seen })
	members := rollout.Group{Service: "web"}
	b.postAdopted(rollout.Reading{Service: "api"}, nil)
	b.postAdopted(rollout.Reading{Service: "web"}, &members)
	if len(last.Readings) != 2 || len(last.Members) != 1 || last.Members[0].Service != "web" {
		t.Errorf("told %+v", last)
	}
	b.postAdopted(rollout.Reading{Service: "web"}, nil)
	if len(last.Readings) != 2 || last.Members != nil {
		t.Errorf("told %+v of members that are the same again", last)
	}
	b.postAdopted(rollout.Reading{Service: "web"}, &members)
	b.lose("web", []string{"web"}, errHidden)
	if last.Readings != nil || last.Members != nil || last.Trouble == nil {
		t.Errorf("told %+v of what cannot be read", last)
	}
	b.postAdopted(rollout.Reading{Service: "web"}, nil)
	if len(last.Readings) != 2 || last.Members != nil || last.Trouble != nil {
		t.Errorf("told %+v when it can be read again", last)
	}
}
