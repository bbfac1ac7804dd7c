package routertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// Fixture is one node of a load balancer that runs, and the driver of it.
type Fixture struct {
	Router  router.Router
	Address string // host:port where traffic comes in
	// Restart stops the load balancer and starts it again, at the same address and with what it kept on disk. It
	// returns the driver to go on with. Nil when that cannot be done.
	Restart func() router.Router
	// Undurable returns a driver of the same node, restarted if need be, that can write nothing for a restart. Nil when
	// that cannot be done.
	Undurable func() router.Router
	// Lasting says that a node which forgot nothing is the same incarnation after a restart.
	Lasting bool
	// Signpost is a node that only says where traffic goes: connections, what is open on them and whether an instance
	// is alive are somebody else's.
	Signpost bool
	// Undivided is a node that gives all traffic to one generation, and refuses shares.
	Undivided bool
}

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// Exercise runs the conformance suite. start gives each case a load balancer of its own, which knows nothing yet, and
// ends it with the test. It is told the environments and services that the case uses, as routes without weights, for a
// load balancer that has to be configured for them.
func Exercise(t *testing.T, start func(t testing.TB, routes []rollout.Route) Fixture) {
	t.Helper()
	for name, run := range map[string]func(*rig){
		"FirstRoute":               firstRoute,
		"Flip":                     flip,
		"FlipsUnderLoad":           flipsUnderLoad,
		"Weights":                  weights,
		"RefusesLowerRevision":     refusesLowerRevision,
		"RefusesOtherWeights":      refusesOtherWeights,
		"SameRevisionAgain":        sameRevisionAgain,
		"RefusesWhatIsNotStaged":   refusesWhatIsNotStaged,
		"Remove":                   remove,
		"Forget":                   forget,
		"Restart":                  restart,
		"TellsWhatIsNotDurable":    tellsWhatIsNotDurable,
		"NumberGivenOutAgain":      numberGivenOutAgain,
		"ObserveOfTheUnknown":      observeOfTheUnknown,
		"ServicesFlipTogether":     servicesFlipTogether,
		"HostileNames":             hostileNames,
		"LongRequestsSurviveFlip":  longRequestsSurviveFlip,
		"DrainEndsWhatIsOpen":      drainEndsWhatIsOpen,
		"RollbackStopsTheDrain":    rollbackStopsTheDrain,
		"InFlightIsCounted":        inFlightIsCounted,
		"TrafficIsMeasured":        trafficIsMeasured,
		"DeadInstanceIsPassedOver": deadInstanceIsPassedOver,
		"MemberReplaced":           memberReplaced,
		"MembersGrowAndShrink":     membersGrowAndShrink,
		"MembersAllReplaced":       membersAllReplaced,
		"MembersChangeUnweighted":  membersChangeUnweighted,
		"MembersAfterRestart":      membersAfterRestart,
		"LateMembersAreRefused":    lateMembersAreRefused,
		"FormerMembersAreDrained":  formerMembersAreDrained,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			t.Cleanup(cancel)
			spec := rollout.Route{Environment: "shop", SpecVersion: 1, Drain: rollout.Duration(time.Minute),
				Services: []rollout.RouteService{service("web", "shop.localhost")}}
			spec.Services = append(spec.Services, moreServices[name]...)
			run(&rig{T: t, Fixture: start(t, []rollout.Route{spec}), ctx: ctx, backends: map[int]*Backend{}, spec: spec})
		})
	}
}

// moreServices are what the environment of a case has besides the first one.
var moreServices = map[string][]rollout.RouteService{
	"ServicesFlipTogether": {service("api", "api.shop.localhost", "API2.shop.localhost")},
}

// rig is one case under way: a load balancer and the backends of one environment.
type rig struct {
	*testing.T
	Fixture
	ctx      context.Context
	backends map[int]*Backend
	spec     rollout.Route // what routes of the case have in common
	flips    []Flip
}

func service(name string, hosts ...string) rollout.RouteService {
	return rollout.RouteService{Hosts: hosts, Service: rollout.Service{Name: name, Protocol: "http",
		Health: rollout.Health{Type: rollout.HealthTCP, Interval: rollout.Duration(100 * time.Millisecond),
			Timeout: rollout.Duration(time.Second), HealthyAfter: 1, UnhealthyAfter: 1}}}
}

// generation makes a generation with one new backend for all services of the case.
func (r *rig) generation(number int) rollout.Generation {
	r.Helper()
	b := r.backends[number]
	if b == nil {
		b = NewBackend(r, number)
		r.backends[number] = b
	}
	g := rollout.Generation{Environment: r.spec.Environment, Number: number}
	for _, svc := range r.spec.Services {
		g.Groups = append(g.Groups, rollout.Group{Service: svc.Name, Instances: []rollout.Instance{b.Instance(svc.Name + "-1")}})
	}
	return g
}

// route is the route of the case at that revision. Live is the generation with the most weight.
func (r *rig) route(revision int64, weights rollout.Weights) rollout.Route {
	route := r.spec
	route.Revision, route.Weights = revision, maps.Clone(weights)
	for _, n := range weights.Numbers() {
		if route.Live == 0 || weights[n] > weights[route.Live] {
			route.Live = n
		}
	}
	return route
}

func (r *rig) stage(revision int64, numbers ...int) {
	r.Helper()
	for _, n := range numbers {
		if err := r.Router.Stage(r.ctx, router.Fence{Revision: revision}, r.route(revision, nil), r.generation(n)); err != nil {
			r.Fatalf("stage generation %d: %v", n, err)
		}
	}
}

func (r *rig) apply(revision int64, weights rollout.Weights) {
	r.Helper()
	f := Flip{Begun: time.Now(), Weights: weights}
	if err := r.tryApply(r.route(revision, weights)); err != nil {
		r.Fatalf("apply revision %d: %v", revision, err)
	}
	f.Applied = time.Now()
	r.flips = append(r.flips, f)
}

func (r *rig) tryApply(route rollout.Route) error {
	return r.Router.Apply(r.ctx, router.Fence{Revision: route.Revision}, route)
}

// serves checks that each of a few requests is answered by the generation.
func (r *rig) serves(host string, generation int) {
	r.Helper()
	for range 5 {
		if a := r.ask(host); a.Err != nil || a.Generation != generation {
			r.Fatalf("%s is answered by generation %d (%v), want %d", host, a.Generation, a.Err, generation)
		}
	}
}

func (r *rig) ask(host string) Answer {
	c := &connection{load: Load{Address: r.Address, Host: host, Identify: identifyByHeader}}
	g, err := c.ask()
	return Answer{Generation: g, Err: err}
}

// refusesTraffic checks that requests are answered by the load balancer itself with that status.
func (r *rig) refusesTraffic(host string, status int) {
	r.Helper()
	if a := r.ask(host); a.Err == nil || !strings.Contains(a.Err.Error(), fmt.Sprintf("status %d", status)) {
		r.Fatalf("%s is answered by generation %d (%v), want status %d", host, a.Generation, a.Err, status)
	}
}

// observe reads what the node does, and checks that there is no error in it.
func (r *rig) observe() router.Observation {
	r.Helper()
	o, err := r.Router.Observe(r.ctx, r.spec.Environment)
	if err != nil || o.Error != "" {
		r.Fatalf("observe: %s, %v", o.Error, err)
	}
	return o
}

// holds checks that the node is at the revision with these weights.
func (r *rig) holds(revision int64, weights rollout.Weights) {
	r.Helper()
	want := r.route(revision, weights)
	if o := r.observe(); o.Revision != revision || o.Hash != want.Hash() {
		r.Fatalf("the node is at revision %d with %v, want %d with %v", o.Revision, o.Weights, revision, weights)
	}
}

func (r *rig) wantError(err, want error) {
	r.Helper()
	if !errors.Is(err, want) {
		r.Fatalf("got error %v, want %v", err, want)
	}
}

// eventually waits until the condition holds.
func (r *rig) eventually(what string, holds func() bool) {
	r.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			r.Fatalf("%s: not after %v", what, patience)
		}
		<-tick.C
	}
}

// traffic puts the load on the case's host at least while during runs, and judges it by the flips so far.
func (r *rig) traffic(l Load, requests int, during func(*Traffic)) Verdict {
	r.Helper()
	l.Address, l.Host = r.Address, "shop.localhost"
	t := l.Start()
	during(t)
	r.eventually("the load's requests", func() bool { return t.Count() >= requests })
	return Check(t.Stop(), r.flips)
}
