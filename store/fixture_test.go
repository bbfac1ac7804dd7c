package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
	"viridian/store/storetest"
)

var alice = rollout.Actor{Kind: rollout.ActorToken, ID: "1", Name: "alice"}

var edge = rollout.Node{Router: "builtin", Name: "edge-1", Incarnation: "1@1", Version: "test"}

// world is one database with a store on it.
type world struct {
	testing.TB
	url string
	*store.Store
}

func newWorld(t testing.TB, change ...func(*store.Options)) *world {
	t.Helper()
	w := &world{TB: t, url: storetest.Database(t)}
	w.Store = w.open(change...)
	return w
}

// open makes one more store on the database, as another replica has.
func (w *world) open(change ...func(*store.Options)) *store.Store {
	w.Helper()
	// Patient, because many tests share the machine.
	o := store.Options{URL: w.url, ListenURL: w.direct(), CallTimeout: 60 * time.Second, LockTimeout: 40 * time.Second, IdleTimeout: time.Minute, PruneTime: time.Minute,
		Timing: rollout.Timing{Silence: time.Hour, Freshness: time.Hour, Grace: time.Second}}
	for _, fn := range change {
		fn(&o)
	}
	s, err := store.Open(w.Context(), o)
	w.must(err)
	w.Cleanup(s.Close)
	return s
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// raw is a connection of the tables' owner, past the store.
func (w *world) raw() *pgx.Conn {
	w.Helper()
	conn, err := pgx.Connect(w.Context(), w.direct())
	w.must(err)
	w.Cleanup(func() { _ = conn.Close(context.WithoutCancel(w.Context())) })
	return conn
}

// direct is the URL past any pooler.
func (w *world) direct() string { return storetest.Direct(w.url) }

func (w *world) count(sql string, args ...any) (n int) {
	w.Helper()
	w.must(w.raw().QueryRow(w.Context(), sql, args...).Scan(&n))
	return n
}

func spec(t testing.TB, text string) rollout.Spec {
	t.Helper()
	s, err := rollout.ParseSpec([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const webSpec = `{"services": [{"name": "web"}], "retention": {"drain": "0s"}}`

// do runs a command that must succeed.
func (w *world) do(environment string, decide controller.Decision) controller.Outcome {
	w.Helper()
	out, err := w.Transact(w.Context(), controller.Command{Environment: environment, Create: true}, decide)
	w.must(err)
	return out
}

func create(name string, s rollout.Spec) controller.Decision {
	return func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Create(rollout.PutCommand{Actor: alice, Name: name, Spec: s}, now)
	}
}

func register(address string, ports ...int) controller.Decision {
	group := rollout.Group{Service: "web"}
	for i, port := range ports {
		group.Instances = append(group.Instances, rollout.Instance{ID: fmt.Sprintf("i%d", i), Address: address, Port: port, Meta: map[string]string{"rack": "b"}})
	}
	return func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		return e.Register(rollout.RegisterCommand{Actor: alice, Version: "1.0", Groups: []rollout.Group{group}}, now)
	}
}

func promote(number int, expected ...int64) controller.Decision {
	return func(e rollout.Environment, now time.Time) (rollout.Transition, error) {
		cmd := rollout.PromoteCommand{Actor: alice, Generation: number, Reason: "try", Force: true, Supersede: true}
		if len(expected) > 0 {
			cmd.ExpectedRevision = &expected[0]
		}
		return e.Promote(cmd, now)
	}
}

func rollback(e rollout.Environment, now time.Time) (rollout.Transition, error) {
	return e.Rollback(rollout.RollbackCommand{Actor: alice, Reason: "bad"}, now)
}

// ready registers a generation and records what makes it ready.
func (w *world) ready(environment, address string, ports ...int) int {
	w.Helper()
	number := w.do(environment, register(address, ports...)).Generation
	w.must(w.Heartbeat(w.Context(), edge, 0))
	e := w.record(environment, rollout.Facts{Announced: []int{number}, Staged: []rollout.Staging{w.staging(environment, number)},
		Readings: []rollout.Reading{{Generation: number, Service: "web", Healthy: len(ports), Total: len(ports)}}})
	if g, _ := e.Generation(number); g.State != rollout.Ready {
		w.Fatalf("generation %d is %s (%s), want ready", number, g.State, g.Reason)
	}
	return number
}

func (w *world) staging(environment string, number int) rollout.Staging {
	e, _, err := w.Environment(w.Context(), environment)
	w.must(err)
	return rollout.Staging{Generation: number, Router: edge.Router, Node: edge.Name, Incarnation: edge.Incarnation, SpecVersion: e.SpecVersion}
}

func (w *world) record(environment string, f rollout.Facts) rollout.Environment {
	w.Helper()
	e, err := w.Record(w.Context(), environment, 0, f)
	w.must(err)
	return e
}

// apply records that the node does what the route says.
func (w *world) apply(environment string) rollout.Environment {
	w.Helper()
	w.must(w.Heartbeat(w.Context(), edge, 0))
	e, _, err := w.Environment(w.Context(), environment)
	w.must(err)
	return w.record(environment, rollout.Facts{Receipts: []rollout.Receipt{receiptOf(e)}})
}

func receiptOf(e rollout.Environment) rollout.Receipt {
	return rollout.Receipt{Router: edge.Router, Node: edge.Name, Incarnation: edge.Incarnation, Revision: e.Revision,
		SpecVersion: e.SpecVersion, Hash: e.Route().Hash(), Weights: e.Weights, Grade: rollout.GradeFenced}
}

// shop is an environment with generation 1 live and applied, and generation 2 ready.
func (w *world) shop() {
	w.Helper()
	w.do("shop", create("shop", spec(w, webSpec)))
	w.do("shop", promote(w.ready("shop", "10.0.0.1", 80, 81)))
	w.apply("shop")
	w.ready("shop", "10.0.0.2", 80, 81)
}

func wantCode(t testing.TB, err error, code rollout.Code) {
	t.Helper()
	var refusal *rollout.Refusal
	if !errors.As(err, &refusal) || refusal.Code != code {
		t.Fatalf("got %v, want the code %s", err, code)
	}
	if len(refusal.Fixes) == 0 {
		t.Errorf("%s has no fix", refusal)
	}
}

// sameEnvironment compares aggregates as they mean: retired generations and groups are not loaded, empty is nil.
func sameEnvironment(t testing.TB, got, want rollout.Environment) {
	t.Helper()
	want.Generations = slices.DeleteFunc(slices.Clone(want.Generations), func(g rollout.Generation) bool { return g.State == rollout.Retired })
	order := cmp.Options{
		cmpopts.SortSlices(func(a, b rollout.Receipt) int { return strings.Compare(a.Router+" "+a.Node, b.Router+" "+b.Node) }),
		cmpopts.SortSlices(func(a, b rollout.Reading) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }),
		cmpopts.SortSlices(func(a, b rollout.Staging) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }),
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), order, cmpopts.IgnoreFields(rollout.Generation{}, "Groups"),
		cmpopts.IgnoreFields(rollout.Node{}, "SeenAt")); diff != "" {
		t.Fatalf("stored and returned differ (-returned +stored):\n%s", diff)
	}
}

func constraint(err error) string {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return ""
	}
	return pg.ConstraintName
}
