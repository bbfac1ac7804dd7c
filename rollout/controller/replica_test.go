package controller

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/registry"
	"viridian/rollout"
)

// replica is the loops and use cases of one process over fakes; use it within synctest.
type replica struct {
	t       *testing.T
	store   *memory
	node    *node
	reg     *healthyRegistry
	service *Service
	cancel  context.CancelFunc
	done    sync.WaitGroup
	// followed gets how the follower ended.
	followed chan error
}

// startReplica starts one; options change what its loops are made of.
func startReplica(t *testing.T, store *memory, n *node, incarnation string, fp *failpoint.Set, options ...func(*Options)) *replica {
	t.Helper()
	r := &replica{t: t, store: store, node: n, reg: &healthyRegistry{announced: map[int]bool{}}, followed: make(chan error, 1)}
	o := Options{Store: store, Hub: NewHub(), Clock: clockwork.NewRealClock(), Random: func() float64 { return 0.5 },
		Failpoints: fp, Log: slog.New(slog.DiscardHandler), Local: n,
		Node:       rollout.Node{Router: "builtin", Name: n.name, Incarnation: incarnation},
		Registries: map[string]registry.Registry{"static": r.reg},
		LeaseTTL:   DefaultLeaseTTL, Poll: DefaultPoll, CallTimeout: DefaultCallTimeout}
	for _, change := range options {
		change(&o)
	}
	r.service = NewService(o)
	ctx, cancel := context.WithCancel(t.Context())
	r.cancel = cancel
	follower, worker := NewFollower(o), NewWorker(o)
	r.done.Go(func() { r.followed <- follower.Run(ctx) })
	r.done.Go(func() { _ = worker.Run(ctx) })
	return r
}

func (r *replica) stop() {
	r.cancel()
	r.done.Wait()
}

// world is a replica with an environment that has one ready generation.
func world(t *testing.T, fp *failpoint.Set) *replica {
	t.Helper()
	r := startReplica(t, newMemory(fp), newNode("n1"), "first", fp)
	r.create("shop")
	r.register("shop", 1)
	return r
}

func (r *replica) create(name string) {
	r.t.Helper()
	spec, err := rollout.ParseSpec([]byte(`{"services": [{"name": "web"}], "retention": {"keep_for": "1h", "drain": "5s"}}`))
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.service.CreateEnvironment(r.t.Context(), rollout.PutCommand{Name: name, Spec: spec}, nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) register(name string, number int) {
	r.t.Helper()
	out, err := r.service.RegisterGeneration(r.t.Context(), name, rollout.RegisterCommand{Version: "v", Groups: []rollout.Group{
		{Service: "web", Instances: []rollout.Instance{{ID: "a", Address: "10.0.0.1", Port: 8000 + number}}}}}, nil)
	if err != nil || out.Generation != number {
		r.t.Fatalf("registered generation %d, %v; want %d", out.Generation, err, number)
	}
}

func (r *replica) environment() rollout.Environment {
	r.t.Helper()
	r.store.mu.Lock()
	defer r.store.mu.Unlock()
	return r.store.load("shop")
}

func (r *replica) state(number int) rollout.GenerationState {
	g, ok := r.environment().Generation(number)
	if !ok {
		return rollout.Retired
	}
	return g.State
}

// within waits until the condition holds; in a synctest bubble the time is not real.
func within(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for synctest.Wait(); !holds(); synctest.Wait() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-tick.C
	}
}
