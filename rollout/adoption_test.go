package rollout

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// adopting is a world whose generation n is to adopt two instances.
func adopting(t *testing.T, change ...func(*Adoption)) (w *world, n int) {
	t.Helper()
	w = newWorld(t, func(s *Spec) { s.Registry = "consul" })
	a := &Adoption{Service: "team-web", Expect: 2, Timeout: Duration(time.Minute), Membership: Frozen}
	for _, fn := range change {
		fn(a)
	}
	tr := w.changes(w.e.Register(RegisterCommand{Actor: alice, Version: "1", Artifact: &Artifact{Digest: "sha256:1"},
		Groups: []Group{{Service: "web", Consul: a}}}, w.now))
	return w, tr.Answer.Generation
}

func found(ports ...int) []Group {
	g := Group{Service: "web"}
	for _, port := range ports {
		g.Instances = append(g.Instances, Instance{ID: "i-" + string(rune('a'+port%26)), Address: "10.0.0.1", Port: port})
	}
	return []Group{g}
}

func (w *world) kinds(n int) (out []ActionKind) {
	for _, a := range Decide(w.e, w.now) {
		if a.Generation == n {
			out = append(out, a.Kind)
		}
	}
	return out
}

// Until its instances are found, a generation is announced and staged nowhere; then it goes the way of all others, with
// all of its time before it.
func TestAdopt(t *testing.T) {
	t.Parallel()
	w, n := adopting(t)
	if got := w.kinds(n); !slices.Equal(got, []ActionKind{ActAdopt}) {
		t.Errorf("to be done: %v", got)
	}
	told := 0
	for _, detail := range []string{"0 of 2", "1 of 2", "1 of 2", "3 of 2"} {
		w.pass(10 * time.Second)
		told += len(w.record(Facts{Adopting: []AdoptionSeen{{n, detail}, {99, "?"}}}).Events)
		if g := w.gen(n); g.State != Registered || g.Reason != detail {
			t.Errorf("%s: %s", g.State, g.Reason)
		}
	}
	if told != 1 {
		t.Errorf("the wait was told %d times", told)
	}
	for _, wrong := range [][]Group{nil, found(1), found(1, 2, 3), found(1, 1)} {
		if r := refusal(second(w.e.Adopt(AdoptCommand{Generation: n, Groups: wrong}, w.now))); r == nil {
			t.Errorf("%v is adopted", wrong)
		}
	}
	w.pass(15 * time.Second)
	tr := w.changes(w.e.Adopt(AdoptCommand{Generation: n, Groups: found(1, 2)}, w.now))
	if g := w.gen(n); g.Awaiting() || g.Waiting != "" || g.Reason != "" || tr.Adopted == nil || len(tr.Adopted.Groups[0].Instances) != 2 {
		t.Errorf("adopted as %+v: %+v", g, tr.Adopted)
	}
	if again, err := w.e.Adopt(AdoptCommand{Generation: n, Groups: found(7, 8)}, w.now); err != nil || !again.Empty() {
		t.Errorf("adopted twice: %+v %v", again, err)
	}
	if got := w.kinds(n); !slices.Equal(got, []ActionKind{ActRegister, ActStage, ActStage}) {
		t.Errorf("to be done: %v", got)
	}
	w.pass(w.e.Spec.Validation.Timeout.Std() - time.Second).settle()
	w.is(n, Registered)
	w.pass(time.Second).settle()
	w.is(n, Failed)
}

// What Consul could not read is refused when it is registered, not when the time is over.
func TestAdopt_ReadsItsFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *Spec) { s.Registry = "consul" })
	for filter, good := range map[string]bool{
		"": true, `Service.Meta.build == "1812"`: true, `"canary" not in Service.Tags or Node.Meta["rack"] matches "^b"`: true,
		`Service.Meta.build = "1812"`: false, `Service.Meta.build == `: false, strings.Repeat("(", 500): false,
	} {
		_, err := w.e.Register(RegisterCommand{Actor: alice, Version: "1", Groups: []Group{{Service: "web",
			Consul: &Adoption{Service: "web", Filter: filter, Expect: 1, Timeout: Duration(time.Minute), Membership: Frozen}}}}, w.now)
		r := refusal(err)
		if good != (r == nil) || r != nil && r.Errors[0].Pointer != "/groups/0/consul/filter" {
			t.Errorf("%q: %v", filter, err)
		}
	}
}

func TestAdopt_HasItsTime(t *testing.T) {
	t.Parallel()
	w, n := adopting(t)
	w.record(Facts{Adopting: []AdoptionSeen{{n, "1 of 2"}}})
	if at, ok := w.e.deadline(w.gen(n)); !ok || !at.Equal(w.now.Add(time.Minute)) {
		t.Errorf("its deadline is %v", at)
	}
	w.pass(time.Minute).settle()
	w.is(n, Failed)
	if g := w.gen(n); g.Reason != "its instances were not there within 1m: 1 of 2" {
		t.Errorf("failed with %q", g.Reason)
	}
	w.refused(Conflict)(w.e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now))
	w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: n}, w.now))
	w.is(n, Retiring)
}

// What runs something else than was registered is neither validated nor promoted, unless that is forced.
func TestMismatch_KeepsBack(t *testing.T) {
	t.Parallel()
	w, n := adopting(t)
	w.changes(w.e.Adopt(AdoptCommand{Generation: n, Groups: found(1, 2)}, w.now))
	reading := Reading{Generation: n, Service: "web", Healthy: 2, Total: 2, Mismatched: 1, Drift: "i-a runs sha256:2"}
	tr := w.record(Facts{Announced: []int{n}, Staged: w.stagings(n), Readings: []Reading{reading}})
	w.is(n, Validating)
	if e := tr.Events[0]; e.Kind != EventGenerationDrifted || e.Data["detail"] != reading.Drift {
		t.Errorf("told: %+v", tr.Events)
	}
	reading.Mismatched, reading.Drift = 0, ""
	tr = w.record(Facts{Readings: []Reading{reading}})
	w.is(n, Ready)
	if !slices.ContainsFunc(tr.Events, func(e Event) bool { return e.Kind == EventGenerationAligned }) {
		t.Errorf("told: %+v", tr.Events)
	}
	reading.Mismatched, reading.Drift = 2, "all of them"
	w.record(Facts{Readings: []Reading{reading}})
	r := w.refused(GenerationNotReady)(w.e.Promote(PromoteCommand{Actor: alice, Generation: n}, w.now))
	if !strings.Contains(r.Detail, "2 of 2 instances of service web do not run the artifact") {
		t.Errorf("refused with %s", r.Detail)
	}
	w.changes(w.e.Promote(PromoteCommand{Actor: alice, Generation: n, Force: true}, w.now))
}

func TestTrouble_BeginsAndEndsWithAnEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	say := func(text string) []Event { return w.record(Facts{Trouble: &text}).Events }
	if events := say("no leader"); len(events) != 1 || events[0].Kind != EventRegistryTroubled {
		t.Errorf("told: %+v", events)
	}
	began := w.e.Trouble.Since
	w.pass(time.Minute)
	if events := say("no answer"); len(events) != 0 || w.e.Trouble.Detail != "no answer" || !w.e.Trouble.Since.Equal(began) {
		t.Errorf("told again: %+v, %+v", events, w.e.Trouble)
	}
	if events := say(""); len(events) != 1 || events[0].Kind != EventRegistryRecovered || w.e.Trouble != nil {
		t.Errorf("told: %+v", events)
	}
	if tr := w.record(Facts{}); !tr.Empty() {
		t.Errorf("without news: %+v", tr)
	}
}

func second[T any](_ T, err error) error { return err }
