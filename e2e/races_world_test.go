package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/registry"
	"viridian/registry/static"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/store"
	"viridian/store/storetest"
)

// raceWorld is the use cases of two replicas on one database, without their loops: what nodes and registries are seen
// to do is recorded by hand.
type raceWorld struct {
	testing.TB
	stores   [2]*store.Store
	services [2]*controller.Service
}

// raceNode is the one node.
var raceNode = rollout.Node{Router: "builtin", Name: "edge", Incarnation: "1-1", Version: "test"}

func newRaceWorld(t testing.TB) *raceWorld {
	t.Helper()
	w := &raceWorld{TB: t}
	url := storetest.Database(t)
	for i := range w.stores {
		// Nobody falls silent and nothing grows old while the machine is busy.
		s, err := store.Open(t.Context(), store.Options{URL: url, CallTimeout: time.Minute, LockTimeout: 40 * time.Second, IdleTimeout: time.Minute,
			Timing: rollout.Timing{Silence: time.Hour, Freshness: time.Hour, Grace: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		w.stores[i] = s
		clock, log := clockwork.NewRealClock(), slog.New(slog.DiscardHandler)
		w.services[i] = controller.NewService(controller.Options{Store: s, Hub: controller.NewHub(), Clock: clock, Random: rand.Float64,
			Log: log, LeaseTTL: time.Second, Poll: time.Second, CallTimeout: time.Minute,
			Registries: map[string]registry.Registry{"static": static.New(static.Options{Clock: clock, Logger: log})}})
	}
	w.must(w.stores[0].Heartbeat(t.Context(), raceNode, 0))
	return w
}

func (w *raceWorld) must(err error) {
	if err != nil {
		w.Helper()
		w.Fatal(err)
	}
}

// now is the time; the database has the same clock.
func (w *raceWorld) now() time.Time { return time.Now() }

// arena is an environment for one race: generation 2 is live since revision 2, 1 is its previous one, and 3 is ready.
type arena struct {
	name         string
	wantLive     int
	wantRevision int64
	wantStates   map[int]rollout.GenerationState
}

var raceSpec = []byte(`{"services": [{"name": "web"}], "retention": {"drain": "0s", "keep_for": "24h", "keep_generations": 10}}`)

func (w *raceWorld) arena(n int) *arena {
	a := &arena{name: fmt.Sprintf("shop-%d", n)}
	spec, err := rollout.ParseSpec(raceSpec)
	w.must(err)
	s := w.services[n%2]
	_, err = s.CreateEnvironment(w.Context(), rollout.PutCommand{Actor: rollout.System, Name: a.name, Spec: spec}, nil)
	w.must(err)
	var facts rollout.Facts
	for number := 1; number <= 3; number++ {
		_, err := s.RegisterGeneration(w.Context(), a.name, rollout.RegisterCommand{Actor: rollout.System, Version: fmt.Sprint(number), Groups: []rollout.Group{{
			Service: "web", Instances: []rollout.Instance{{ID: "a", Address: fmt.Sprintf("10.%d.%d.%d", n>>16, n>>8&255, n&255), Port: 8000 + number}}}}}, nil)
		w.must(err)
		facts.Announced = append(facts.Announced, number)
		facts.Staged = append(facts.Staged, rollout.Staging{Generation: number, Router: raceNode.Router, Node: raceNode.Name, Incarnation: raceNode.Incarnation, SpecVersion: 1})
		facts.Readings = append(facts.Readings, rollout.Reading{Generation: number, Service: "web", Healthy: 1, Total: 1})
	}
	w.record(a.name, facts)
	for number := 1; number <= 2; number++ {
		_, err := s.PromoteGeneration(w.Context(), a.name, rollout.PromoteCommand{Actor: rollout.System, Generation: number}, nil)
		w.must(err)
		w.applied(a.name)
	}
	return a
}

// record takes facts in, as a loop does.
func (w *raceWorld) record(environment string, facts rollout.Facts) rollout.Environment {
	e, err := w.stores[0].Record(w.Context(), environment, 0, facts)
	w.must(err)
	return e
}

// applied records that the node does what the route says.
func (w *raceWorld) applied(environment string) {
	e, _, err := w.stores[0].Environment(w.Context(), environment)
	w.must(err)
	w.record(environment, rollout.Facts{Receipts: []rollout.Receipt{{Router: raceNode.Router, Node: raceNode.Name, Incarnation: raceNode.Incarnation,
		Revision: e.Revision, SpecVersion: e.SpecVersion, Hash: e.Route().Hash(), Weights: e.Weights, Grade: rollout.GradeFenced}}})
}

func (a *arena) leave(from int) rollout.RollbackCommand {
	return rollout.RollbackCommand{Actor: rollout.Actor{Kind: rollout.ActorToken, ID: "1", Name: "alice"}, From: from}
}

func (a *arena) key(name string) *controller.IdempotencyKey {
	sum := sha256.Sum256([]byte(name))
	return &controller.IdempotencyKey{Caller: "1", Key: a.name + name, BodyHash: sum[:]}
}

// keepFor lets the time of generation 1 end after the pause, or a longer one, when that is over before it is recorded.
func (w *raceWorld) keepFor(a *arena, pause time.Duration) (until time.Time) {
	for ; pause < time.Minute; pause *= 2 {
		until = w.now().Add(pause)
		_, err := w.services[0].SetRetention(w.Context(), a.name, rollout.RetentionCommand{Actor: rollout.System, Generation: 1, KeepUntil: until}, nil)
		if err == nil {
			return until
		}
	}
	w.Errorf("%s: no deadline is recorded in time", a.name)
	return until
}

// both does two things at once, each on a replica of its own.
func (w *raceWorld) both(one, two func(s *controller.Service) (controller.Outcome, error)) (first, second outcome) {
	barrier := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { <-barrier; first = outcomeOf(one(w.services[0])) })
	all.Go(func() { <-barrier; second = outcomeOf(two(w.services[1])) })
	close(barrier)
	all.Wait()
	return first, second
}

// wrong says how the environment differs from what the race should have led to; nothing when it does not.
func (w *raceWorld) wrong(a *arena) string {
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	e, _, err := w.stores[1].Environment(ctx, a.name)
	if err != nil {
		return err.Error()
	}
	if e.Live != a.wantLive || e.Revision != a.wantRevision || e.Weights[a.wantLive] != 100 || e.Weights.Sum() != 100 {
		return fmt.Sprintf("generation %d is live at revision %d with %v; want %d at %d", e.Live, e.Revision, e.Weights, a.wantLive, a.wantRevision)
	}
	for number, want := range a.wantStates {
		if g, _ := e.Generation(number); g.State != want {
			return fmt.Sprintf("generation %d is %s, want %s", number, g.State, want)
		}
	}
	if g, ok := e.Generation(e.Previous); e.Previous != 0 && (!ok || g.State != rollout.Standby) {
		return fmt.Sprintf("previous is %d, which is %q", e.Previous, g.State)
	}
	page, err := w.stores[1].Switches(ctx, a.name, store.Paging{Limit: 100})
	if err != nil {
		return err.Error()
	}
	if len(page.Items) != int(e.Revision) {
		return fmt.Sprintf("%d switches for revision %d", len(page.Items), e.Revision)
	}
	return ""
}
