package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"viridian/client"
	"viridian/router/routertest"
)

// driver asks for one switch of its shop after the other, through whichever replica answers. A command is sent with one
// key until its answer is definite. It is used from one goroutine, and ends the test by none of its methods.
type driver struct {
	*shop
	random  *rand.Rand
	doors   []*shop
	second  int // the generation that comes and goes; 1 is the other one
	asked   int // commands
	acked   []acknowledged
	took    []time.Duration // by command, until its answer was definite
	problem error           // what ends it
	trouble string          // of the last try of a call
	wait    client.Wait     // what a command waits for
	lenient bool            // an error of the service is asked again: it is made to fail
}

// acknowledged is a command with its answer.
type acknowledged struct {
	key string
	ask asking
	got answer
}

// asking sends a command with a key through a door.
type asking func(ctx context.Context, door *shop, key string) (reached, committed *client.Switch, refused *client.Problem, err error)

// never is when a switch was applied that nobody has heard so of.
var never = time.Now().Add(1000 * time.Hour)

// drive makes a driver of a shop whose generation 1 is live, with a second one that is ready.
func drive(s *shop, seed uint64, replicas ...*replica) *driver {
	d := &driver{shop: s, second: s.candidate(), wait: client.WaitApplied, random: rand.New(rand.NewPCG(seed, uint64(len(s.name))))}
	for _, r := range replicas {
		d.doors = append(d.doors, s.on(r))
	}
	return d
}

func (d *driver) door() *shop { return d.doors[d.random.IntN(len(d.doors))] }

// attempt bounds one try of a call. A replica that is stopped answers nobody.
const attempt = 3 * time.Second

// anyhow tries a call through one door after the other until it holds.
func (d *driver) anyhow(what string, call func(ctx context.Context, door *shop) bool) bool {
	if d.problem != nil {
		return false
	}
	if !within(4*patience, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), attempt)
		defer cancel()
		return call(ctx, d.door())
	}) {
		d.problem = fmt.Errorf("%s: %s not after %v; the last try: %s", d.name, what, 4*patience, d.trouble)
	}
	return d.problem == nil
}

// send sends a command until the answer is definite, and returns the switch; nil when it was refused.
func (d *driver) send(ask asking) *client.Switch {
	d.asked++
	key := fmt.Sprintf("%s-%d", d.name, d.asked)
	begun := time.Now()
	var sw *client.Switch
	var refused *client.Problem
	if !d.anyhow("a definite answer", func(ctx context.Context, door *shop) bool {
		reached, committed, problem, err := ask(ctx, door, key)
		d.trouble = fmt.Sprintf("%s by %s: %+v %v", key, door.replica.name, problem, err)
		switch {
		case err != nil:
			return false
		case reached != nil:
			sw = reached
		case committed != nil:
			sw = committed
		case problem == nil || problem.Code == client.CodeUnavailable || problem.Code == client.CodeIdempotencyInFlight:
			return false
		case problem.Status >= 500 && d.lenient:
			return false
		case problem.Status >= 500:
			d.problem = fmt.Errorf("%s, command %s: %+v", d.name, key, *problem)
		default:
			refused = problem
		}
		return true
	}) || refused != nil {
		return nil
	}
	d.took = append(d.took, time.Since(begun))
	d.acked = append(d.acked, acknowledged{key, ask, *switchOf(sw)})
	if !sw.Changed {
		return sw
	}
	f := routertest.Flip{Begun: begun, Applied: never, Weights: weights(d.shop, sw.Weights)}
	if sw.Status == client.SwitchStatusApplied && !sw.Degraded {
		f.Applied = time.Now()
	}
	d.flips = append(d.flips, f)
	return sw
}

func switchOf(sw *client.Switch) *answer {
	got, _ := switchAnswer(sw, nil, nil)
	return got
}

// final waits until the switch was applied or superseded.
func (d *driver) final(sw *client.Switch) bool {
	return sw == nil || sw.Status != client.SwitchStatusCommitted || d.anyhow(fmt.Sprintf("switch %d is final", sw.Revision), func(ctx context.Context, door *shop) bool {
		res, err := door.client.ShowSwitchWithResponse(ctx, d.name, sw.Revision, &client.ShowSwitchParams{Wait: ptr(client.WaitApplied), Timeout: ptr("1s")})
		if err != nil || res.JSON200 == nil || res.JSON200.Status == client.SwitchStatusCommitted {
			return false
		}
		if now := *res.JSON200; now.Status == client.SwitchStatusApplied && !now.Degraded {
			d.flips[len(d.flips)-1].Applied = time.Now()
		}
		return true
	})
}

// cycle promotes the second generation, shares traffic with the first one a few times, and rolls back. Now and then it
// does not wait for a switch to be applied, so that the next one supersedes it.
func (d *driver) cycle() {
	d.candidateReady()
	for d.problem == nil && d.send(d.askPromote(d.second)) == nil { // a node that came back has not staged it yet
		d.candidateReady()
	}
	if d.random.IntN(4) > 0 {
		d.final(d.last())
		d.rest()
		for i := range 2 + d.random.IntN(6) {
			share := 10 * (1 - i%2)
			if sw := d.send(d.askWeights(d.second, share)); d.random.IntN(3) > 0 {
				d.final(sw)
				d.rest()
			}
		}
	}
	for d.problem == nil {
		if sw := d.send(d.askRollback(d.second)); sw != nil {
			d.final(sw)
			return
		}
	}
}

// rest leaves the route as it is for a while, now and then: only then is it seen whether a node comes up on a route of
// before.
func (d *driver) rest() {
	if d.random.IntN(3) == 0 {
		pause := time.NewTimer(time.Duration(300+d.random.IntN(1200)) * time.Millisecond)
		<-pause.C
	}
}

// last is the switch of the last flip, as it was at first.
func (d *driver) last() *client.Switch {
	if len(d.acked) == 0 {
		return nil
	}
	got := d.acked[len(d.acked)-1].got
	return &client.Switch{Revision: got.Revision, Status: client.SwitchStatusCommitted}
}

// candidateReady has the second generation validated, and waits until nothing stands in its way.
func (d *driver) candidateReady() {
	d.anyhow("the second generation can be promoted", func(ctx context.Context, door *shop) bool {
		res, err := door.client.ShowGenerationWithResponse(ctx, d.name, d.second)
		d.trouble = fmt.Sprintf("by %s: %v %s", door.replica.name, err, body(res))
		if err != nil || res.JSON200 == nil {
			return false
		}
		switch res.JSON200.State {
		case client.GenerationStateRejected, client.GenerationStateFailed:
			_, _ = door.client.ValidateGenerationWithResponse(ctx, d.name, d.second, nil) // seen by the next look
			return false
		case client.GenerationStateReady:
			plan, err := door.client.PlanPromotionWithResponse(ctx, d.name, d.second, client.PlanPromotionJSONRequestBody{})
			d.trouble = fmt.Sprintf("by %s: %v %s", door.replica.name, err, body(plan))
			return err == nil && plan.JSON200 != nil && plan.JSON200.Promotable
		}
		return false
	})
}

func (d *driver) askPromote(number int) asking {
	wait := d.wait
	return func(ctx context.Context, door *shop, key string) (*client.Switch, *client.Switch, *client.Problem, error) {
		res, err := door.client.PromoteGenerationWithResponse(ctx, d.name, number,
			&client.PromoteGenerationParams{IdempotencyKey: &key, Wait: &wait, Timeout: ptr("1s")}, client.PromoteRequest{Reason: &key})
		if err != nil {
			return nil, nil, nil, err
		}
		return res.JSON200, res.JSON202, res.ApplicationproblemJSONDefault, nil
	}
}

func (d *driver) askRollback(from int) asking {
	wait := d.wait
	return func(ctx context.Context, door *shop, key string) (*client.Switch, *client.Switch, *client.Problem, error) {
		res, err := door.client.RollbackWithResponse(ctx, d.name,
			&client.RollbackParams{IdempotencyKey: &key, Wait: &wait, Timeout: ptr("1s")}, client.RollbackRequest{From: &from, Reason: &key})
		if err != nil {
			return nil, nil, nil, err
		}
		return res.JSON200, res.JSON202, res.ApplicationproblemJSONDefault, nil
	}
}

// askWeights gives the first generation that share, and the one that is live the rest.
func (d *driver) askWeights(live, share int) asking {
	wait := d.wait
	return func(ctx context.Context, door *shop, key string) (*client.Switch, *client.Switch, *client.Problem, error) {
		res, err := door.client.SetWeightsWithResponse(ctx, d.name, &client.SetWeightsParams{IdempotencyKey: &key, Wait: &wait, Timeout: ptr("1s")},
			client.WeightsRequest{Reason: &key, Weights: client.Weights{"1": share, fmt.Sprint(live): 100 - share}})
		if err != nil {
			return nil, nil, nil, err
		}
		return res.JSON200, res.JSON202, res.ApplicationproblemJSONDefault, nil
	}
}

// stable repeats every acknowledged command, and says which were answered otherwise, or have happened more or less
// often than once.
func (d *driver) stable() []string {
	var wrong []string
	happened := map[string]int64{}
	for _, sw := range d.switches() {
		if before, twice := happened[sw.Reason]; twice {
			wrong = append(wrong, fmt.Sprintf("I7: %s has happened as switch %d and as %d", sw.Reason, sw.Revision, before))
		}
		happened[sw.Reason] = sw.Revision
	}
	for _, a := range d.acked {
		if revision := happened[a.key]; a.got.Changed && revision != a.got.Revision {
			wrong = append(wrong, fmt.Sprintf("I7: %s was acknowledged as switch %d and is switch %d", a.key, a.got.Revision, revision))
		}
		reached, committed, refused, err := a.ask(d.Context(), d.door(), a.key)
		if reached == nil {
			reached = committed
		}
		if reached == nil || *switchOf(reached) != a.got {
			wrong = append(wrong, fmt.Sprintf("I7: %s was answered with %+v, and now with %+v %+v %v", a.key, a.got, reached, refused, err))
		}
	}
	return wrong
}
