package store

import (
	"context"
	"slices"
	"time"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/rollout/controller"
)

// Record takes facts into the environment, makes the moves that they allow, and returns the environment as it is then.
// With a term above 0 the lease must have that term and time left, else [controller.ErrLeaseLost] and nothing is
// written. Facts that say nothing new cost little and wake nobody. An unknown environment is refused with not_found, a
// deleted one is not; members that another generation has got meanwhile are refused with instance_in_use.
func (s *Store) Record(ctx context.Context, environment string, term int64, facts rollout.Facts) (rollout.Environment, error) {
	var before aggregate
	var end chain
	var after rollout.Environment
	holds := true
	// Without a key: to record the same facts twice does no harm.
	_, err := s.take(ctx, turn{load: func(b *batch) {
		s.queueAggregate(b, &before, environment, true)
		queueChain(b, &end, environment)
		if term > 0 {
			queueLease(b, &holds, environment, term)
		}
	}, decide: func(now time.Time, w *writes) error {
		switch {
		case !before.found:
			return noEnvironment(environment)
		case !holds:
			return controller.ErrLeaseLost
		}
		before.HeardSince = s.heardSince(now)
		transition := before.Environment.Record(facts, now)
		w.chain = end
		if len(transition.Events) > 0 {
			w.decided, w.committed = failpoint.SettleDecided, failpoint.SettleCommitted
		}
		after = writeTransition(w, before, transition)
		return nil
	}})
	if err != nil {
		err, _ = s.explain(ctx, err)
		return rollout.Environment{}, err
	}
	return after, nil
}

// writeFacts queues what was observed, and says whether anything of it is news.
func writeFacts(b *batch, before aggregate, f rollout.Facts) bool {
	writeReceipts(b, before.Name, f.Receipts)
	writeStagings(b, before.Name, f.Staged, f.Unstaged)
	deleteReceipts(b, before.Name, f.Forgotten)
	writeReadings(b, before.Name, f.Readings)
	news := len(f.Staged)+len(f.Unstaged)+len(f.Forgotten) > 0
	for _, r := range f.Receipts {
		news = news || !slices.ContainsFunc(before.Receipts, func(old rollout.Receipt) bool { return sameReceipt(old, r) })
	}
	for _, r := range f.Readings {
		news = news || !slices.ContainsFunc(before.Readings, func(old rollout.Reading) bool { return sameReading(old, r) })
	}
	return news
}
