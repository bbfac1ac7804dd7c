package store_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

var everything = store.EventFilter{Environments: []string{"*"}, Limit: store.MaxLimit}

// Readers that resume behind the last id they saw get every event once and in order, while many transactions commit.
func TestEvents_NoGapsUnderConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const environments, rounds = 6, 25
	ctx, stop := context.WithCancel(t.Context())
	var writers, readers sync.WaitGroup
	seen := make([][]int64, 3)
	for i := range seen {
		readers.Go(func() {
			f := everything
			for {
				over := ctx.Err() != nil
				events, err := w.Events(t.Context(), f)
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range events {
					seen[i] = append(seen[i], e.ID)
					f.After = e.ID
				}
				if over && len(events) == 0 {
					return
				}
			}
		})
	}
	for n := range environments {
		writers.Go(func() {
			name := fmt.Sprintf("env-%d", n)
			w.do(name, create(name, spec(t, webSpec)))
			for range rounds {
				w.do(name, lock)
				_, _ = w.Transact(t.Context(), controller.Command{Environment: name, Create: true}, create(name, spec(t, webSpec))) // refused
				w.do(name, unlock)
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	last := must(w.LastEventID(t.Context()))
	if last != environments*(1+2*rounds) {
		t.Errorf("the last id is %d", last)
	}
	for i, ids := range seen {
		for j, id := range ids {
			if id != int64(j+1) {
				t.Fatalf("reader %d got id %d at place %d", i, id, j+1)
			}
		}
		if int64(len(ids)) != last {
			t.Errorf("reader %d got %d of %d events", i, len(ids), last)
		}
	}
	for n := range environments {
		verify(t, w, fmt.Sprintf("env-%d", n))
	}
}

func lock(e rollout.Environment, now time.Time) (rollout.Transition, error) {
	return e.SetLock(rollout.LockCommand{Actor: alice, Reason: "<why & \"how\">"}, now)
}

func unlock(e rollout.Environment, now time.Time) (rollout.Transition, error) {
	return e.ClearLock(alice, now)
}

func TestEvents_Filter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{"shop-a", "shop-b", "shopxb"} {
		w.do(name, create(name, spec(t, webSpec)))
		w.do(name, lock)
	}
	_, _, err := w.CreateToken(t.Context(), store.NewToken{Actor: alice, ID: "a", Name: "a", Role: "admin", Environments: []string{"*"}, Hash: make([]byte, 32)}, nil)
	w.must(err)
	for name, c := range map[string]struct {
		filter store.EventFilter
		want   []int64
	}{
		"all":         {store.EventFilter{Environments: []string{"*"}}, []int64{1, 2, 3, 4, 5, 6, 7}},
		"none":        {store.EventFilter{}, nil},
		"globs":       {store.EventFilter{Environments: []string{"shop-*"}}, []int64{1, 2, 3, 4}},
		"no pattern":  {store.EventFilter{Environments: []string{"shop_b", "shop%"}}, nil},
		"two globs":   {store.EventFilter{Environments: []string{"*-a", "shopxb"}}, []int64{1, 2, 5, 6}},
		"environment": {store.EventFilter{Environments: []string{"*"}, Environment: "shop-b"}, []int64{3, 4}},
		"not theirs":  {store.EventFilter{Environments: []string{"shop-a"}, Environment: "shop-b"}, nil},
		"kind":        {store.EventFilter{Environments: []string{"*"}, Kind: rollout.EventLockSet}, []int64{2, 4, 6}},
		"after":       {store.EventFilter{Environments: []string{"*"}, After: 5}, []int64{6, 7}},
		"limit":       {store.EventFilter{Environments: []string{"*"}, After: 1, Limit: 2}, []int64{2, 3}},
	} {
		var got []int64
		for _, e := range must(w.Events(t.Context(), c.filter)) {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// Whatever somebody with all rights changes in one chain, the verification finds it.
func TestVerifyChain_FindsTampering(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"edited actor":      "UPDATE event SET actor = 'mallory' WHERE position = 3",
		"edited kind":       "UPDATE event SET kind = 'lock.set' WHERE position = 3",
		"edited time":       "UPDATE event SET at = at + interval '1 microsecond' WHERE position = 3",
		"edited revision":   "UPDATE event SET revision = revision + 1 WHERE position = 3",
		"edited generation": "UPDATE event SET generation = generation + 1 WHERE position = 3",
		"edited data":       `UPDATE event SET data = replace(data::text, ':', ': ')::json WHERE position = 2`,
		"edited hash":       "UPDATE event SET hash = encode(sha256('x'), 'hex') WHERE position = 3",
		"edited link":       "UPDATE event SET prev_hash = encode(sha256('x'), 'hex') WHERE position = 3",
		"other environment": "INSERT INTO event_chain VALUES ('x', 0, ''); UPDATE event SET environment = 'x' WHERE position = 3",
		"deleted":           "DELETE FROM event WHERE position = 3",
		"deleted first":     "DELETE FROM event WHERE position = 1",
		"deleted last":      "DELETE FROM event WHERE position = (SELECT max(position) FROM event)",
		"deleted all":       "DELETE FROM event",
		"swapped content": `UPDATE event e SET kind = o.kind, actor = o.actor, at = o.at, revision = o.revision, generation = o.generation, data = o.data
			FROM event o WHERE e.position + o.position = 5 AND e.position IN (2, 3)`,
		"swapped ids":       "UPDATE event SET id = CASE position WHEN 2 THEN -3 ELSE -2 END WHERE position IN (2, 3); UPDATE event SET id = -id WHERE id < 0",
		"swapped positions": "UPDATE event SET position = -position WHERE position IN (2, 3); UPDATE event SET position = 5 + position WHERE position < 0",
		"cut chain":         "DELETE FROM event WHERE position > 3; UPDATE event_chain SET length = 3",
		"other head":        "UPDATE event_chain SET head = encode(sha256('x'), 'hex')",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.shop()
			verify(t, w, "shop", "")
			_, err := w.raw().Exec(t.Context(), `SET session_replication_role = replica; ALTER TABLE event DROP CONSTRAINT event_id; ALTER TABLE event DROP CONSTRAINT event_position;
				ALTER TABLE event DROP CONSTRAINT event_chain_position; ALTER TABLE event DROP CONSTRAINT event_chain_link; `+sql)
			w.must(err)
			report := must(w.VerifyChain(t.Context(), "shop"))
			if report.Intact || report.Problem == "" || report.Position == 0 {
				t.Fatalf("not found: %+v", report)
			}
		})
	}
}

// The hash is computed here anew from its description, so that it cannot change unnoticed: others verify by it, too.
func TestEvents_Hash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	events := must(w.Events(t.Context(), everything))
	prev := ""
	for i, e := range events {
		got := describedHash(prev, e, int64(i+1))
		if e.Hash != got || e.PrevHash != prev {
			t.Fatalf("event %d has hash %s after %s, want %s after %s", e.ID, e.Hash, e.PrevHash, got, prev)
		}
		prev = e.Hash
		if !strings.HasPrefix(string(e.Raw), "{") {
			t.Errorf("event %d: %s", e.ID, e.Raw)
		}
	}
	if len(events) < 10 {
		t.Fatalf("only %d events", len(events))
	}
}

func describedHash(prev string, e rollout.Event, position int64) string {
	sum := sha256.New()
	field := func(b []byte) {
		_ = binary.Write(sum, binary.BigEndian, uint64(len(b)))
		sum.Write(b)
	}
	number := func(n int64) { field(binary.BigEndian.AppendUint64(nil, uint64(n))) }
	field([]byte(prev))
	field([]byte(e.Environment))
	number(position)
	field([]byte(e.Kind))
	field([]byte(e.Actor))
	number(e.At.UnixMicro())
	number(e.Revision)
	number(int64(e.Generation))
	field(e.Raw)
	return hex.EncodeToString(sum.Sum(nil))
}

// Streams ask for events all the time. However many there are, and however slow, commands find a free connection.
func TestEvents_LeaveConnectionsToOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	tx, err := w.raw().Begin(t.Context())
	w.must(err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE event IN ACCESS EXCLUSIVE MODE`)
	w.must(err)
	crowd, leave := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 40 {
		readers.Go(func() {
			for crowd.Err() == nil {
				_, _ = w.Events(crowd, everything)
			}
		})
	}
	for range 100 {
		if _, _, err := w.Environment(t.Context(), "shop"); err != nil {
			t.Errorf("nobody else is served: %v", err)
			break
		}
	}
	leave()
	w.must(tx.Rollback(t.Context()))
	readers.Wait()
	if _, err := w.Events(t.Context(), everything); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
