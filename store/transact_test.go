package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
)

// Every step's returned environment is what is stored, field by field.
func TestTransact_TheWholeWay(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]string{"prepared": "", "unprepared": "&default_query_exec_mode=exec"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *store.Options) { o.URL += mode })
			theWholeWay(t, w)
		})
	}
}

func theWholeWay(t *testing.T, w *world) {
	step := func(what string, e rollout.Environment) rollout.Environment {
		t.Helper()
		stored, now, err := w.Environment(t.Context(), e.Name)
		w.must(err)
		if time.Since(now).Abs() > time.Minute || now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
			t.Errorf("now is %v", now)
		}
		t.Log(what)
		sameEnvironment(t, stored, e)
		return stored
	}
	w.must(w.Heartbeat(t.Context(), edge, 0))
	shop := spec(t, `{"services": [{"name": "web", "hosts": ["shop.example"]}, {"name": "api"}], "description": "the shop",
		"validation": {"valid_for": "1h"}, "retention": {"drain": "0s", "keep_for": "1h"}}`)
	step("create", w.do("shop", create("shop", shop)).Environment)

	groups := func(address string) []rollout.Group {
		return []rollout.Group{
			{Service: "web", Instances: []rollout.Instance{{ID: "a", Address: address, Port: 80}, {ID: "b", Address: address, Port: 81, Meta: map[string]string{"k": "v"}}}},
			{Service: "api", Instances: []rollout.Instance{{ID: "c", Address: "host.example", Port: 1000 + len(address)}}},
		}
	}
	for n, address := range []string{"10.0.0.1", "2001:db8::1"} {
		out := w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
			return e.Register(rollout.RegisterCommand{Actor: alice, Version: "2.7", Groups: groups(address), Promote: n == 1,
				Artifact: &rollout.Artifact{Digest: "sha256:1", Source: &rollout.Source{Commit: "abc"}}, Metadata: map[string]string{"team": "ü"}}, now)
		})
		step("register", out.Environment)
		number := out.Generation
		if diff := cmp.Diff(groups(address), must(w.Generation(t.Context(), "shop", number)).Groups); diff != "" {
			t.Fatal(diff)
		}
		stored := must(w.Generation(t.Context(), "shop", number))
		if diff := cmp.Diff(out.Environment.Generations[n], stored, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		e := step("ready", w.record("shop", rollout.Facts{Announced: []int{number}, Staged: []rollout.Staging{w.staging("shop", number)},
			Readings: []rollout.Reading{{Generation: number, Service: "web", Healthy: 2, Total: 2}, {Generation: number, Service: "api", Healthy: 1, Total: 1, Detail: "slow"}}}))
		if n == 0 {
			step("promote", w.do("shop", promote(1)).Environment)
			step("applied", w.apply("shop"))
		} else if e.Live != 2 || e.Promotion == nil {
			t.Fatalf("generation 2 was not promoted by itself: live is %d", e.Live)
		}
	}
	step("receipt with what is in flight", w.record("shop", rollout.Facts{Receipts: []rollout.Receipt{func() rollout.Receipt {
		e, _, err := w.Environment(t.Context(), "shop")
		w.must(err)
		r := receiptOf(e)
		r.InFlight, r.Error = map[int]int{1: 3}, "a text"
		return r
	}()}}))
	w.apply("shop")
	e := step("manual weights", w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.SetWeights(rollout.WeightsCommand{Actor: alice, Weights: rollout.Weights{2: 70, 1: 30}}, now)
	}).Environment)
	if e.Promotion != nil || e.Weights[1] != 30 {
		t.Fatalf("weights are %v", e.Weights)
	}
	step("lock", w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.SetLock(rollout.LockCommand{Actor: alice, Reason: "look"}, now)
	}).Environment)
	e = step("rollback", w.do("shop", rollback).Environment)
	if e.Live != 1 || e.Hold == nil || e.Lock == nil {
		t.Fatalf("after the rollback: %+v", e)
	}
	step("applied", w.apply("shop"))
	step("retention", w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Retain(rollout.RetentionCommand{Actor: alice, Generation: 2, KeepUntil: now.Add(time.Hour)}, now)
	}).Environment)
	wider := shop
	wider.Description = "the big shop"
	step("replace", w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Replace(rollout.PutCommand{Actor: alice, Name: "shop", Spec: wider}, now)
	}).Environment)
	step("retire", w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Retire(rollout.RetireCommand{Actor: alice, Generation: 2}, now)
	}).Environment)
	step("removed", w.record("shop", rollout.Facts{Withdrawn: []int{2}, Unstaged: []rollout.Staging{{Generation: 2, Router: edge.Router, Node: edge.Name}}}))

	step("unlock", w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.ClearLock(alice, now)
	}).Environment)
	step("delete", w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Delete(rollout.DeleteCommand{Actor: alice, Force: true}, now)
	}).Environment)
	verify(t, w, "shop")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A name that is deleted and used again goes on where it was.
func TestTransact_ReuseOfAName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Store = w.open(func(o *store.Options) {
		o.Timing = rollout.Timing{Silence: time.Minute, Freshness: time.Minute, Grace: time.Microsecond}
	})
	w.shop()
	w.do("shop", func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Delete(rollout.DeleteCommand{Actor: alice, Force: true}, now)
	})
	w.apply("shop")
	e := w.record("shop", rollout.Facts{Withdrawn: []int{1, 2},
		Unstaged: []rollout.Staging{{Generation: 1, Router: edge.Router, Node: edge.Name}, {Generation: 2, Router: edge.Router, Node: edge.Name}}})
	for e.DeletedAt == nil {
		e = w.record("shop", rollout.Facts{})
	}
	_, err := w.Transact(t.Context(), controller.Command{Environment: "shop"}, promote(2))
	wantCode(t, err, rollout.NotFound)
	if n := w.count("SELECT count(*) FROM host_claim") + w.count("SELECT count(*) FROM instance_claim"); n != 0 {
		t.Errorf("%d claims stay", n)
	}
	if v := must(w.Versions(t.Context())); v["shop"] == 0 {
		t.Error("a deleted environment that a node still knows has no version")
	}
	w.record("shop", rollout.Facts{Forgotten: []rollout.Node{edge}})
	if v := must(w.Versions(t.Context())); len(v) != 0 {
		t.Errorf("a forgotten environment has versions %v", v)
	}
	revision := e.Revision
	again := w.do("shop", create("shop", spec(t, webSpec))).Environment
	stored, _, err := w.Environment(t.Context(), "shop")
	w.must(err)
	sameEnvironment(t, stored, again)
	if again.Revision != revision || again.LastNumber != 2 || again.Switch != nil || stored.Switch != nil || again.SpecVersion != 2 {
		t.Errorf("the second life begins as %+v", again)
	}
	w.do("shop", promote(w.ready("shop", "10.0.0.1", 80)))
	if e = w.apply("shop"); e.Revision != revision+1 || e.Live != 3 {
		t.Errorf("the second life is at revision %d with generation %d live", e.Revision, e.Live)
	}
	verify(t, w, "shop")
}

func TestTransact_RefusalsWriteNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *store.Options) { o.Finders = map[string]rollout.Finder{rollout.Builtin: rollout.FindsByFilter} })
	w.shop()
	before := dump(t, w)
	key := &controller.IdempotencyKey{Caller: "1", Key: "k", BodyHash: make([]byte, 32)}
	for name, c := range map[string]struct {
		command controller.Command
		decide  controller.Decision
		code    rollout.Code
	}{
		"unknown environment": {controller.Command{Environment: "nope", Key: key}, promote(1), rollout.NotFound},
		"refused":             {controller.Command{Environment: "shop", Key: key}, promote(2, 7), rollout.RevisionMismatch},
		"instance in use":     {controller.Command{Environment: "shop", Key: key}, register("10.0.0.1", 81), rollout.InstanceInUse},
		"character": {controller.Command{Environment: "shop", Key: key}, func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
			return e.SetLock(rollout.LockCommand{Actor: alice, Reason: "a\x00b"}, now)
		}, rollout.InvalidRequest},
		"host in use": {controller.Command{Environment: "other", Create: true, Key: key},
			create("other", spec(t, `{"services": [{"name": "web", "hosts": ["shop.localhost"]}]}`)), rollout.HostInUse},
		"name in the catalog in use": {controller.Command{Environment: "other", Create: true, Key: key},
			create("other", spec(t, `{"services": [{"name": "api", "catalog_name": "shop-web"}]}`)), rollout.Conflict},
	} {
		_, err := w.Transact(t.Context(), c.command, c.decide)
		t.Log(name, err)
		wantCode(t, err, c.code)
	}
	if diff := cmp.Diff(before, dump(t, w)); diff != "" {
		t.Errorf("refused commands changed the database:\n%s", diff)
	}
}

// A decision that changes nothing writes nothing, except the answer under its key.
func TestTransact_NothingChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	before := dump(t, w)
	out := w.do("shop", promote(1))
	if out.Changed || out.Revision != 1 || out.Environment.Name != "shop" {
		t.Fatalf("promote of the live one: %+v", out)
	}
	if diff := cmp.Diff(before, dump(t, w)); diff != "" {
		t.Errorf("it changed the database:\n%s", diff)
	}
}

func TestTransact_Failpoints(t *testing.T) {
	t.Parallel()
	points := must(failpoint.New("promote.decided=error@1;promote.committed=error@1;settle.decided=error@1"))
	w := newWorld(t)
	w.shop()
	w.Store = w.open(func(o *store.Options) { o.Failpoints = points })
	cmd := controller.Command{Environment: "shop", Decided: failpoint.PromoteDecided, Committed: failpoint.PromoteCommitted}
	if _, err := w.Transact(t.Context(), cmd, promote(2)); !errors.Is(err, failpoint.ErrInjected) {
		t.Fatalf("at decided: %v", err)
	}
	if e, _, _ := w.Environment(t.Context(), "shop"); e.Revision != 1 {
		t.Fatalf("decided is before the commit, but the revision is %d", e.Revision)
	}
	if _, err := w.Transact(t.Context(), cmd, promote(2)); !errors.Is(err, failpoint.ErrInjected) {
		t.Fatalf("at committed: %v", err)
	}
	e, _, _ := w.Environment(t.Context(), "shop")
	if e.Revision != 2 {
		t.Fatalf("committed is after the commit, but the revision is %d", e.Revision)
	}
	if _, err := w.Record(t.Context(), "shop", 0, rollout.Facts{Receipts: []rollout.Receipt{receiptOf(e)}}); !errors.Is(err, failpoint.ErrInjected) {
		t.Fatalf("at settle: %v", err)
	}
	if n := w.count("SELECT count(*) FROM switch WHERE revision = 2 AND status = 'applied'"); n != 0 {
		t.Fatal("settled although the failpoint is before the commit")
	}
	w.apply("shop")
}

// dump is all rows of all tables, as text.
func dump(t testing.TB, w *world) map[string]string {
	t.Helper()
	conn := w.raw()
	out := map[string]string{}
	for _, table := range []string{"environment", "spec_version", "host_claim", "generation", "instance", "instance_claim", "promotion", "switch",
		"receipt", "staging", "reading", "event", "event_chain", "event_counter", "event_anchor",
		"activation", "node", "lease", "idempotency", "token"} {
		var text *string
		w.must(conn.QueryRow(t.Context(), "SELECT string_agg(t::text, E'\\n' ORDER BY t::text) FROM "+table+" t").Scan(&text))
		if text != nil {
			out[table] = *text
		}
	}
	return out
}

// verify wants the whole log to be intact, and the named chains to have something in them.
func verify(t testing.TB, w *world, chains ...string) {
	t.Helper()
	report := must(w.VerifyAudit(t.Context(), store.AuditScope{Environments: []string{"*"}}, nil))
	events := map[string]int64{}
	for _, c := range report.Chains {
		events[c.Environment] = c.Events
		if c.Fault != nil {
			t.Errorf("chain %q: %+v", c.Environment, *c.Fault)
		}
	}
	if report.Problem != "" {
		t.Error(report.Problem)
	}
	for _, chain := range chains {
		if events[chain] == 0 && chain != "" {
			t.Errorf("chain %q has no events", chain)
		}
	}
}
