package controller_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/registry"
	"viridian/registry/static"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/router/builtin"
	"viridian/router/routertest"
	"viridian/store"
	"viridian/store/storetest"
)

// world is a replica in this process over a real Postgres: use cases, loops, builtin router and static registry. It
// can be stopped and started again, as another run on the same state folder.
type world struct {
	testing.TB
	database, dir string
	runs          int
	backends      map[int]*routertest.Backend

	store   *store.Store
	service *controller.Service
	proxy   *builtin.Router
	stop    func()
}

func newWorld(t testing.TB, stateDir string) *world {
	t.Helper()
	w := &world{TB: t, database: storetest.Database(t), dir: stateDir, backends: map[int]*routertest.Backend{}}
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

func (w *world) start() {
	w.Helper()
	w.runs++
	log, clock := slog.New(slog.DiscardHandler), clockwork.NewRealClock()
	node := rollout.Node{Router: builtin.Name, Name: "n1", Incarnation: fmt.Sprint("run-", w.runs)}
	var err error
	if w.store, err = store.Open(w.Context(), store.Options{URL: w.database, Logger: log}); err != nil {
		w.Fatal(err)
	}
	if w.proxy, err = builtin.New(builtin.Options{Node: node.Name, Incarnation: node.Incarnation, StateDir: w.dir, Clock: clock}); err != nil {
		w.Fatal(err)
	}
	o := controller.Options{Store: w.store, Hub: controller.NewHub(), Clock: clock, Random: func() float64 { return 0.5 },
		Failpoints: &failpoint.Set{}, Log: log, Local: w.proxy, Node: node, LeaseTTL: time.Second, Poll: 200 * time.Millisecond, CallTimeout: 5 * time.Second,
		Registries: map[string]registry.Registry{"static": static.New(static.Options{Clock: clock, Logger: log})}}
	w.service = controller.NewService(o)
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	for _, loop := range []func(context.Context) error{controller.NewFollower(o).Run, controller.NewWorker(o).Run, w.proxy.Run} {
		loops.Go(func() { _ = loop(ctx) })
	}
	w.stop = func() {
		cancel()
		loops.Wait()
		w.proxy.Close()
		w.store.Close()
		w.stop = func() {}
	}
}

// eventually waits until the condition holds.
func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			e, _, err := w.store.Environment(w.Context(), "shop")
			w.Fatalf("%s: not in time; %v, revision %d, switch %+v, mending %+v, receipts %+v", what, err, e.Revision, e.Switch, e.Mending, e.Receipts)
		}
	}
}

// environment is what the database says; false while it cannot be asked.
func (w *world) environment() (rollout.Environment, bool) {
	e, _, err := w.store.Environment(w.Context(), "shop")
	return e, err == nil
}

func (w *world) create() {
	w.Helper()
	spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web", "hosts": ["shop.test"], "health": {"interval": "100ms", "healthy_after": 1, "unhealthy_after": 2}}],
		"retention": {"keep_for": "1h", "drain": "100ms"}}`))
	if err == nil {
		_, err = w.service.CreateEnvironment(w.Context(), rollout.PutCommand{Actor: rollout.System, Name: "shop", Spec: spec}, nil)
	}
	if err != nil {
		w.Fatal(err)
	}
}

// deploy registers a generation with one real instance, promotes it, and waits until it is applied.
func (w *world) deploy() int {
	w.Helper()
	var e rollout.Environment
	w.eventually("the database answers again after a cut", func() (ok bool) { e, ok = w.environment(); return ok })
	b := routertest.NewBackend(w, e.LastNumber+1)
	out, err := w.service.RegisterGeneration(w.Context(), "shop", rollout.RegisterCommand{Actor: rollout.System, Version: "v",
		Groups: []rollout.Group{{Service: "web", Instances: []rollout.Instance{b.Instance("a")}}}}, nil)
	if err != nil {
		w.Fatal(err)
	}
	w.backends[out.Generation] = b
	w.eventually("the generation is ready", func() bool {
		e, _ := w.environment()
		g, _ := e.Generation(out.Generation)
		return g.State == rollout.Ready
	})
	promoted, err := w.service.PromoteGeneration(w.Context(), "shop", rollout.PromoteCommand{Actor: rollout.System, Generation: out.Generation}, nil)
	if err != nil {
		w.Fatal(err)
	}
	if _, reached, err := w.service.Await(w.Context(), "shop", promoted.Revision, controller.WaitApplied, 20*time.Second); err != nil || !reached {
		w.Fatalf("switch %d: applied %v, %v", promoted.Revision, reached, err)
	}
	return out.Generation
}

// serves asks the proxy once, and says which generation answered; 0 for none.
func (w *world) serves() int {
	answer := httptest.NewRecorder()
	w.proxy.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "http://shop.test/", nil))
	var generation int
	_, _ = fmt.Sscanf(answer.Body.String(), "generation %d", &generation)
	return generation
}

// inOrder says whether the node does what the database says, by a switch of that kind.
func (w *world) inOrder(kind rollout.SwitchKind) bool {
	e, ok := w.environment()
	if !ok || e.Switch == nil || e.Switch.Kind != kind || e.Switch.Status != rollout.Applied || len(e.Nodes) != 1 {
		return false
	}
	r, known := e.Receipt(e.Nodes[0])
	return known && r.Revision == e.Revision && r.Hash == e.Route().Hash()
}

// events counts the events of a kind.
func (w *world) events(kind string) int {
	w.Helper()
	events, err := w.store.Events(w.Context(), store.EventFilter{Environments: []string{"*"}, Environment: "shop", Kind: kind})
	if err != nil {
		return -1
	}
	return len(events)
}

// divert edits the node's state file so that everything goes to the generation, at the same revision.
func (w *world) divert(to int) {
	w.Helper()
	path := filepath.Join(w.dir, "shop.json")
	content, err := os.ReadFile(path)
	if err != nil {
		w.Fatal(err)
	}
	var file struct {
		State map[string]any `json:"state"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		w.Fatal(err)
	}
	file.State["weights"], file.State["live"] = map[string]int{fmt.Sprint(to): 100}, to
	state, err := json.Marshal(file.State)
	if err != nil {
		w.Fatal(err)
	}
	sum := sha256.Sum256(state)
	if err := os.WriteFile(path, fmt.Appendf(nil, `{"sha256": %q, "state": %s}`, hex.EncodeToString(sum[:]), state), 0o600); err != nil {
		w.Fatal(err)
	}
}

// administer runs statements on the server, of which %s is the name of the database.
func (w *world) administer(statements ...string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	config, err := pgx.ParseConfig(storetest.Direct(w.database))
	if err != nil {
		w.Fatal(err)
	}
	name := config.Database
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, s := range statements {
		if _, err := conn.Exec(ctx, strings.ReplaceAll(s, "%s", name)); err != nil {
			w.Fatalf("%s: %v", s, err)
		}
	}
}

const disconnect = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '%s'`

// backup copies the database; restore puts the copy in its place. Who is connected is cut off.
func (w *world) backup() {
	w.Helper()
	w.administer(`ALTER DATABASE %s ALLOW_CONNECTIONS false`, disconnect, `CREATE DATABASE %s_copy TEMPLATE %s`, `ALTER DATABASE %s ALLOW_CONNECTIONS true`)
}

func (w *world) restore() {
	w.Helper()
	w.administer(`ALTER DATABASE %s ALLOW_CONNECTIONS false`, `DROP DATABASE %s WITH (FORCE)`, `ALTER DATABASE %s_copy RENAME TO %s`)
}

// A node that comes up with a state file that somebody edited is found out, told of and mended.
func TestReal_DivergedStateFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, t.TempDir())
	w.create()
	w.deploy()
	w.deploy()
	w.stop()
	w.divert(1)
	w.start()
	w.eventually("healed", func() bool { return w.inOrder(rollout.SwitchHeal) && w.serves() == 2 })
	if e, _ := w.environment(); e.Revision != 3 || w.events(rollout.EventRouteDrifted) != 1 {
		t.Errorf("revision %d, told %d times", e.Revision, w.events(rollout.EventRouteDrifted))
	}
	for _, from := range []int64{2, 3} { // whoever saw the route before the heal may roll it back
		e, _ := w.environment()
		if !e.Keeps(from) {
			t.Errorf("revision %d does not count as seen: %+v", from, e.Mending)
		}
	}
	w.deploy()
}

// The database is restored from a copy of five switches ago, under the running replica or while it is down.
func TestReal_DatabaseRestored(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]bool{"running": false, "stopped": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, t.TempDir())
			w.create()
			w.deploy()
			w.backup()
			for range 5 {
				w.deploy()
			}
			if down {
				w.stop()
			}
			w.restore()
			if down {
				w.start()
			}
			if got := w.serves(); got != 6 {
				t.Errorf("the node serves %d before anybody has looked", got)
			}
			w.eventually("recovered", func() bool { return w.inOrder(rollout.SwitchRecover) && w.serves() == 1 })
			if e, _ := w.environment(); e.Revision != 7 || e.LastNumber != 6 || w.events(rollout.EventRouteAhead) != 1 {
				t.Errorf("revision %d, last number %d, told %d times", e.Revision, e.LastNumber, w.events(rollout.EventRouteAhead))
			}
			if got := w.deploy(); got != 7 || w.serves() != 7 {
				t.Errorf("deployed generation %d, the node serves %d", got, w.serves())
			}
		})
	}
}

// What the copy says is live is dead: the traffic stays with the generation that the database has lost.
func TestReal_DatabaseRestoredToADeadGeneration(t *testing.T) {
	t.Parallel()
	w := newWorld(t, t.TempDir())
	w.create()
	w.deploy()
	w.backup()
	w.deploy()
	w.backends[1].Close()
	w.restore()
	w.eventually("held", func() bool { return w.events(rollout.EventRecoveryHeld) == 1 })
	if e, _ := w.environment(); w.serves() != 2 || e.Revision != 1 {
		t.Fatalf("the node serves %d, the database is at revision %d", w.serves(), e.Revision)
	}
	if got := w.deploy(); got != 3 || w.serves() != 3 {
		t.Errorf("deployed generation %d, the node serves %d", got, w.serves())
	}
	w.eventually("recovered", func() bool { return w.inOrder(rollout.SwitchRecover) })
}

// With the disk of the state folder full, a rollback moves the traffic at once; that it is not durable is told, and it
// counts as applied when there is room again, by itself.
func TestReal_StateFolderFull(t *testing.T) {
	t.Parallel()
	disk := routertest.SmallDisk(t)
	w := newWorld(t, filepath.Join(disk, "state"))
	w.create()
	w.deploy()
	w.deploy()
	free := routertest.FillDisk(t, disk)
	out, err := w.service.Rollback(t.Context(), "shop", rollout.RollbackCommand{Actor: rollout.System, From: 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("traffic is back on generation 1", func() bool { return w.serves() == 1 })
	w.eventually("told what is the matter", func() bool {
		e, ok := w.environment()
		if !ok || len(e.Nodes) != 1 {
			return false
		}
		r, known := e.Receipt(e.Nodes[0])
		return known && r.Revision == 2 && strings.Contains(r.Error, "no space left")
	})
	if _, reached, err := w.service.Await(t.Context(), "shop", out.Revision, controller.WaitApplied, time.Second); reached || err != nil {
		t.Errorf("applied: %v, %v, while nothing can be written", reached, err)
	}
	w.stop()
	w.start() // on the full disk
	if got := w.serves(); got != 2 {
		t.Errorf("a new process serves generation %d before it has asked anybody, its file says 2", got)
	}
	w.eventually("traffic is on generation 1 again", func() bool { return w.serves() == 1 })
	free()
	w.eventually("applied", func() bool { return w.inOrder(rollout.SwitchRollback) })
	if got := w.deploy(); got != 3 {
		t.Errorf("deployed generation %d", got)
	}
}
