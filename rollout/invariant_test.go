package rollout

import (
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/go-cmp/cmp"
)

// picture is a deep copy of the value, which nothing that happens to the original can reach.
func picture[T any](v T) T { return copied(reflect.ValueOf(&v).Elem()).Interface().(T) }

func copied(v reflect.Value) reflect.Value {
	if _, ok := v.Interface().(time.Time); ok {
		return v
	}
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(copied(v.Elem()))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				out.Index(i).Set(copied(v.Index(i)))
			}
		}
	case reflect.Map:
		if !v.IsNil() {
			out.Set(reflect.MakeMap(v.Type()))
			for _, key := range v.MapKeys() {
				out.SetMapIndex(key, copied(v.MapIndex(key)))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			out.Field(i).Set(copied(v.Field(i)))
		}
	default:
		return v
	}
	return out
}

// checkTransition holds a transition, not yet applied, against what must always be true.
func checkTransition(w *world, t Transition) {
	w.Helper()
	checkRoute(w, t.After)
	checkStates(w, t.After)
	checkMoves(w, t)
	checkChanged(w, t)
	checkSwitches(w, t)
	checkPromotions(w, t)
	checkRetired(w, t)
	if t.Empty() && !reflect.DeepEqual(loaded(w.e), loaded(t.After)) {
		w.Fatalf("an empty transition changes:\n%s", cmp.Diff(loaded(w.e), loaded(t.After)))
	}
	if len(t.Events) == 0 && !reflect.DeepEqual(visible(w.e), visible(t.After)) {
		w.Fatalf("no event tells of a change:\n%s", cmp.Diff(visible(w.e), visible(t.After)))
	}
	for _, ev := range t.Events {
		if ev.Kind == "" || ev.Environment != t.After.Name || ev.Actor == "" || !ev.At.Equal(w.now) {
			w.Fatalf("incomplete event %+v", ev)
		}
	}
}

// loaded leaves out retired generations, which commands may name.
func loaded(e Environment) Environment {
	var kept []Generation
	for _, g := range e.Generations {
		if g.State != Retired {
			kept = append(kept, g)
		}
	}
	e.Generations = kept
	return e
}

// visible is what people see of an environment.
func visible(e Environment) any {
	type state struct {
		Number  int
		State   GenerationState
		Waiting string
	}
	var states []state
	for _, g := range e.Generations {
		if g.State != Retired {
			states = append(states, state{g.Number, g.State, g.Waiting})
		}
	}
	return []any{e.Name, e.SpecVersion, e.Revision, e.Weights, e.Live, e.Previous, e.Lock, e.Hold, e.DeletingAt, e.DeletedAt, e.Promotion, e.Switch, states}
}

func checkRoute(w *world, e Environment) {
	w.Helper()
	carrying := e.Weights.Numbers()
	if sum := e.Weights.Sum(); (len(e.Weights) > 0 && sum != 100) || len(carrying) > 2 {
		w.Fatalf("weights %v", e.Weights)
	}
	if (e.Live != 0) != (len(carrying) > 0) || (e.Live != 0 && !e.Weights.Carries(e.Live)) {
		w.Fatalf("live is %d with weights %v", e.Live, e.Weights)
	}
	for _, n := range carrying {
		g, ok := e.Generation(n)
		if !ok || (g.State != Live && g.State != Shifting && g.State != Standby) {
			w.Fatalf("generation %d has weight and is %q", n, g.State)
		}
	}
	if e.Previous != 0 {
		g, ok := e.Generation(e.Previous)
		if !ok || g.State != Standby || !g.Succeeded || g.Number == e.Live {
			w.Fatalf("previous is %d, which is %q, succeeded %v", e.Previous, g.State, g.Succeeded)
		}
	}
}

func checkStates(w *world, e Environment) {
	w.Helper()
	candidate := 0
	if e.Promotion != nil && e.Promotion.Generation != e.Live {
		candidate = e.Promotion.Generation
	}
	for i, g := range e.Generations {
		if i > 0 && e.Generations[i-1].Number >= g.Number {
			w.Fatalf("generations are out of order")
		}
		if (g.State == Live) != (g.Number == e.Live) {
			w.Fatalf("generation %d is %s while %d is live", g.Number, g.State, e.Live)
		}
		if (g.State == Shifting) != (g.Number == candidate) {
			w.Fatalf("generation %d is %s while the candidate is %d", g.Number, g.State, candidate)
		}
		if g.State == Standby && !g.Succeeded {
			w.Fatalf("generation %d is standby and never succeeded", g.Number)
		}
		if e.Weights.Carries(g.Number) && (g.UnweightedRevision != 0 || g.QuietAt != nil) {
			w.Fatalf("generation %d has weight and is noted without since %d", g.Number, g.UnweightedRevision)
		}
		unplaced := g.Waiting == NoSlot && (g.State == Registered || g.State == Validating)
		adopting := g.Waiting == Adopting && g.State == Registered && g.Awaiting()
		if g.Awaiting() && g.State != Registered && g.State.Holds() {
			w.Fatalf("generation %d is %s and nobody knows its instances", g.Number, g.State)
		}
		if g.Waiting != "" && !unplaced && !adopting && (g.State != Ready || !g.Promote) {
			w.Fatalf("generation %d is %s and waits for %s", g.Number, g.State, g.Waiting)
		}
		if e.DeletingAt != nil && g.State != Retiring && g.State != Retired {
			w.Fatalf("generation %d is %s in an environment that is being deleted", g.Number, g.State)
		}
	}
}

// checkMoves replays the moves: each legal, each from where the one before ended, never two live.
func checkMoves(w *world, t Transition) {
	w.Helper()
	states := map[int]GenerationState{}
	for _, g := range w.e.Generations {
		states[g.Number] = g.State
	}
	for n, g := range w.gone {
		states[n] = g.State
	}
	for _, m := range t.Moves {
		if states[m.Generation] != m.From || !m.From.CanMove(m.To) {
			w.Fatalf("move %+v of a generation that is %q", m, states[m.Generation])
		}
		states[m.Generation] = m.To
		lives := 0
		for _, s := range states {
			if s == Live {
				lives++
			}
		}
		if lives > 1 {
			w.Fatalf("two are live after %+v in %+v", m, t.Moves)
		}
	}
	if t.Registered != nil {
		states[t.Registered.Number] = t.Registered.State
	}
	for _, g := range t.After.Generations {
		if states[g.Number] != g.State {
			w.Fatalf("generation %d is %s, and by its moves %q", g.Number, g.State, states[g.Number])
		}
	}
}

// checkChanged wants every generation that differs named, and what was registered untouched.
func checkChanged(w *world, t Transition) {
	w.Helper()
	for _, g := range t.After.Generations {
		before, ok := w.e.Generation(g.Number)
		if !ok {
			if before, ok = w.gone[g.Number]; !ok {
				if t.Registered == nil || t.Registered.Number != g.Number {
					w.Fatalf("generation %d came from nowhere", g.Number)
				}
				continue
			}
		}
		if !reflect.DeepEqual(before, g) && !slices.Contains(t.Changed, g.Number) {
			w.Fatalf("generation %d changed and is not in %v:\n%s", g.Number, t.Changed, cmp.Diff(before, g))
		}
		fixed := func(g Generation) any {
			sizes := maps.Clone(g.Sizes)
			for _, service := range g.Follows() { // whose instances come and go
				delete(sizes, service)
			}
			return []any{g.Environment, g.Version, g.Artifact, g.Metadata, g.Groups, g.Colour, g.CreatedAt, g.CreatedBy, sizes, g.Adopts}
		}
		if !reflect.DeepEqual(fixed(before), fixed(g)) {
			w.Fatalf("generation %d was modified", g.Number)
		}
	}
	for _, g := range w.e.Generations {
		if _, ok := t.After.Generation(g.Number); !ok {
			w.Fatalf("generation %d is gone", g.Number)
		}
	}
}

// checkSwitches wants one switch for one revision, and applied only what every required node confirmed.
func checkSwitches(w *world, t Transition) {
	w.Helper()
	grown := t.After.Revision - w.e.Revision
	if s := t.NewSwitch; (s != nil) != (grown > 0) || grown < 0 || (grown > 1 && s.Kind != SwitchRecover) {
		w.Fatalf("the revision grew by %d, with switch %+v", grown, s)
	} else if s != nil && (s.Revision != t.After.Revision || s.Status != Committed || s.Actor == "" ||
		!sameWeights(s.Weights, t.After.Weights) || t.After.Switch.Revision != s.Revision) {
		w.Fatalf("switch %+v at revision %d", s, t.After.Revision)
	}
	if t.NewSwitch == nil && (!sameWeights(w.e.Weights, t.After.Weights) || w.e.Live != t.After.Live) {
		w.Fatalf("the route changed without a switch")
	}
	for _, s := range t.UpdatedSwitches {
		before, ok := w.switches[s.Revision]
		if !ok || (before.Status != Committed && before.Status != s.Status) {
			w.Fatalf("switch %d went from %q to %s", s.Revision, before.Status, s.Status)
		}
		if s.Status == Applied && before.Status == Committed {
			checkApplied(w, s, t.After)
		}
		if s.Status == SwitchSuperseded && (t.NewSwitch == nil || s.Revision != w.e.Revision) {
			w.Fatalf("switch %d is superseded by nothing", s.Revision)
		}
	}
	checkRepair(w, t)
}

// checkRepair wants a repair to leave the route as it is, and a recover above everything that a node was seen at.
func checkRepair(w *world, t Transition) {
	w.Helper()
	s := t.NewSwitch
	if s == nil || (s.Kind != SwitchHeal && s.Kind != SwitchRecover) {
		return
	}
	if !sameWeights(w.e.Weights, t.After.Weights) || w.e.Live != t.After.Live || (t.After.Previous != 0 && w.e.Previous != t.After.Previous) || s.Actor != System.String() {
		w.Fatalf("%s %d changes the route: %+v", s.Kind, s.Revision, s)
	}
	p := t.After.Promotion
	// A quorum may have been seen at the promotion's switch in the same look that shows another node adrift.
	ended := p == nil && w.e.Promotion != nil && slices.ContainsFunc(t.UpdatedSwitches, func(u Switch) bool {
		return u.Revision == w.e.Promotion.Revision && u.AppliedAt != nil
	})
	if !ended && ((p != nil) != (w.e.Promotion != nil) || (p != nil && (p.State != w.e.Promotion.State || p.Revision != s.Revision || s.Promotion != p.ID))) {
		w.Fatalf("%s %d takes promotion %+v to %+v", s.Kind, s.Revision, w.e.Promotion, p)
	}
	if s.Kind == SwitchHeal && !t.After.Keeps(w.e.Revision) {
		w.Fatalf("heal %d does not keep the route of %d", s.Revision, w.e.Revision)
	}
	for _, r := range t.After.Receipts {
		if r.Revision >= s.Revision {
			w.Fatalf("%s %d is not above node %s at %d", s.Kind, s.Revision, r.Node, r.Revision)
		}
	}
}

// checkApplied counts, apart from the code under test, on how many nodes of each router the switch was seen.
func checkApplied(w *world, s Switch, e Environment) {
	w.Helper()
	for _, router := range e.Spec.Routers {
		heard, silent, seen := 0, 0, 0
		for _, n := range e.Nodes {
			if n.Router != router {
				continue
			}
			if w.now.Sub(n.SeenAt) > e.Timing.Silence {
				silent++
				continue
			}
			heard++
			if slices.ContainsFunc(e.Receipts, func(r Receipt) bool {
				return r.Router == n.Router && r.Node == n.Name && r.Incarnation == n.Incarnation && r.Revision == s.Revision && sameWeights(r.Weights, s.Weights)
			}) {
				seen++
			}
		}
		enough := map[Required]bool{RequiredReachable: seen == heard, RequiredAll: seen == heard+silent, RequiredQuorum: 2*seen > heard+silent}
		policy := RequiredAll
		if router == Builtin {
			policy = RequiredReachable
		}
		if p, ok := e.Required[router]; ok {
			policy = p
		}
		if seen == 0 || !enough[policy] {
			w.Fatalf("switch %d is applied with %d of %d nodes of router %s, %d of them silent, which requires %s", s.Revision, seen, heard+silent, router, silent, policy)
		}
		if seen < heard+silent && !s.Degraded {
			w.Fatalf("switch %d does not tell that router %s is at it with %d of %d nodes", s.Revision, router, seen, heard+silent)
		}
	}
}

// checkPromotions wants legal moves, and one open promotion or none, the same as the environment's.
func checkPromotions(w *world, t Transition) {
	w.Helper()
	all := map[int64]Promotion{}
	for id, p := range w.promotions {
		all[id] = p
	}
	for _, p := range t.Promotions {
		before, ok := all[p.ID]
		switch {
		case !ok && p.ID != int64(len(w.promotions))+1:
			w.Fatalf("promotion %d is not the next one", p.ID)
		case ok && before.State != p.State && !before.State.CanMove(p.State):
			w.Fatalf("promotion %d went from %s to %s", p.ID, before.State, p.State)
		case p.State.Open() == (p.EndedAt != nil):
			w.Fatalf("promotion %d is %s and ended at %v", p.ID, p.State, p.EndedAt)
		case p.Revision > t.After.Revision:
			w.Fatalf("promotion %d has revision %d, later than %d", p.ID, p.Revision, t.After.Revision)
		}
		all[p.ID] = p
	}
	open := []Promotion{}
	for _, p := range all {
		if p.State.Open() {
			open = append(open, p)
		}
	}
	if p := t.After.Promotion; len(open) > 1 || (p != nil) != (len(open) == 1) || (p != nil && !reflect.DeepEqual(*p, open[0])) {
		w.Fatalf("open promotions %+v, and the environment's is %+v", open, p)
	}
}

// checkRetired wants nothing left of a generation when its record is closed.
func checkRetired(w *world, t Transition) {
	w.Helper()
	for _, m := range t.Moves {
		if m.To != Retired {
			continue
		}
		g, _ := t.After.Generation(m.Generation)
		last := int64(0) // the revision that took its weight away, by the history of switches
		var before Switch
		for _, revision := range slices.Sorted(maps.Keys(w.switches)) {
			s := w.switches[revision]
			// A recover asks for everything to be confirmed anew.
			if !s.Weights.Carries(g.Number) && (before.Weights.Carries(g.Number) || (s.Kind == SwitchRecover && g.UnweightedRevision >= revision)) {
				last = revision
			}
			before = s
		}
		if g.Announced || t.After.Weights.Carries(g.Number) || g.UnweightedRevision != last {
			w.Fatalf("generation %d is retired: announced %v, weightless since %d and by its switches %d", g.Number, g.Announced, g.UnweightedRevision, last)
		}
		for _, n := range t.After.Nodes {
			if slices.ContainsFunc(t.After.Stagings, func(s Staging) bool { return s.Generation == g.Number && s.Router == n.Router && s.Node == n.Name }) {
				w.Fatalf("generation %d is retired and staged on %s", g.Number, n.Name)
			}
			if r, ok := t.After.Receipt(n); last > 0 && (!ok || r.Revision < last || r.Weights.Carries(g.Number)) {
				w.Fatalf("generation %d is retired and node %s has not confirmed revision %d", g.Number, n.Name, last)
			}
		}
	}
}

func checkRefusal(t tb, e Environment, r *Refusal) {
	t.Helper()
	if r.Code == "" || r.Detail == "" || len(r.Fixes) == 0 || r.Fixes[0] == "" || r.Revision != e.Revision {
		t.Fatalf("incomplete refusal %+v at revision %d", r, e.Revision)
	}
}
