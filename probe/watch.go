package probe

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
)

// minPause is the least time between two questions before the first verdict.
const minPause = 50 * time.Millisecond

// Spread is the usual jitter: the pause, longer or shorter by up to a tenth,
// so that the questions of many watchers do not come all at once.
func Spread(pause time.Duration) time.Duration {
	return time.Duration(float64(pause) * (0.9 + 0.2*rand.Float64()))
}

// Watch asks one instance again and again until ctx ends: at once, then, until
// the first verdict, every tenth of the interval (at least 50 ms), so that a
// new instance is known soon, and from then on every interval, counted from
// question to question. jitter varies each pause; nil leaves it as it is.
//
// report is called after every answer with the state, and why the instance
// failed just now, nil when it passed. It is never called concurrently, nor
// after ctx ended, and must not block for long. health must be a valid one of
// a specification: its interval and timeout are above zero.
func Watch(
	ctx context.Context, clock clockwork.Clock, health rollout.Health, address string, port int,
	jitter func(time.Duration) time.Duration, report func(State, error),
) {
	question := func(ctx context.Context) error { return Ask(ctx, health, address, port) }
	Repeat(ctx, clock, health, question, jitter, report)
}

// Repeat is Watch with a question of the caller's own, who may make it wait
// its turn: ask gets ctx and returns what [Ask] would.
func Repeat(
	ctx context.Context, clock clockwork.Clock, health rollout.Health, ask func(context.Context) error,
	jitter func(time.Duration) time.Duration, report func(State, error),
) {
	known := NewHysteresis(health)
	for ctx.Err() == nil {
		next := clock.NewTimer(pause(health, known.State(), jitter))
		err := ask(ctx)
		if ctx.Err() != nil {
			next.Stop()
			return
		}
		before := known.State()
		state := known.Add(err == nil)
		report(state, err)
		if before == Unknown && state != Unknown {
			// The pause that runs is a short one.
			next.Stop()
			next = clock.NewTimer(pause(health, state, jitter))
		}
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.Chan():
		}
	}
}

func pause(health rollout.Health, state State, jitter func(time.Duration) time.Duration) time.Duration {
	wait := health.Interval.Std()
	if state == Unknown {
		wait = min(wait, max(wait/10, minPause))
	}
	if jitter != nil {
		wait = jitter(wait)
	}
	return wait
}
