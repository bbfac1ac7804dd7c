package rollout

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The tables of states, as they are documented.
const generationTable = `
registered                -> validating, failed, retiring
validating                -> ready, failed, retiring
ready                     -> validating, shifting, live, retiring
shifting                  -> live, rejected
live                      -> standby, rejected
standby                   -> live, retiring
failed                    -> validating, retiring
rejected                  -> validating, retiring
retiring                  -> retired
retired                   ->`

const promotionTable = `
shifting    -> paused, baking, aborted, superseded
paused      -> shifting, baking, aborted, rolled_back, superseded
baking      -> paused, succeeded, rolled_back, superseded
succeeded   ->
aborted     ->
rolled_back ->
superseded  ->`

func parseTable(table string) map[string][]string {
	out := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		from, to, _ := strings.Cut(line, "->")
		out[strings.TrimSpace(from)] = strings.FieldsFunc(to, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return out
}

func TestGenerationMoves_EveryPair(t *testing.T) {
	t.Parallel()
	table := parseTable(generationTable)
	if len(table) != len(GenerationMoves) {
		t.Fatalf("%d states, want %d", len(GenerationMoves), len(table))
	}
	for from := range table {
		for to := range table {
			want := slices.Contains(table[from], to)
			if got := GenerationState(from).CanMove(GenerationState(to)); got != want {
				t.Errorf("%s to %s: %v, want %v", from, to, got, want)
			}
			if got := moves(GenerationState(from), GenerationState(to)); got != want {
				t.Errorf("change.move from %s to %s: %v, want %v", from, to, got, want)
			}
		}
	}
}

// moves tells whether a change makes the move, or panics.
func moves(from, to GenerationState) (moved bool) {
	defer func() { moved = recover() == nil }()
	c := Environment{Generations: []Generation{{Number: 1, State: from}}}.change(System, start)
	c.move(1, to, "")
	return true
}

func TestPromotionMoves_EveryPair(t *testing.T) {
	t.Parallel()
	table := parseTable(promotionTable)
	if len(table) != len(PromotionMoves) {
		t.Fatalf("%d states, want %d", len(PromotionMoves), len(table))
	}
	for from := range table {
		if open := PromotionState(from).Open(); open != (len(table[from]) > 0) {
			t.Errorf("%s is open: %v", from, open)
		}
		for to := range table {
			want := slices.Contains(table[from], to)
			if got := PromotionState(from).CanMove(PromotionState(to)); got != want {
				t.Errorf("%s to %s: %v, want %v", from, to, got, want)
			}
		}
	}
}

func TestChange_RefusesASecondOpenPromotion(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a second promotion was opened")
		}
	}()
	c := Environment{Promotion: &Promotion{ID: 1, State: PromotionBaking}}.change(System, start)
	c.promotion(Promotion{ID: 2, State: PromotionBaking})
}

func TestGenerationState_Holds(t *testing.T) {
	t.Parallel()
	for state := range GenerationMoves {
		want := !slices.Contains([]GenerationState{Failed, Rejected, Retiring, Retired}, state)
		if state.Holds() != want {
			t.Errorf("%s holds: %v", state, state.Holds())
		}
	}
}

// brought makes a world with a generation in the state, beside a live one that succeeded (itself, or another).
func brought(t testing.TB, state GenerationState) (*world, int) {
	t.Helper()
	w := newWorld(t)
	one := w.live()
	n := 0
	switch state {
	case Registered:
		n = w.register(false)
	case Validating:
		n = w.register(false)
		w.staged(n)
	case Failed:
		n = w.register(false)
		w.pass(5 * time.Minute).settle()
	case Ready:
		n = w.ready()
	case Shifting:
		n = w.ready()
		w.changes(w.weights(Weights{one: 90, n: 10}))
	case Live:
		n = one
	case Standby:
		n = one
		w.live()
	case Rejected:
		n = w.live()
		w.changes(w.rollback(RollbackCommand{}))
		w.applied()
	case Retiring, Retired:
		n = w.ready()
		w.changes(w.e.Retire(RetireCommand{Actor: alice, Generation: n}, w.now))
		if state == Retired {
			w.cleaned(n)
			w.pass(timing.Grace).settle()
		}
	}
	w.is(n, state)
	return w, n
}

// TestCommands_InEveryState is the whole table of what each command says of a generation in each state: the code of a
// refusal, "changes", or "unchanged".
func TestCommands_InEveryState(t *testing.T) {
	t.Parallel()
	commands := []string{"promote", "validate", "retire", "retain", "weights", "rollback to"}
	table := map[GenerationState][]string{
		Registered: {"generation_not_ready", "unchanged", "changes", "conflict", "generation_not_ready", "rollback_unavailable"},
		Validating: {"generation_not_ready", "unchanged", "changes", "conflict", "generation_not_ready", "rollback_unavailable"},
		Ready:      {"changes", "changes", "changes", "conflict", "changes", "rollback_unavailable"},
		Shifting:   {"changes", "conflict", "conflict", "conflict", "changes", "rollback_unavailable"},
		Live:       {"unchanged", "conflict", "conflict", "conflict", "unchanged", "unchanged"},
		Standby:    {"conflict", "conflict", "changes", "changes", "changes", "changes"},
		Failed:     {"generation_not_ready", "changes", "changes", "changes", "generation_not_ready", "rollback_unavailable"},
		Rejected:   {"generation_not_ready", "changes", "changes", "changes", "generation_not_ready", "rollback_unavailable"},
		Retiring:   {"generation_not_ready", "conflict", "unchanged", "conflict", "generation_not_ready", "rollback_unavailable"},
		Retired:    {"generation_not_ready", "conflict", "unchanged", "conflict", "generation_not_ready", "rollback_unavailable"},
	}
	for state, row := range table {
		for i, command := range commands {
			t.Run(fmt.Sprintf("%s %s", command, state), func(t *testing.T) {
				t.Parallel()
				w, n := brought(t, state)
				tr, err := ask(w, command, n)
				got := "unchanged"
				if r := refusal(err); r != nil {
					checkRefusal(t, w.e, r)
					got = string(r.Code)
				} else if w.do(tr, err); tr.Answer.Changed {
					got = "changes"
				}
				if got != row[i] {
					t.Errorf("got %s (%v), want %s", got, err, row[i])
				}
				if changed := !tr.Empty(); changed != (got == "changes") {
					t.Errorf("%s, and the transition is empty: %v", got, !changed)
				}
				if tr, err := ask(w, command, 99); refusal(err) == nil || refusal(err).Code != NotFound {
					t.Errorf("of an unknown generation: %v, %+v", err, tr.Answer)
				}
			})
		}
	}
}

func ask(w *world, command string, n int) (Transition, error) {
	e := w.naming(n)
	switch command {
	case "promote":
		return e.Promote(PromoteCommand{Actor: alice, Generation: n}, w.now)
	case "validate":
		return e.Validate(ValidateCommand{Actor: alice, Generation: n}, w.now)
	case "retire":
		return e.Retire(RetireCommand{Actor: alice, Generation: n}, w.now)
	case "retain":
		return e.Retain(RetentionCommand{Actor: alice, Generation: n, KeepUntil: w.now.Add(time.Hour)}, w.now)
	case "weights":
		weights := Weights{e.Live: 80, n: 20}
		if n == e.Live {
			weights = Weights{n: 100}
		}
		return e.SetWeights(WeightsCommand{Actor: alice, Weights: weights}, w.now)
	}
	return e.Rollback(RollbackCommand{Actor: alice, To: n}, w.now)
}

func TestCommands_OfAnEnvironmentBeingDeleted(t *testing.T) {
	t.Parallel()
	w, _ := brought(t, Standby)
	w.changes(w.e.Delete(DeleteCommand{Actor: alice, Force: true}, w.now))
	for _, command := range []string{"promote", "validate", "retain", "rollback to"} {
		w.refused(Conflict)(ask(w, command, 1))
	}
	w.refused(Conflict)(w.weights(Weights{1: 100}))
	w.refused(Conflict)(w.e.Register(RegisterCommand{Actor: alice, Groups: w.groups()}, w.now))
	w.refused(Conflict)(w.e.SetLock(LockCommand{Actor: alice}, w.now))
	w.refused(Conflict)(w.e.Replace(PutCommand{Actor: alice, Name: "shop"}, w.now))
	w.refused(Conflict)(w.e.Create(PutCommand{Actor: alice, Name: "shop"}, w.now))
	if _, err := w.e.Plan(PromoteCommand{Generation: 1}, w.now); refusal(err).Code != Conflict {
		t.Errorf("plan: %v", err)
	}
	w.unchanged(w.e.Delete(DeleteCommand{Actor: alice}, w.now))
	w.unchanged(ask(w, "retire", 1))
}
