package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"viridian/client"
	"viridian/router/routertest"
)

// shop is one environment as its owner sees it: what it runs, and what was asked of it through one replica. Its
// methods end the test when they do not succeed.
type shop struct {
	*replica
	name     string
	host     string
	backends map[int]*routertest.Backend // by generation, the first of each
	size     int                         // instances of each generation; 0 for one
	flips    []routertest.Flip           // that were applied
	last     int                         // the highest generation number
	spec     client.EnvironmentSpec
}

// drainTime is the drain of every shop.
const drainTime = 3 * time.Second

// shop creates an environment through the replica, on the builtin router when none is named. Its instances are probed
// often, so that it is ready soon.
func (r *replica) shop(name string, routers ...string) *shop {
	r.Helper()
	s := r.spec(name, routers...)
	s.put()
	return s
}

// spec is a shop that does not exist yet.
func (r *replica) spec(name string, routers ...string) *shop {
	s := &shop{replica: r, name: name, host: name + ".localhost", backends: map[int]*routertest.Backend{}}
	s.spec = client.EnvironmentSpec{
		Services: []client.Service{{Name: "web", Health: &client.HealthSpec{
			Interval: ptr("200ms"), Timeout: ptr("1s"), HealthyAfter: ptr(1), UnhealthyAfter: ptr(5)}}},
		Retention: &client.RetentionSpec{KeepFor: ptr("1h"), Drain: ptr(drainTime.String())},
	}
	if len(routers) > 0 {
		s.spec.Routers = &routers
	}
	return s
}

func (s *shop) put() {
	s.Helper()
	res, err := s.client.PutEnvironmentWithResponse(s.Context(), s.name, nil, s.spec)
	if err != nil || (res.JSON200 == nil && res.JSON201 == nil) {
		s.Fatalf("put environment %s: %v %s", s.name, err, body(res))
	}
}

// register records a new generation with one new instance and returns its number.
func (s *shop) register() int {
	s.Helper()
	number := s.last + 1
	res, err := s.client.RegisterGenerationWithResponse(s.Context(), s.name, nil, s.registration(number))
	if err != nil || res.JSON201 == nil {
		s.Fatalf("register: %v %s", err, body(res))
	}
	if res.JSON201.Number != number {
		s.Fatalf("registered as generation %d, want %d", res.JSON201.Number, number)
	}
	s.last = number
	return number
}

// registration describes a generation, and starts its instance unless that runs already.
func (s *shop) registration(number int) client.RegisterRequest {
	if s.backends[number] == nil {
		s.backends[number] = routertest.NewBackend(s, number)
	}
	instances := []client.Instance{instance(s.backends[number], 1)}
	for n := 2; n <= s.size; n++ {
		instances = append(instances, instance(routertest.NewBackend(s, number), n))
	}
	return client.RegisterRequest{Version: fmt.Sprintf("1.%d.0", number), Groups: []client.Group{{Service: "web", Instances: instances}}}
}

func instance(b *routertest.Backend, n int) client.Instance {
	in := b.Instance(fmt.Sprintf("web-%d", n))
	return client.Instance{Id: in.ID, Address: in.Address, Port: in.Port}
}

// candidate registers a generation and waits until it is ready.
func (s *shop) candidate() int {
	s.Helper()
	number := s.register()
	s.becomes(number, client.GenerationStateReady)
	return number
}

func (s *shop) generation(number int) client.Generation {
	s.Helper()
	res, err := s.client.ShowGenerationWithResponse(s.Context(), s.name, number)
	if err != nil || res.JSON200 == nil {
		s.Fatalf("show generation %d: %v %s", number, err, body(res))
	}
	return *res.JSON200
}

// becomes waits until the generation is in that state.
func (s *shop) becomes(number int, state client.GenerationState) {
	s.Helper()
	var last client.Generation
	if !within(patience, func() bool { last = s.generation(number); return last.State == state }) {
		s.Fatalf("generation %d is %s (%s), want %s", number, last.State, last.Reason, state)
	}
}

// validate has a generation checked again and waits until it is ready.
func (s *shop) validate(number int) {
	s.Helper()
	res, err := s.client.ValidateGenerationWithResponse(s.Context(), s.name, number, nil)
	if err != nil || res.JSON202 == nil {
		s.Fatalf("validate generation %d: %v %s", number, err, body(res))
	}
	s.becomes(number, client.GenerationStateReady)
}

// promote makes the generation live, and returns when the API says that this is applied.
func (s *shop) promote(number int) client.Switch {
	s.Helper()
	begun := time.Now()
	res, err := s.client.PromoteGenerationWithResponse(s.Context(), s.name, number, nil, client.PromoteRequest{})
	if err != nil || res.JSON200 == nil {
		s.Fatalf("promote generation %d: %v %s", number, err, body(res))
	}
	return s.flipped(begun, *res.JSON200)
}

// rollback leaves the generation for the previous one, and returns when the API says that this is applied.
func (s *shop) rollback(from int) client.Switch {
	s.Helper()
	begun := time.Now()
	res, err := s.client.RollbackWithResponse(s.Context(), s.name, nil, client.RollbackRequest{From: &from})
	if err != nil || res.JSON200 == nil {
		s.Fatalf("roll back from generation %d: %v %s", from, err, body(res))
	}
	return s.flipped(begun, *res.JSON200)
}

// flipped notes an applied switch for the judge of the traffic.
func (s *shop) flipped(begun time.Time, sw client.Switch) client.Switch {
	s.Helper()
	applied := time.Now()
	if sw.Status != client.SwitchStatusApplied || !sw.Changed {
		s.Fatalf("switch %d is %s (changed: %v), want an applied one", sw.Revision, sw.Status, sw.Changed)
	}
	s.flips = append(s.flips, routertest.Flip{Begun: begun, Applied: applied, Weights: weights(s, sw.Weights)})
	return sw
}

func weights(s *shop, shares client.Weights) map[int]int {
	s.Helper()
	out := map[int]int{}
	for text, share := range shares {
		n, err := strconv.Atoi(text)
		if err != nil {
			s.Fatal(err)
		}
		out[n] = share
	}
	return out
}

func (s *shop) route() client.Route {
	s.Helper()
	res, err := s.client.ShowRouteWithResponse(s.Context(), s.name)
	if err != nil || res.JSON200 == nil {
		s.Fatalf("show route: %v %s", err, body(res))
	}
	return *res.JSON200
}

// inOrder says whether every node was seen at the present route, this replica's in its present run: until a killed
// process counts as gone, its node is still the one that is known.
func (s *shop) inOrder() bool {
	res, err := s.client.ShowRouteWithResponse(s.Context(), s.name)
	if err != nil || res.JSON200 == nil {
		return false
	}
	for _, r := range res.JSON200.Receipts {
		earlier := r.Node == s.replica.name && !strings.HasPrefix(r.Incarnation, strconv.Itoa(s.cmd.Process.Pid)+"-")
		if r.State != client.ReceiptStateInSync || earlier {
			return false
		}
	}
	return len(res.JSON200.Receipts) > 0
}

// promotable says whether nothing stands in the way of a promote of the generation.
func (s *shop) promotable(number int) bool {
	res, err := s.client.PlanPromotionWithResponse(s.Context(), s.name, number, client.PlanPromotionJSONRequestBody{})
	return err == nil && res.JSON200 != nil && res.JSON200.Promotable
}

// switches lists every switch, newest first.
func (s *shop) switches() []client.Switch {
	s.Helper()
	params := &client.ListSwitchesParams{Limit: ptr(200)}
	var all []client.Switch
	for {
		res, err := s.client.ListSwitchesWithResponse(s.Context(), s.name, params)
		if err != nil || res.JSON200 == nil {
			s.Fatalf("list switches: %v %s", err, body(res))
		}
		all = append(all, res.JSON200.Items...)
		if params.Cursor = res.JSON200.NextCursor; params.Cursor == nil {
			return all
		}
	}
}

// events lists the audit log of the environment, oldest first.
func (s *shop) events() []client.Event {
	s.Helper()
	params := &client.ListEventsParams{Environment: &s.name, Limit: ptr(200)}
	var all []client.Event
	for {
		res, err := s.client.ListEventsWithResponse(s.Context(), params)
		if err != nil || res.JSON200 == nil {
			s.Fatalf("list events: %v %s", err, body(res))
		}
		all = append(all, res.JSON200.Items...)
		if res.JSON200.NextCursor == nil {
			return all
		}
		params.After = ptr(all[len(all)-1].Id)
	}
}

// audit checks that switches and events tell of the same flips: each revision is there once, and was committed, and
// applied or superseded, once.
func (s *shop) audit() {
	s.Helper()
	told := map[string]int{}
	for _, e := range s.events() {
		if e.Revision != nil && strings.HasPrefix(e.Kind, "switch.") { // the rest may happen again
			told[fmt.Sprintf("%s %d", e.Kind, *e.Revision)]++
		}
	}
	for key, n := range told {
		if n != 1 {
			s.Errorf("event %s is there %d times", key, n)
		}
	}
	all := s.switches()
	for i, sw := range slices.Backward(all) {
		revision := int64(len(all) - i)
		outcome := fmt.Sprintf("switch.%s %d", sw.Status, revision)
		if sw.Revision != revision || told[fmt.Sprintf("switch.committed %d", revision)] != 1 || told[outcome] != 1 {
			s.Errorf("switch %d at the place of %d: its events are not there once (%v)", sw.Revision, revision, slices.Sorted(maps.Keys(told)))
		}
	}
}

// load starts traffic on the shop through its replica.
func (s *shop) load(keepAlive, fresh int) *routertest.Traffic {
	return routertest.Load{Address: s.proxy, Host: s.host, KeepAlive: keepAlive, Fresh: fresh}.Start()
}

// ask sends one request through the proxy and returns the generation that answered. Without an answer of status 200
// it is 0, and status tells which one came, 0 for none.
func (s *shop) ask() (generation, status int) {
	q, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "http://"+s.proxy+"/", nil)
	if err != nil {
		s.Fatal(err)
	}
	q.Host = s.host
	res, err := quiet.Do(q)
	if err != nil {
		return 0, 0
	}
	_ = res.Body.Close()
	generation, err = strconv.Atoi(res.Header.Get(routertest.GenerationHeader))
	if err != nil || res.StatusCode != http.StatusOK {
		return 0, res.StatusCode
	}
	return generation, res.StatusCode
}

func ptr[T any](v T) *T { return &v }

// body is what an answer says, for messages; nothing when there was none.
func body[R any, P interface {
	*R
	GetBody() []byte
}](res P) string {
	if res == nil {
		return "no answer"
	}
	return string(res.GetBody())
}
