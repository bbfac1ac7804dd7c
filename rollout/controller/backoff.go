package controller

import (
	"log/slog"
	"regexp"
	"sync"
	"time"
)

// backoff spaces out attempts at what keeps failing, and keeps the log to one line for each new cause.
type backoff struct {
	random func() float64

	mu     sync.Mutex
	trials map[string]*trial
}

type trial struct {
	failures int
	cause    string
}

const (
	backoffFirst = 50 * time.Millisecond
	backoffCap   = 5 * time.Second
)

var digits = regexp.MustCompile(`[0-9]+`)

func newBackoff(random func() float64) *backoff {
	return &backoff{random: random, trials: map[string]*trial{}}
}

// failed notes a failure of key and returns how long to wait before the next attempt: doubling from 50 ms to 5 s,
// with jitter of a quarter. A cause is logged when it is new; a number in it (a port, a process) makes no new one.
func (b *backoff) failed(log *slog.Logger, key string, err error) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.trials[key]
	if t == nil {
		t = &trial{}
		b.trials[key] = t
	}
	if cause := digits.ReplaceAllString(err.Error(), "0"); cause != t.cause {
		t.cause = cause
		log.Warn("pass failed, will try again", "subject", key, "error", err)
	}
	pause := min(backoffFirst<<min(t.failures, 10), backoffCap)
	pause += time.Duration(float64(pause) * (b.random()/2 - 0.25))
	t.failures++
	return pause
}

// worked forgets the failures of key.
func (b *backoff) worked(log *slog.Logger, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.trials[key]; t != nil {
		delete(b.trials, key)
		log.Info("pass works again", "subject", key, "failures", t.failures)
	}
}
