package rollout

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// What a newer program wrote is left alone: facts are taken in, and nothing is decided.
func TestForeign_IsLeftAlone(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Environment){
		"generation 1 is \"frozen\"":  func(e *Environment) { e.Generations[0].State = "frozen" },
		"promotion 2 is \"thinking\"": func(e *Environment) { e.Promotion.State = "thinking" },
		"switch 2 is a \"canary\"":    func(e *Environment) { e.Switch.Kind = "canary" },
		"and is \"halfway\"":          func(e *Environment) { e.Switch.Status = "halfway" },
		"the spec: a thing":           func(e *Environment) { e.Spec.Foreign = "a thing" },
	} {
		w := twoLive(t)
		e := picture(w.e)
		change(&e)
		if got := e.Foreign(); !strings.Contains(got, want) {
			t.Errorf("foreign: %q, want %q", got, want)
			continue
		}
		late := w.now.Add(30 * time.Hour)
		if tr := e.Settle(late); !tr.Empty() {
			t.Errorf("%s: settled %v", want, kinds(tr))
		}
		ahead := w.future(0, 9, 7)
		tr := e.Record(Facts{Receipts: []Receipt{ahead, w.receiptOf(w.e.Nodes[1])}, Readings: w.readings(2, 0)}, late)
		if len(tr.Events) != 0 || tr.After.LastNumber != e.LastNumber || len(tr.Facts.Receipts) != 2 {
			t.Errorf("%s: recorded with %v", want, kinds(tr))
		}
		for _, a := range Decide(e, late) { // the route is plain: its node can follow
			if a.Kind == ActSettle || a.Kind == ActRemove || a.Kind == ActDeregister {
				t.Errorf("%s: to do %+v", want, a)
			}
		}
		// A newer program finds in what was recorded what this one could not judge.
		back := tr.After
		back.Spec, back.Generations, back.Promotion, back.Switch = w.e.Spec, w.e.Generations, w.e.Promotion, w.e.Switch
		emits(t, back.Settle(w.now), EventRouteAhead)
	}
	if w := twoLive(t); w.e.Foreign() != "" {
		t.Errorf("our own is foreign: %s", w.e.Foreign())
	}
}

func TestSpec_KeptByAnotherVersion(t *testing.T) {
	t.Parallel()
	own, err := ParseSpec([]byte(`{"services": [{"name": "web", "hosts": ["shop.test"], "health": {"type": "http"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(own)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from, to string
		want     string
		readable bool
	}{
		"our own":             {`"description"`, `"description"`, "", true},
		"a field more":        {`"description"`, `"freeze":{"until":"friday"},"description"`, "unknown field \"freeze\"", true},
		"one deep inside":     {`"upstream_tls"`, `"weather":1,"upstream_tls"`, "unknown field \"weather\"", true},
		"not built here":      {`"steps":[]`, `"steps":[{"weight":10}]`, "/promotion/steps", true},
		"another registry":    {`"registry":"static"`, `"registry":"nomad"`, "/registry", true},
		"another form":        {`"drain":"30s"`, `"drain":{"max":"30s"}`, "a duration is a string", false},
		"another form, typed": {`"keep_generations":1`, `"keep_generations":"one"`, "keep_generations", false},
	} {
		text := strings.Replace(string(raw), c.from, c.to, 1)
		var got Spec
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (c.want == "") != (got.Foreign == "") || !strings.Contains(got.Foreign, c.want) {
			t.Errorf("%s: foreign %q, want %q", name, got.Foreign, c.want)
		}
		if readable := len(got.Services) == 1 && got.Services[0].Hosts[0] == "shop.test"; readable != c.readable {
			t.Errorf("%s: read as %+v", name, got)
		}
	}
}

// The note is not a field that somebody may give.
func TestSpec_ForeignCannotBeAsked(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"Foreign", "foreign", "-"} {
		if _, err := ParseSpec([]byte(`{"services": [{"name": "web"}], "` + field + `": "x"}`)); err == nil {
			t.Errorf("%q is taken", field)
		}
	}
}
