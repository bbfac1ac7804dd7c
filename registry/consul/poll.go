package consul

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/consul/api"
)

// rhythm bounds a blocking query, so that a report comes at least every two seconds while Consul can be read.
const rhythm = 1500 * time.Millisecond

// firstPause and lastPause bound the wait after a call to Consul that failed.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 2 * time.Second
)

// blip is how long calls to Consul may fail before anybody is told: an election takes about that long.
const blip = 1500 * time.Millisecond

// errHidden is an answer from which the token's rights took something out: what is left is not the truth.
var errHidden = errors.New("the token may not see everything: " + readFix)

// notStreamed makes an agent ask its servers for health. Otherwise it answers blocking queries from what is streamed to it
// (Consul 1.22), which is not consistent and, for a token that is not known any more, is an empty list.
const notStreamed = "_agent"

// poll asks a blocking query again and again until ctx ends, by consistent reads. lost hears of each that failed: with
// no error while that may pass, and then with what it is.
func (r *Registry) poll(ctx context.Context, ask func(*api.QueryOptions) (*api.QueryMeta, error), lost func(error)) {
	var index uint64
	var failing spell
	pause := firstPause
	for ctx.Err() == nil {
		meta, err := ask((&api.QueryOptions{RequireConsistent: true, WaitIndex: index, WaitTime: rhythm, Near: notStreamed}).WithContext(ctx))
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			pause, index, failing = firstPause, nextIndex(index, meta.LastIndex), spell{}
			continue
		}
		index = 0
		lost(failing.worthTelling(r.clock.Now(), explain(ctx, "read health", err)))
		r.pause(ctx, pause)
		pause = min(2*pause, lastPause)
	}
}

// spell is a time in which calls to Consul fail.
type spell struct{ since time.Time }

// worthTelling is the error once it has lasted for a moment, or will not pass by itself; else nil.
func (s *spell) worthTelling(now time.Time, err error) error {
	if s.since.IsZero() {
		s.since = now
	}
	if !missesPermission(err) && now.Sub(s.since) < blip {
		return nil
	}
	return err
}

// nextIndex follows the rules of blocking queries: an index that goes back is begun anew, and is never below 1.
func nextIndex(last, now uint64) uint64 {
	if now < last {
		return 0
	}
	return max(now, 1)
}

func (r *Registry) pause(ctx context.Context, d time.Duration) {
	timer := r.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.Chan():
	case <-ctx.Done():
	}
}
