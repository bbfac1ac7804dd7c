package store_test

import (
	"testing"
	"time"

	"viridian/rollout"
	"viridian/store"
)

// What is loaded of many at once is what is loaded of each.
func TestAggregates_AreTheEnvironments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("empty", create("empty", spec(t, `{"services": [{"name": "api"}]}`)))
	w.do("gone", create("gone", spec(t, webSpec)))
	w.do("gone", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Delete(rollout.DeleteCommand{Actor: alice}, now)
	})
	for _, names := range [][]string{nil, {"shop"}, {"empty", "shop", "nothing", "gone"}} {
		list, now, err := w.Aggregates(t.Context(), names...)
		w.must(err)
		want := []string{"empty", "shop"}
		if len(names) == 1 {
			want = names
		}
		if len(list) != len(want) || now.IsZero() {
			t.Fatalf("%v: %d environments at %v, want %v", names, len(list), now, want)
		}
		for i, got := range list {
			e, _, err := w.Environment(t.Context(), want[i])
			w.must(err)
			sameEnvironment(t, got, e)
		}
	}
}

// A pulse tells of every change, and how the instances are.
func TestPulse_TellsWhatChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	before, err := w.Glance(t.Context())
	w.must(err)
	if len(before.Nodes) != 1 || before.Nodes[0].Name != edge.Name || len(before.Readings["shop"]) != 2 || before.Versions["shop"] == 0 || before.At.IsZero() {
		t.Fatalf("%+v", before)
	}
	w.record("shop", rollout.Facts{Readings: []rollout.Reading{{Generation: 1, Service: "web", Healthy: 1, Unhealthy: 1, Total: 2, Detail: "refused"}}})
	w.do("shop", promote(2))
	after, err := w.Glance(t.Context())
	w.must(err)
	if after.Versions["shop"] <= before.Versions["shop"] || after.Readings["shop"][0].Healthy != 1 || after.Readings["shop"][0].Detail != "refused" {
		t.Errorf("%+v", after)
	}
}

func TestHistory_IsNewestFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("shop", promote(2))
	w.apply("shop")
	h, err := w.History(t.Context(), "shop", 2)
	w.must(err)
	if len(h.Generations) != 2 || h.Generations[0].Number != 2 || len(h.Switches) != 2 || h.Switches[0].Revision != 2 ||
		len(h.Promotions) != 2 || h.Promotions[0].Generation != 2 || len(h.Events) != 2 || h.Events[0].ID <= h.Events[1].ID {
		t.Errorf("%+v", h)
	}
	if none, err := w.History(t.Context(), "nothing", 2); err != nil || len(none.Events) != 0 {
		t.Errorf("%+v %v", none, err)
	}
	of, err := w.SwitchesOf(t.Context(), "shop", 1)
	w.must(err)
	if len(of) != 2 || of[0].From != 1 || of[1].To != 1 {
		t.Errorf("%+v", of)
	}
	colours, err := w.Colours(t.Context(), "shop", map[int]bool{1: true, 2: true, 9: true})
	w.must(err)
	if len(colours) != 2 || colours[1] == colours[2] {
		t.Errorf("%v", colours)
	}
}

func TestAudit_FindsByEveryPartOfTheFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("other", create("other", spec(t, webSpec)))
	w.newToken("t1")
	all, err := w.Audit(t.Context(), store.AuditFilter{Environments: []string{"*"}, Limit: store.MaxLimit})
	w.must(err)
	middle := all[len(all)/2]
	for name, c := range map[string]struct {
		change func(f *store.AuditFilter)
		want   func(e rollout.Event) bool
	}{
		"all":         {func(*store.AuditFilter) {}, func(rollout.Event) bool { return true }},
		"environment": {func(f *store.AuditFilter) { f.Environment = "shop" }, func(e rollout.Event) bool { return e.Environment == "shop" }},
		"globs":       {func(f *store.AuditFilter) { f.Environments = []string{"ot*"} }, func(e rollout.Event) bool { return e.Environment == "other" }},
		"none":        {func(f *store.AuditFilter) { f.Environments = nil }, func(rollout.Event) bool { return false }},
		"kind": {func(f *store.AuditFilter) { f.Kind = "SWITCH." }, func(e rollout.Event) bool {
			return e.Kind == rollout.EventSwitchApplied || e.Kind == rollout.EventSwitchCommitted || e.Kind == rollout.EventSwitchDrained
		}},
		"wildcards":  {func(f *store.AuditFilter) { f.Kind = "%" }, func(rollout.Event) bool { return false }},
		"actor":      {func(f *store.AuditFilter) { f.Actor = "Alice" }, func(e rollout.Event) bool { return e.Actor == alice.String() }},
		"generation": {func(f *store.AuditFilter) { f.Generation = 2 }, func(e rollout.Event) bool { return e.Generation == 2 }},
		"since":      {func(f *store.AuditFilter) { f.Since = middle.At }, func(e rollout.Event) bool { return !e.At.Before(middle.At) }},
		"until":      {func(f *store.AuditFilter) { f.Until = middle.At }, func(e rollout.Event) bool { return e.At.Before(middle.At) }},
		"before":     {func(f *store.AuditFilter) { f.Before = middle.ID }, func(e rollout.Event) bool { return e.ID < middle.ID }},
	} {
		f := store.AuditFilter{Environments: []string{"*"}, Limit: store.MaxLimit}
		c.change(&f)
		got, err := w.Audit(t.Context(), f)
		w.must(err)
		var want []int64
		for _, e := range all {
			if c.want(e) {
				want = append(want, e.ID)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d entries, want %d", name, len(got), len(want))
			continue
		}
		for i, e := range got {
			if e.ID != want[i] {
				t.Errorf("%s: entry %d is %d, want %d", name, i, e.ID, want[i])
			}
		}
	}
}
