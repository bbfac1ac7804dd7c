package rollout

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// many makes instances of letters: each is its id, and its place is its own.
func many(letters string) (out []Instance) {
	for _, letter := range letters {
		out = append(out, Instance{ID: string(letter), Address: "10.0.0.1", Port: int(letter)})
	}
	return out
}

func letters(instances []Instance) (out string) {
	for _, in := range instances {
		out += in.ID
	}
	return out
}

// Members keep their places, newcomers take those of who left, and the last fill the holes.
func TestNextMembers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ was, now, want string }{
		{"abc", "abc", ""},
		{"abc", "cab", ""},
		{"abc", "abcd", "abcd"},
		{"abc", "acd", "adc"},
		{"abc", "bc", "cb"},
		{"abc", "ab", "ab"},
		{"abcde", "ae", "ae"},
		{"abcde", "de", "ed"},
		{"abcde", "c", "c"},
		{"abc", "def", "def"},
		{"abc", "dxyzb", "dbxyz"},
		{"abc", "", ""}, // never empty
	} {
		all := []Group{{Service: "api", Instances: many("XYZ")}, {Service: "web", Instances: many(c.was)}}
		changed, left, _ := NextMembers(all, []Group{{Service: "web", Instances: many(c.now)}}, nil, nil)
		got := ""
		for i, group := range changed.Now {
			got += letters(group.Instances)
			if letters(changed.Was[i].Instances) != c.was || group.Service != "web" {
				t.Errorf("%s to %s: %+v", c.was, c.now, changed)
			}
		}
		if got != c.want || len(left) > 0 {
			t.Errorf("%s to %s: %s, want %s; left out %v", c.was, c.now, got, c.want, left)
		}
	}
}

// Most of a group gone at once stay until as many are there as it had then, or until patience is lost.
func TestNextMembers_WithPatience(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		was    string
		losses int
		now    string
		want   string
		more   int
	}{
		{"abc", 0, "", "", 3},
		{"abc", 0, "a", "", 3},
		{"abc", 3, "ab", "", 3},
		{"abc", 0, "ab", "ab", 0},
		{"abcd", 0, "ab", "ab", 0},
		{"abcd", 0, "ax", "abcx", 4},
		{"abc", 0, "x", "abx", 3},
		{"abx", 3, "xy", "ayx", 3},
		{"ayx", 3, "xyz", "zyx", 0},
		{"abcx", 3, "abx", "abx", 0},
		{"abc", 0, "xyz", "xyz", 0},
	} {
		all := []Group{{Service: "web", Instances: many(c.was)}}
		losses := map[string]int{}
		if c.losses > 0 {
			losses["web"] = c.losses
		}
		changed, _, more := NextMembers(all, []Group{{Service: "web", Instances: many(c.now)}}, nil, losses)
		got := ""
		for _, group := range changed.Now {
			got += letters(group.Instances)
		}
		if got != c.want || more["web"] != c.more {
			t.Errorf("%s to %s: %s, losses %v; want %s, %d", c.was, c.now, got, more, c.want, c.more)
		}
	}
	moved := many("a") // one is at another place, and another one is where b was
	moved[0].Port = 1
	moved = append(moved, Instance{ID: "x", Address: "10.0.0.1", Port: 'b'})
	changed, _, more := NextMembers([]Group{{Service: "web", Instances: many("abcdef")}}, []Group{{Service: "web", Instances: moved}}, nil, map[string]int{})
	if got := changed.Now[0].Instances; more["web"] != 6 || letters(got) != "axcdef" || got[0].Port != 1 || got[1].Port != 'b' {
		t.Errorf("with some that took the place of others: %v", got)
	}
}

// However members come and go, they are those that are there, no instance that stays moves further than it must, and
// nothing of the input is changed.
func TestNextMembers_Any(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	pick := func() (out string) {
		for letter := 'a'; letter <= 'j'; letter++ {
			if random.IntN(2) == 0 {
				out += string(letter)
			}
		}
		return out + "z"[:random.IntN(2)]
	}
	for range 5000 {
		was, now := pick(), pick()
		if was == "" {
			continue
		}
		all := []Group{{Service: "web", Instances: many(was)}}
		changed, _, _ := NextMembers(all, []Group{{Service: "web", Instances: many(now)}}, nil, nil)
		if letters(all[0].Instances) != was {
			t.Fatalf("%s to %s changed what was given", was, now)
		}
		if len(changed.Now) == 0 {
			if now != "" && now != was {
				t.Fatalf("%s to %s: nothing changed", was, now)
			}
			continue
		}
		next := letters(changed.Now[0].Instances)
		sorted := []byte(next)
		slices.Sort(sorted)
		if string(sorted) != now {
			t.Fatalf("%s to %s: %s", was, now, next)
		}
		moved := 0
		for i, letter := range was {
			if strings.ContainsRune(now, letter) && (i >= len(next) || rune(next[i]) != letter) {
				moved++
			}
		}
		if beyond := strings.IndexFunc(was[min(len(next), len(was)):], func(r rune) bool { return strings.ContainsRune(now, r) }); beyond < 0 && moved > 0 {
			t.Fatalf("%s to %s: %s moves %d", was, now, next, moved)
		}
	}
}

// What cannot join is left out and told, and holds up nobody else.
func TestNextMembers_LeavesOut(t *testing.T) {
	t.Parallel()
	all := []Group{{Service: "api", Instances: many("XY")}, {Service: "web", Instances: many("abc")}}
	now := append(many("abde"),
		Instance{ID: "no/id", Address: "10.0.0.1", Port: 1},
		Instance{ID: "nowhere", Address: "0.0.0.0", Port: 1},
		Instance{ID: "f", Address: "10.0.0.1", Port: 'X'},
		Instance{ID: "a", Address: "10.0.0.1", Port: 2},
		Instance{ID: "g", Address: "10.0.0.1", Port: 'd'},
		Instance{ID: "h", Address: "10.0.0.1", Port: 'c'}) // where c was
	changed, left, _ := NextMembers(all, []Group{{Service: "web", Instances: now}}, map[string]string{many("e")[0].Target(): "generation 7 of environment blog"}, nil)
	if got := letters(changed.Now[0].Instances); got != "abdh" {
		t.Errorf("members are %s", got)
	}
	want := []string{
		"e at 10.0.0.1:101 belongs to generation 7 of environment blog",
		"no/id at 10.0.0.1:1 cannot be used: letters, digits, and inner . _ -, 1 to 128 of them",
		"nowhere at 0.0.0.0:1 cannot be used: an IP address or a host name in lower case",
		"f at 10.0.0.1:88 is where another instance of the generation is",
		"a at 10.0.0.1:2 has the id of another member",
		"g at 10.0.0.1:100 is where another instance of the generation is",
	}
	if diff := cmp.Diff(map[string][]string{"web": want}, left); diff != "" {
		t.Errorf("left out (-want +got):\n%s", diff)
	}
	var crowd []Instance
	for i := range maxAdopted + 1 {
		crowd = append(crowd, Instance{ID: fmt.Sprint("i", i), Address: "10.0.0.2", Port: i + 1})
	}
	changed, left, _ = NextMembers(all, []Group{{Service: "web", Instances: crowd}}, nil, nil)
	if n := len(changed.Now[0].Instances); n != maxAdopted || len(left["web"]) != 1 || !strings.Contains(left["web"][0], "one too many") {
		t.Errorf("%d members; left out %v", n, left)
	}
}

// A followed generation goes the way of all others; when its members change, that is one event, every node stages it
// again, and until then it is not promoted.
func TestMembers_AreStagedAnew(t *testing.T) {
	t.Parallel()
	w, n := adopting(t, func(a *Adoption) { a.Membership = Follow })
	if got := w.gen(n); !got.MembersAt.IsZero() || !slices.Equal(got.Follows(), []string{"web"}) {
		t.Errorf("before the adoption: %+v", got)
	}
	w.changes(w.e.Adopt(AdoptCommand{Generation: n, Groups: found(1, 2)}, w.now))
	g := w.gen(n)
	if !g.MembersAt.Equal(w.now) {
		t.Errorf("members since %v, want %v", g.MembersAt, w.now)
	}
	staged := w.stagings(n)
	for i := range staged {
		staged[i].MembersAt = g.MembersAt
	}
	reading := Reading{Generation: n, Service: "web", Healthy: 2, Total: 2}
	w.record(Facts{Announced: []int{n}, Staged: staged, Readings: []Reading{reading}})
	w.is(n, Ready)
	if got := w.kinds(n); len(got) != 0 {
		t.Errorf("to be done: %v", got)
	}
	seen := MembersSeen{Generation: n, Since: g.MembersAt, Was: found(1, 2), Now: found(3, 2, 4)}
	for _, wrong := range []MembersSeen{
		{Generation: n, Since: g.MembersAt.Add(-1), Was: seen.Was, Now: seen.Now},
		{Generation: n, Since: g.MembersAt, Was: seen.Was, Now: []Group{{Service: "web"}}},
		{Generation: n, Since: g.MembersAt, Was: seen.Was, Now: []Group{{Service: "api", Instances: seen.Now[0].Instances}}},
		{Generation: n, Since: g.MembersAt},
		{Generation: 99, Since: g.MembersAt, Was: seen.Was, Now: seen.Now},
	} {
		if tr := w.record(Facts{Members: []MembersSeen{wrong}}); len(tr.Events)+len(tr.Members) > 0 {
			t.Errorf("%+v is taken", wrong)
		}
	}
	w.now = w.now.Add(-time.Hour) // a clock that goes back
	tr := w.record(Facts{Members: []MembersSeen{seen}})
	after := w.gen(n)
	if !after.MembersAt.After(g.MembersAt) || after.Sizes["web"] != 3 || g.Sizes["web"] != 2 || len(tr.Members) != 1 {
		t.Errorf("after: %+v, before: %+v, to be written: %+v", after, g, tr.Members)
	}
	want := map[string]any{"service": "web", "size": 3, "joined": []string{"i-d 10.0.0.1:3", "i-e 10.0.0.1:4"}, "left": []string{"i-b 10.0.0.1:1"}}
	if diff := cmp.Diff(want, tr.Events[0].Data); tr.Events[0].Kind != EventGenerationMembers || diff != "" {
		t.Errorf("told: %+v\n%s", tr.Events, diff)
	}
	w.now = w.now.Add(time.Hour)
	if got := w.kinds(n); !slices.Equal(got, []ActionKind{ActStage, ActStage}) {
		t.Errorf("to be done: %v", got)
	}
	r := w.refused(NodeNotStaged)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n}, w.now))
	if !strings.Contains(r.Detail, "does not have its present members yet") {
		t.Errorf("refused with %s", r.Detail)
	}
	for i := range staged {
		staged[i].MembersAt = after.MembersAt
	}
	reading.Healthy, reading.Total = 3, 3
	w.record(Facts{Staged: staged, Readings: []Reading{reading}})
	w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: n}, w.now))
}

// A restored database does not know which members nodes have: they are told again.
func TestMembers_AreToldAgainAfterARecover(t *testing.T) {
	t.Parallel()
	w, n := adopting(t, func(a *Adoption) { a.Membership = Follow })
	w.changes(w.e.Adopt(AdoptCommand{Generation: n, Groups: found(1, 2)}, w.now))
	before := w.gen(n).MembersAt
	w.pass(time.Second)
	ahead := w.future(0, w.e.Revision+5, n)
	ahead.Weights, ahead.Hash = nil, Route{}.Hash()
	w.sees(ahead)
	w.settle()
	if w.e.Switch == nil || w.e.Switch.Kind != SwitchRecover || !w.gen(n).MembersAt.After(before) {
		t.Errorf("switch %+v, members since %v, before %v", w.e.Switch, w.gen(n).MembersAt, before)
	}
}

// A generation that is validated again has its members staged again: what nodes have of it may be of a time that was lost.
func TestMembers_OfOneThatIsValidatedAgain(t *testing.T) {
	t.Parallel()
	w, n := adopting(t, func(a *Adoption) { a.Membership = Follow })
	w.changes(w.e.Adopt(AdoptCommand{Generation: n, Groups: found(80, 81)}, w.now))
	w.pass(time.Hour).settle()
	if got := w.gen(n).State; got != Failed {
		t.Fatalf("generation is %s", got)
	}
	before := w.gen(n).MembersAt
	w.changes(w.e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now))
	if after := w.gen(n).MembersAt; !after.After(before) {
		t.Errorf("members of %v, before %v", after, before)
	}
}

// A group whose only place another group of the generation wants keeps it while it has nobody else, and the rest of the
// change is made.
func TestNextMembers_NeverEmptiesAGroup(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"api", "web"} {
		all := []Group{{Service: "api", Instances: many("a")}, {Service: "web", Instances: many("w")}}
		now := []Group{{Service: "api", Instances: many("b")}, {Service: "web", Instances: append(many("x"), Instance{ID: "y", Address: "10.0.0.1", Port: 'a'})}}
		if first == "web" {
			slices.Reverse(all)
		}
		taken := map[string]string{many("b")[0].Target(): "generation 7 of environment blog"}
		changed, left, _ := NextMembers(all, now, taken, map[string]int{})
		if len(changed.Now) != 1 || changed.Now[0].Service != "web" || letters(changed.Now[0].Instances) != "x" || len(left["api"]) != 1 || len(left["web"]) != 1 {
			t.Errorf("%s first: %+v, left out %v", first, changed.Now, left)
		}
	}
}

// Those that are kept for what a registry may have lost make no group larger than it may be.
func TestNextMembers_KeepsNoMoreThanFit(t *testing.T) {
	t.Parallel()
	crowd := func(from, to int) (out []Instance) {
		for i := from; i < to; i++ {
			out = append(out, Instance{ID: fmt.Sprint("i", i), Address: "10.0.0.2", Port: i + 1})
		}
		return out
	}
	changed, _, more := NextMembers([]Group{{Service: "web", Instances: crowd(0, maxAdopted)}}, []Group{{Service: "web", Instances: crowd(maxAdopted-500, maxAdopted+300)}}, nil, map[string]int{})
	got := changed.Now[0].Instances
	for _, in := range crowd(maxAdopted-500, maxAdopted+300) {
		if !slices.ContainsFunc(got, in.same) {
			t.Errorf("%s is not in", in.ID)
		}
	}
	if len(got) != maxAdopted || more["web"] != maxAdopted {
		t.Errorf("%d members, losses %v", len(got), more)
	}
}

// No rollback is refused because of instances that have left: nothing is known of those that have just come.
func TestMembers_OfATargetThatWereReplaced(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	e := Environment{Spec: Spec{Services: []Service{{Name: "web"}}}, Timing: Timing{Freshness: 10 * time.Second},
		Readings: []Reading{{Generation: 1, Service: "web", Unhealthy: 2, Total: 2, At: now.Add(-2 * time.Second)}}}
	g := Generation{Number: 1, State: Standby, Sizes: map[string]int{"web": 2}, MembersAt: now.Add(-time.Hour)}
	if _, dead := e.rollbackHealth(g, now); dead == "" {
		t.Error("a target that is dead is not taken for that")
	}
	g.MembersAt = now.Add(-time.Second)
	if warnings, dead := e.rollbackHealth(g, now); dead != "" || len(warnings) != 1 || !strings.Contains(warnings[0], "not known") {
		t.Errorf("dead: %q, warnings: %q", dead, warnings)
	}
}
