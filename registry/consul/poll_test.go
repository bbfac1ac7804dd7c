package consul

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"
)

// TestPoll_FollowsTheRulesOfIndexes: one that goes back is begun anew, one of 0 would not block, and after an error the
// next answer is a fresh one.
func TestPoll_FollowsTheRulesOfIndexes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &Registry{clock: clockwork.NewRealClock(), log: slog.New(slog.DiscardHandler)}
	answers := []uint64{5, 7, 3, 4, 0, 9, 2}
	var asked []uint64
	lost := 0
	r.poll(ctx, func(q *api.QueryOptions) (*api.QueryMeta, error) {
		if !q.RequireConsistent || q.WaitTime != rhythm {
			t.Errorf("asked with %+v", q)
		}
		asked = append(asked, q.WaitIndex)
		n := len(asked)
		if n > len(answers) {
			cancel()
			return nil, errors.New("over")
		}
		if answers[n-1] == 9 {
			return nil, errors.New("no leader")
		}
		return &api.QueryMeta{LastIndex: answers[n-1]}, nil
	}, func(err error) {
		lost++
		if err != nil {
			t.Errorf("told of a moment: %v", err)
		}
	})
	// 3 is below 7, and 0 below 4: both begin anew; so does the answer after the error.
	if want := []uint64{0, 5, 7, 0, 4, 0, 0, 2}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	if lost != 1 {
		t.Errorf("%d answers were lost, want 1", lost)
	}
	if got := nextIndex(0, 0); got != 1 {
		t.Errorf("an index of 0 is followed by %d", got)
	}
}

// TestPoll_TellsAMissingPermissionAtOnce, for that does not pass by itself.
func TestPoll_TellsAMissingPermissionAtOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &Registry{clock: clockwork.NewFakeClock(), log: slog.New(slog.DiscardHandler)}
	var told error
	r.poll(ctx, func(*api.QueryOptions) (*api.QueryMeta, error) {
		return nil, api.StatusError{Code: 403, Body: "rpc error making call: ACL not found"}
	}, func(err error) {
		told = err
		cancel()
	})
	if told == nil || !missesPermission(told) {
		t.Errorf("told of %v", told)
	}
}
