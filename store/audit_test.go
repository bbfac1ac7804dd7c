package store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"viridian/audit"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

var whole = store.AuditScope{Environments: []string{"*"}}

// Whatever somebody with all rights changes in one chain, the verification finds it.
func TestVerifyAudit_FindsTampering(t *testing.T) {
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
			report := must(w.VerifyAudit(t.Context(), whole, nil))
			if report.Intact() {
				t.Fatalf("not found: %+v", report)
			}
			for _, c := range report.Chains {
				if c.Environment == "shop" && (c.Fault == nil || c.Fault.Problem == "" || c.Fault.Position == 0) {
					t.Errorf("the chain is %+v, fault %+v", c, c.Fault)
				}
			}
		})
	}
}

// The hash is computed here anew from its description, so that it cannot change unnoticed: others verify by it, too.
func TestAudit_Hash(t *testing.T) {
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

// chainOf is what the report says of one chain.
func chainOf(t testing.TB, r audit.Report, environment string) audit.Chain {
	t.Helper()
	for _, c := range r.Chains {
		if c.Environment == environment {
			return c
		}
	}
	t.Fatalf("no chain %q in %+v", environment, r)
	return audit.Chain{}
}

func TestVerifyAudit_Scope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("other", create("other", spec(t, webSpec)))
	_, _, err := w.CreateToken(t.Context(), ask("a"), nil)
	w.must(err)
	for name, c := range map[string]struct {
		scope store.AuditScope
		want  string
	}{
		"everything": {whole, "[ other shop]"},
		"globs":      {store.AuditScope{Environments: []string{"sh*", "x"}}, "[shop]"},
		"one":        {store.AuditScope{Environments: []string{"*"}, Environment: "other"}, "[other]"},
		"none":       {store.AuditScope{}, "[]"},
	} {
		var got []string
		for _, c := range must(w.VerifyAudit(t.Context(), c.scope, nil)).Chains {
			got = append(got, c.Environment)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %q, want %s", name, got, c.want)
		}
	}
	_, err = w.VerifyAudit(t.Context(), store.AuditScope{Environments: []string{"shop"}, Environment: "other"}, nil)
	wantCode(t, err, rollout.NotFound)
}

// A hash that was noted elsewhere is found at its place; one that is no part of the log shows that something was rewritten.
func TestVerifyAudit_Noted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	c := chainOf(t, must(w.VerifyAudit(t.Context(), whole, nil)), "shop")
	w.do("shop", lock)
	report := must(w.VerifyAudit(t.Context(), whole, []string{c.Verified.Head}))
	if !report.Intact() || report.Noted[0].Environment != "shop" || report.Noted[0].Position != c.Verified.Length {
		t.Errorf("%+v", report)
	}
	report = must(w.VerifyAudit(t.Context(), whole, []string{strings.Repeat("0", 64), c.Verified.Head}))
	if report.Intact() || report.Noted[0].Found || !report.Noted[1].Found {
		t.Errorf("%+v", report)
	}
}

// longAgo takes n pairs of decisions at a time of the past.
func (w *world) longAgo(environment string, n int, age time.Duration) {
	w.Helper()
	for range n {
		for _, decide := range []controller.Decision{lock, unlock} {
			w.do(environment, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
				return decide(e, now.Add(-age))
			})
		}
	}
}

const day = 24 * time.Hour

// What is pruned goes in batches, is recorded in its chain, and the rest stays provable: against a hash of what is left,
// and in an exported file.
func TestPrune_Audit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Store = w.open(func(o *store.Options) { o.AuditKeep = 60 * day })
	w.do("young", create("young", spec(t, webSpec)))
	w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return create("shop", spec(t, webSpec))(e, now.Add(-90*day))
	})
	w.longAgo("shop", 400, 80*day) // more than a batch
	w.longAgo("shop", 3, 50*day)
	before := chainOf(t, must(w.VerifyAudit(t.Context(), whole, nil)), "shop")
	gone := must(w.Events(t.Context(), store.EventFilter{Environments: []string{"shop"}}))[5].Hash
	forgetful := w.open()
	w.must(forgetful.Prune(t.Context())) // one that keeps for ever
	if n := w.count("SELECT count(*) FROM event WHERE environment = 'shop'"); n != 807 {
		t.Fatalf("%d events", n)
	}
	w.must(w.Prune(t.Context()))
	report := must(w.VerifyAudit(t.Context(), whole, []string{before.Verified.Head}))
	shop := chainOf(t, report, "shop")
	if !report.Intact() || shop.Anchor == nil || shop.Anchor.Position != 801 || shop.Events != 6+2 || shop.Verified.Length != 807+2 {
		t.Fatalf("%+v: %+v", report, shop)
	}
	if n := w.count("SELECT count(*) FROM event WHERE environment = 'shop' AND kind = 'audit.pruned'"); n != 2 {
		t.Errorf("pruning was recorded %d times", n)
	}
	if young := chainOf(t, report, "young"); young.Anchor != nil {
		t.Errorf("a young chain was pruned: %+v", young)
	}
	w.must(w.Prune(t.Context())) // nothing is left to do
	if n := w.count("SELECT count(*) FROM event WHERE environment = 'shop'"); n != 8 {
		t.Errorf("%d events stay", n)
	}
	if first := must(w.Events(t.Context(), store.EventFilter{Environments: []string{"shop"}})); first[0].PrevHash != shop.Anchor.Hash {
		t.Errorf("the first event follows %s, and the anchor is %s", first[0].PrevHash, shop.Anchor.Hash)
	}
	// The hash of what is gone shows no more, and is not taken for right.
	if report := must(w.VerifyAudit(t.Context(), whole, []string{gone})); report.Intact() {
		t.Error("the hash of an event that is gone was found")
	}
	for _, format := range []audit.Format{audit.NDJSON, audit.CSV} {
		report := must(audit.VerifyFile(bytes.NewReader(exported(w, 0, format)), []string{before.Verified.Head}))
		if !report.Intact() || chainOf(t, report, "shop").Events != 8 {
			t.Errorf("%s: %+v", format, report)
		}
	}
}

func exported(w *world, after int64, format audit.Format) []byte {
	w.Helper()
	var out bytes.Buffer
	to := audit.NewWriter(&out, format)
	w.must(w.ExportAudit(w.Context(), whole, after, to.Write))
	w.must(to.Flush())
	return out.Bytes()
}

// Several replicas prune at once, while others write and verify.
func TestPrune_AuditAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return create("shop", spec(t, webSpec))(e, now.Add(-90*day))
	})
	w.longAgo("shop", 300, 80*day)
	ended := make(chan error, 3)
	for range 3 {
		s := w.open(func(o *store.Options) { o.AuditKeep = 60 * day })
		go func() { ended <- s.Prune(t.Context()) }()
	}
	for done := 0; done < cap(ended); {
		select {
		case err := <-ended:
			w.must(err)
			done++
		default:
			w.do("shop", lock)
			w.do("shop", unlock)
			verify(t, w, "shop")
		}
	}
	verify(t, w, "shop")
	if n := w.count("SELECT position FROM event_anchor"); n != 601 {
		t.Errorf("pruned up to %d", n)
	}
}

// An exported file says by itself whether it is whole and right.
func TestExportAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("other", create("other", spec(t, webSpec)))
	w.longAgo("shop", 5, 0)
	for _, format := range []audit.Format{audit.NDJSON, audit.CSV} {
		for _, after := range []int64{0, 1, 7, must(w.LastEventID(t.Context()))} {
			file := exported(w, after, format)
			report, err := audit.VerifyFile(bytes.NewReader(file), nil)
			if err != nil || !report.Intact() || len(report.Chains) != 3 {
				t.Fatalf("%s after %d: %v, %+v\n%s", format, after, err, report, file)
			}
			var events int64
			for _, c := range report.Chains {
				events += c.Events
			}
			if want := must(w.LastEventID(t.Context())) - after; events != want {
				t.Errorf("%s after %d: %d events, want %d", format, after, events, want)
			}
			lines := strings.SplitAfter(string(file), "\n")
			if cut := strings.Join(lines[:len(lines)-2], ""); events > 0 {
				if report, err := audit.VerifyFile(strings.NewReader(cut), nil); err != nil || report.Intact() {
					t.Errorf("%s after %d without its last line: %v, %+v", format, after, err, report)
				}
			}
		}
	}
	stop := errors.New("stop")
	if err := w.ExportAudit(t.Context(), whole, 0, func(audit.Record) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a writer's error comes back as %v", err)
	}
	wantCode(t, w.ExportAudit(t.Context(), store.AuditScope{Environments: []string{"*"}, Environment: "none"}, 0,
		audit.NewWriter(io.Discard, audit.CSV).Write), rollout.NotFound)
}
