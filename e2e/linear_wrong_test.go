package e2e

import (
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"

	"viridian/client"
)

// wrong are histories like this one in which one answer is what it must not be.
func (s *stall) wrong() map[string][]porcupine.Operation {
	s.Helper()
	out := map[string][]porcupine.Operation{}
	// plant spoils the answer in the middle of the history that fits, and maybe another one.
	plant := func(what string, fits func(d demand, r reply) bool, spoil func(r reply, ops []porcupine.Operation) any) {
		ops := slices.Clone(s.history)
		for i := range ops {
			at := (i + len(ops)/2) % len(ops)
			if !fits(ops[at].Input.(demand), ops[at].Output.(reply)) {
				continue
			}
			ops[at].Output = spoil(ops[at].Output.(reply), ops)
			out[what] = ops
			return
		}
		s.Logf("%s: %s: there is no answer that it could be planted in", s.name, what)
	}
	changed := func(_ demand, r reply) bool { return r.changed }
	plant("two are told of one switch", changed, func(mine reply, ops []porcupine.Operation) any {
		for i := range ops {
			if r := ops[i].Output.(reply); r.changed && r.revision != mine.revision {
				return r
			}
		}
		return mine
	})
	plant("two switches have exchanged their revisions", changed, func(mine reply, ops []porcupine.Operation) any {
		for i := range ops {
			if r := ops[i].Output.(reply); r.changed && r.weights != mine.weights {
				mine.revision, r.revision = r.revision, mine.revision
				ops[i].Output = r
				break
			}
		}
		return mine
	})
	refused := func(d demand, r reply) bool { return d.verb == doPromote && r.code == client.CodeRevisionMismatch }
	plant("a promote that was refused is said to be done", refused, func(r reply, _ []porcupine.Operation) any {
		return reply{revision: r.revision + 1, changed: true}
	})
	read := func(d demand, r reply) bool { return d.verb == doRoute && r.revision > 3 }
	plant("a read is of the past", read, func(r reply, _ []porcupine.Operation) any {
		r.revision -= 2
		return r
	})
	plant("a read tells another previous generation", read, func(r reply, _ []porcupine.Operation) any {
		r.previous = 1 + r.previous%kinship
		return r
	})
	rejected := func(d demand, r reply) bool { return d.verb == doLook && r.state == client.GenerationStateRejected }
	plant("a rejected generation is said to be standby", rejected, func(reply, []porcupine.Operation) any {
		return reply{state: client.GenerationStateStandby}
	})
	again := func(d demand, r reply) bool { return d.verb == doRollback && !r.changed && r.code == "" && !r.unknown }
	plant("a rollback that was there before is told of another switch", again, func(r reply, _ []porcupine.Operation) any {
		r.revision++
		return r
	})
	return out
}

// TestProveLinearizable_ModelCanFail feeds the model histories that must be, and some that must not.
func TestProveLinearizable_ModelCanFail(t *testing.T) {
	t.Parallel()
	at := int64(0)
	// then is a demand after everything before it.
	then := func(d demand, r reply) porcupine.Operation {
		at += 10
		return porcupine.Operation{Input: d, Output: r, Call: at, Return: at + 5}
	}
	promote, rollback := demand{verb: doPromote, generation: 2}, demand{verb: doRollback, generation: 2}
	made := func(revision int64, live int) reply {
		return reply{revision: revision, changed: true, weights: only(live)}
	}
	route := func(revision int64, live, previous int) porcupine.Operation {
		return then(demand{verb: doRoute}, reply{revision: revision, live: live, previous: previous, weights: only(live)})
	}
	unknown := reply{unknown: true}
	for name, c := range map[string]struct {
		history []porcupine.Operation
		want    bool
	}{
		"there and back":              {[]porcupine.Operation{then(promote, made(2, 2)), route(2, 2, 1), then(rollback, made(3, 1)), route(3, 1, 0)}, true},
		"asked again":                 {[]porcupine.Operation{then(promote, made(2, 2)), then(rollback, made(3, 1)), then(rollback, reply{revision: 3})}, true},
		"a second rollback goes on":   {[]porcupine.Operation{then(promote, made(2, 2)), then(rollback, made(3, 1)), then(rollback, made(4, 1))}, false},
		"unknown, and it happened":    {[]porcupine.Operation{then(promote, unknown), route(2, 2, 1)}, true},
		"unknown, and it did not":     {[]porcupine.Operation{then(promote, unknown), route(1, 1, 0)}, true},
		"unknown, and it came late":   {[]porcupine.Operation{then(promote, unknown), route(1, 1, 0), route(2, 2, 1)}, true},
		"unknown, and it was undone":  {[]porcupine.Operation{then(promote, unknown), route(2, 2, 1), route(1, 1, 0)}, false},
		"unknown, and it came twice":  {[]porcupine.Operation{then(promote, unknown), then(rollback, made(3, 1)), route(4, 2, 1)}, false},
		"a lost switch":               {[]porcupine.Operation{then(promote, made(2, 2)), route(1, 1, 0)}, false},
		"a wrong revision":            {[]porcupine.Operation{then(promote, made(3, 2))}, false},
		"a promote of a rejected one": {[]porcupine.Operation{then(promote, made(2, 2)), then(rollback, made(3, 1)), then(promote, made(4, 2))}, false},
		"validated, and promoted": {[]porcupine.Operation{then(promote, made(2, 2)), then(rollback, made(3, 1)),
			then(demand{verb: doValidate, generation: 2}, reply{}), then(promote, made(4, 2))}, true},
		"validating after it was ready": {[]porcupine.Operation{then(promote, made(2, 2)), then(rollback, made(3, 1)),
			then(demand{verb: doValidate, generation: 2}, reply{}),
			then(demand{verb: doLook, generation: 2}, reply{state: client.GenerationStateReady}),
			then(demand{verb: doLook, generation: 2}, reply{state: client.GenerationStateValidating})}, false},
		"in progress, and then not": {[]porcupine.Operation{then(promote, made(2, 2)),
			then(demand{verb: doPromote, generation: 3}, reply{code: client.CodePromotionInProgress, revision: 2}),
			then(demand{verb: doPromote, generation: 3}, made(3, 3)), route(3, 3, 2)}, true},
		"superseded, and kept all the same": {[]porcupine.Operation{then(promote, made(2, 2)),
			then(demand{verb: doPromote, generation: 3, supersede: true}, made(3, 3)), route(3, 3, 1),
			then(demand{verb: doLook, generation: 2}, reply{state: client.GenerationStateStandby})}, false},
		"a rollback to what was retired": {[]porcupine.Operation{then(promote, made(2, 2)),
			then(demand{verb: doRetire, generation: 1}, reply{}), then(rollback, made(3, 1))}, false},
	} {
		if got := porcupine.CheckOperations(markets(c.history), c.history); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
