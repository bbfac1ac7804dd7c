package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"viridian/client"
	"viridian/failpoint"
	"viridian/registry"
	"viridian/registry/static"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/router/builtin"
	"viridian/router/routertest"
	"viridian/server/api"
	"viridian/store"
	"viridian/store/storetest"
)

// world is a whole replica in this process, over a real Postgres: API, loops, builtin router and static registry.
type world struct {
	t        *testing.T
	url      string
	database string
	store    *store.Store
	server   *server
	node     rollout.Node
	http     *http.Client
	contract *contractCheck
	logs     *lockedBuffer
	start    func() // starts the loops
	stop     func() // ends them
	conn     *pgx.Conn

	mu      sync.Mutex
	secrets []string
	tokens  map[string]string
}

// loops says whether a world carries out what is decided.
type loops bool

// newWorld makes one. change, if given, edits what its loops and use cases are made of.
func newWorld(t *testing.T, run loops, change ...func(*controller.Options)) *world {
	t.Helper()
	return newWorldOn(t, storetest.Database(t), run, change...)
}

func newWorldOn(t *testing.T, database string, run loops, change ...func(*controller.Options)) *world {
	t.Helper()
	w := &world{t: t, database: database, logs: &lockedBuffer{}, tokens: map[string]string{},
		node: rollout.Node{Router: "builtin", Name: "edge-1", Incarnation: "1-1", Version: "test"}}
	log := slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	clock := clockwork.NewRealClock()
	var err error
	if w.store, err = store.Open(t.Context(), store.Options{URL: w.database, Logger: log}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.store.Close)
	proxy, err := builtin.New(builtin.Options{Node: w.node.Name, Incarnation: w.node.Incarnation, StateDir: t.TempDir(), Clock: clock, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	o := controller.Options{Store: w.store, Hub: controller.NewHub(), Clock: clock, Random: func() float64 { return 0.5 }, Failpoints: &failpoint.Set{},
		Log: log, Local: proxy, Node: w.node, Registries: map[string]registry.Registry{"static": static.New(static.Options{Clock: clock, Logger: log})},
		LeaseTTL: time.Second, Poll: 100 * time.Millisecond, CallTimeout: 5 * time.Second}
	for _, fn := range change {
		fn(&o)
	}
	c := loadContract(t)
	w.server, err = newServer(Options{Service: controller.NewService(o), Store: w.store, OpenAPI: contractFile(t), Log: log, Clock: clock,
		Metrics: prometheus.NewRegistry(), ProxyReady: func() bool { return true }, Version: "test"}, c)
	if err != nil {
		t.Fatal(err)
	}
	w.start = func() { w.run(controller.NewFollower(o).Run, controller.NewWorker(o).Run, proxy.Run) }
	if run {
		w.start()
	}
	w.serve(c)
	t.Cleanup(w.noSecretInLogs)
	return w
}

func (w *world) run(loops ...func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	for _, loop := range loops {
		wait.Go(func() { _ = loop(ctx) })
	}
	w.stop = func() { cancel(); wait.Wait() }
	w.t.Cleanup(w.stop)
}

func (w *world) serve(c *api.Contract) {
	w.t.Helper()
	listening := httptest.NewUnstartedServer(nil)
	listening.Config = HTTPServer(w.server)
	listening.Start()
	w.url = listening.URL
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.contract.transport.CloseIdleConnections()
		if err := listening.Config.Shutdown(ctx); err != nil {
			w.t.Errorf("the server does not end: %v", err)
		}
		listening.Close()
		w.server.shutdown()
	})
	w.contract = newContractCheck(w.t, c)
	w.http = &http.Client{Transport: w.contract, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// token makes a token of the role for the environments, once.
func (w *world) token(role Role, globs ...string) string {
	w.t.Helper()
	key := string(role) + strings.Join(globs, ",")
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tokens[key] == "" {
		w.tokens[key] = w.newTokenLocked(role, 0, globs...)
	}
	return w.tokens[key]
}

func (w *world) newTokenLocked(role Role, lifetime time.Duration, globs ...string) string {
	w.t.Helper()
	id, token, err := rollout.NewToken(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _, err = w.store.CreateToken(w.t.Context(), store.NewToken{Actor: rollout.System, ID: id, Name: string(role), Role: string(role),
		Environments: globs, Hash: rollout.TokenHash(token), Lifetime: lifetime}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.secrets = append(w.secrets, token)
	return token
}

func (w *world) admin() string { return w.token(Admin, "*") }

// client is the generated client with a token.
func (w *world) client(token string) *client.ClientWithResponses {
	w.t.Helper()
	c, err := client.NewClientWithResponses(w.url, client.WithHTTPClient(w.http),
		client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer "+token)
			return nil
		}))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// answer is a response, read.
type answer struct {
	status  int
	header  http.Header
	body    string
	problem api.Problem
}

// request is one to be sent as it is. Without a Token there is none; a Body makes it application/json.
type request struct {
	Method, Path, Token, Body string
	Header                    map[string]string
}

func (w *world) send(r request) answer {
	w.t.Helper()
	a, err := w.try(r)
	if err != nil {
		w.t.Fatalf("%s %s: %v", r.Method, r.Path, err)
	}
	return a
}

func (w *world) try(r request) (answer, error) {
	var body io.Reader
	if r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	sent, err := http.NewRequestWithContext(context.Background(), r.Method, w.url+r.Path, body)
	if err != nil {
		return answer{}, err
	}
	if r.Body != "" {
		sent.Header.Set("Content-Type", "application/json")
	}
	if r.Token != "" {
		sent.Header.Set("Authorization", "Bearer "+r.Token)
	}
	for name, value := range r.Header {
		sent.Header.Set(name, value)
		if value == "" {
			sent.Header.Del(name)
		}
	}
	got, err := w.http.Do(sent)
	if err != nil {
		return answer{}, err
	}
	defer got.Body.Close()
	raw, err := io.ReadAll(got.Body)
	a := answer{status: got.StatusCode, header: got.Header, body: string(raw)}
	if got.Header.Get("Content-Type") == "application/problem+json" {
		err = json.Unmarshal(raw, &a.problem)
	}
	return a, err
}

// ok sends a request that must be answered with a status below 300.
func (w *world) ok(method, path, body string) answer {
	w.t.Helper()
	a := w.send(request{Method: method, Path: path, Body: body, Token: w.admin()})
	if a.status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a
}

// spec is an environment that is asked often, and whose generations go soon.
const spec = `{"services": [{"name": "web", "health": {"type": "http", "path": "/", "interval": "100ms", "timeout": "100ms", "healthy_after": 1}}],
	"retention": {"keep_for": "1h", "drain": "100ms"}}`

// environment makes one.
func (w *world) environment(name string) {
	w.t.Helper()
	w.ok("PUT", "/v1/environments/"+name, spec)
}

// register registers a generation of one real instance and returns its number.
func (w *world) register(environment string) int {
	w.t.Helper()
	in := routertest.NewBackend(w.t, 1).Instance("a")
	a := w.ok("POST", "/v1/environments/"+environment+"/generations", groups(in.Address, in.Port))
	var g api.Generation
	w.decode(a, &g)
	return g.Number
}

func groups(address string, port int) string {
	return fmt.Sprintf(`{"version": "1.0", "groups": [{"service": "web", "instances": [{"id": "a", "address": %q, "port": %d}]}]}`, address, port)
}

// ready registers a generation and waits until it is ready.
func (w *world) ready(environment string) int {
	w.t.Helper()
	n := w.register(environment)
	w.awaitState(environment, n, "ready")
	return n
}

func (w *world) promote(environment string, number int) {
	w.t.Helper()
	a := w.ok("POST", fmt.Sprintf("/v1/environments/%s/generations/%d/promote", environment, number), "{}")
	if a.status != 200 {
		w.t.Fatalf("promote: %d %s", a.status, a.body)
	}
}

func (w *world) awaitState(environment string, number int, state string) {
	w.t.Helper()
	path := fmt.Sprintf("/v1/environments/%s/generations/%d", environment, number)
	var g api.Generation
	w.until(func() bool {
		w.decode(w.ok("GET", path, ""), &g)
		return string(g.State) == state
	}, func() string {
		return fmt.Sprintf("generation %d is %s (%s), not %s", number, g.State, g.Reason, state)
	})
}

// until polls a condition with a deadline.
func (w *world) until(holds func() bool, otherwise func() string) {
	w.t.Helper()
	over := time.NewTimer(20 * time.Second)
	defer over.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-over.C:
			w.t.Fatal(otherwise())
		case <-tick.C:
		}
	}
}

func (w *world) decode(a answer, v any) {
	w.t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		w.t.Fatalf("%v: %s", err, a.body)
	}
}

func (w *world) noSecretInLogs() {
	logged := w.logs.String()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, secret := range w.secrets {
		if tail := secret[strings.LastIndex(secret, "_")+1:]; strings.Contains(logged, tail) {
			w.t.Errorf("the log holds the secret of a token")
		}
	}
	if logged == "" {
		w.t.Error("nothing was logged; is this check looking at the log?")
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
