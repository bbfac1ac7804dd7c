package store

import (
	"context"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// answer is a rollout.Answer as it is kept under an idempotency key.
type answer struct {
	Revision   int64    `json:"revision"`
	Changed    bool     `json:"changed"`
	Generation int      `json:"generation"`
	Warnings   []string `json:"warnings,omitempty"`
}

func answerOf(a rollout.Answer) answer { return answer(a) }

// replayed is the outcome of a command that was carried out before.
func replayed(record *keyRecord) (controller.Outcome, error) {
	var kept answer
	if err := record.read(&kept); err != nil {
		return controller.Outcome{}, err
	}
	return controller.Outcome{Answer: rollout.Answer(kept), Replayed: true, Response: record.response}, nil
}

// Transact locks and loads the environment, lets decide take a decision on it, and writes the transition with its
// events, all in one transaction. decide may be called again when another transaction was in the way.
//
// Errors of decide are returned as they are, and nothing is written. Refusals of the store's own: not_found,
// environment_busy (another transaction holds the environment; nothing was done), instance_in_use, host_in_use,
// invalid_request (a text with U+0000), idempotency_key_reused, idempotency_in_flight. Errors that wrap
// [ErrUnavailable] mean that nothing was changed, unless they wrap [ErrOutcomeUnknown] too; one that wraps
// failpoint.ErrInjected may come after the commit.
func (s *Store) Transact(ctx context.Context, cmd controller.Command, decide controller.Decision) (controller.Outcome, error) {
	for try := 1; ; try++ {
		out, err := s.transact(ctx, cmd, decide)
		explained, free := s.explain(ctx, err)
		if !free || try == tries {
			return out, explained
		}
	}
}

// explain says who has what a unique key refused; free means that nobody has it any more.
func (s *Store) explain(ctx context.Context, err error) (explained error, free bool) {
	switch name, detail := constraintOf(err); name {
	case constraintInstance:
		explained = s.instanceInUse(ctx, detail)
	case constraintHost:
		explained = s.hostInUse(ctx, detail)
	default:
		return err, false
	}
	if explained == nil {
		return rollout.Refuse(rollout.EnvironmentBusy, "others are changing this just now", "ask again in a moment"), true
	}
	return explained, false
}

func (s *Store) transact(ctx context.Context, cmd controller.Command, decide controller.Decision) (controller.Outcome, error) {
	var before aggregate
	var end chain
	var out controller.Outcome
	record, err := s.take(ctx, turn{key: cmd.Key, definite: true,
		load: func(b *batch) {
			s.queueAggregate(b, &before, cmd.Environment, true, cmd.Generations...)
			queueChain(b, &end, cmd.Environment)
			if cmd.Create { // a spec is written
				queueNeighbours(b, &before, cmd.Environment)
			}
		},
		decide: func(now time.Time, w *writes) error {
			if !cmd.Create && (!before.found || before.DeletedAt != nil) {
				return noEnvironment(cmd.Environment)
			}
			before.HeardSince = s.heardSince(now)
			t, err := decide(before.Environment, now)
			if err != nil {
				return err
			}
			out = controller.Outcome{Answer: t.Answer}
			w.chain, w.answer = end, answerOf(t.Answer)
			if !t.Empty() {
				w.decided, w.committed = cmd.Decided, cmd.Committed
			}
			out.Environment = writeTransition(w, before, t)
			return nil
		},
	})
	if err != nil || record == nil {
		return out, err
	}
	if out, err = replayed(record); err != nil {
		return out, err
	}
	// Under a key of our own it was this very call that did it.
	out.Replayed = cmd.Key != nil
	out.Environment = before.Environment
	return out, nil
}

// writeTransition queues everything that a transition changes, in the order of the foreign keys, and returns the
// environment as it will be.
func writeTransition(w *writes, before aggregate, t rollout.Transition) rollout.Environment {
	if t.Empty() {
		return before.Environment
	}
	b, e := &w.batch, t.After
	decided := len(t.Events) > 0 || len(t.Changed) > 0 || t.SpecChanged || t.Touched
	e.Version = before.Version
	if !before.found {
		insertEnvironment(b, e)
		e.Version = 1
	}
	if t.SpecChanged {
		e.Version += writeSpec(b, before, e, t.Events)
		e.Nodes = before.nodesOf(e.Spec)
	}
	writeGenerations(b, before, t)
	writePromotions(b, before, t.Promotions)
	writeSwitches(b, t)
	if e.DeletedAt != nil && before.DeletedAt == nil {
		releaseHosts(b, e.Name)
	}
	news := writeFacts(b, before, t.Facts)
	switch {
	case decided:
		updateEnvironment(b, e)
	case news:
		touchEnvironment(b, e)
	default:
		// Only the times of readings and receipts are new. A crash may lose that: they would soon be old anyway.
		b.exec(`SELECT set_config('synchronous_commit', 'off', true)`)
		return e
	}
	w.events, w.notify = t.Events, []string{e.Name}
	e.Version++
	return e
}
