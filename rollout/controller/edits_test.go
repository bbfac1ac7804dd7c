package controller

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"viridian/rollout"
)

func TestEdits_NewOnesAreDueAtOnce(t *testing.T) {
	t.Parallel()
	var e edits
	at := time.Unix(1e9, 0)
	e.look([]string{"drained", "moved to port 9"})
	if d := cmp.Diff([]string{"drained", "moved to port 9"}, e.due(at)); d != "" {
		t.Fatal(d)
	}
	e.told(e.due(at), at)
	e.look([]string{"drained"}) // still there
	if due := e.due(at.Add(time.Hour)); len(due) > 0 {
		t.Errorf("told again: %v", due)
	}
	e.look(nil)
	e.look([]string{"moved to port 9", "moved to port 10"})
	if d := cmp.Diff([]string{"moved to port 10"}, e.due(at.Add(tellPause/2))); d != "" {
		t.Errorf("half a pause later:\n%s", d)
	}
	if d := cmp.Diff([]string{"moved to port 9", "moved to port 10"}, e.due(at.Add(tellPause))); d != "" {
		t.Errorf("a pause later:\n%s", d)
	}
}

// A hand that does the same, or something else, again and again does not fill the history.
func TestEdits_MakeNoStorm(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]func(int) string{
		"the same":            func(int) string { return "drained" },
		"another port always": func(i int) string { return fmt.Sprintf("moved to port %d", i) },
	} {
		var e edits
		at, told := time.Unix(1e9, 0), 0
		for i := range 1200 { // ten minutes
			at = at.Add(time.Second / 2)
			e.look([]string{text(i)})
			e.look(nil)
			if due := e.due(at); len(due) > 0 {
				e.told(due, at)
				told++
			}
		}
		if most := map[bool]int{true: 25, false: tellApart + 25}[name == "the same"]; told == 0 || told > most {
			t.Errorf("%s: told %d times in ten minutes", name, told)
		}
	}
}

// What somebody changed on a node of a fleet is mended and told once, although it shows in no weight.
func TestFleet_EditsAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		y := newYard(t, rollout.RequiredAll, 2, nil)
		defer y.stop()
		y.shop()
		y.await(y.promote(1).Revision, WaitApplied)
		m := y.machines[0]
		before := y.store.kinds()[rollout.EventRouteDrifted]
		m.damage("server web/s1 is draining", 1)
		y.until(time.Second, "mended and told", func() bool {
			return y.store.kinds()[rollout.EventRouteDrifted] == before+1 && m.sound()
		})
		if data := y.store.last(rollout.EventRouteDrifted).Data; fmt.Sprint(data["edits"]) != "[server web/s1 is draining]" || data["node"] != m.name || data["expected"] != nil {
			t.Errorf("the event says %v", data)
		}
		if r, state := y.receipt(m); state != rollout.InSync || r.Error != "" || r.Edits != nil {
			t.Errorf("%s: %+v", state, r)
		}
		<-time.After(time.Minute)
		if n := y.store.kinds()[rollout.EventRouteDrifted]; n != before+1 {
			t.Errorf("told %d times", n-before)
		}
	})
}
