package e2e

import (
	"fmt"

	"viridian/client"
)

// command is something that a client asks for with an idempotency key, again and again until it is answered.
type command struct {
	name  string
	flips bool // it makes a switch
	// prepare brings the shop to where the command can be asked for.
	prepare func()
	// possible says whether that is so in the present run.
	possible func() bool
	// ask sends it; without an answer, problem says why.
	ask func(key string) (got *answer, problem string)
	// finished says whether all that comes of it has come.
	finished func(answer) bool
}

// answer is what must be the same each time that the command is answered.
type answer struct {
	Kind       client.SwitchKind
	Revision   int64
	From, To   int
	Changed    bool
	Generation int
	Version    string
}

func (k *victim) command(name string) command {
	k.Helper()
	switch name {
	case "promote":
		return command{name: name, flips: true, prepare: k.firstLive, possible: k.secondPromotable, ask: k.askPromote, finished: k.drainedAfter}
	case "rollback":
		return command{name: name, flips: true, prepare: k.secondLive, possible: k.rollbackReady, ask: k.askRollback, finished: k.drainedAfter}
	case "retire":
		return command{name: name, prepare: k.leaverReady, possible: k.leaverKnown, ask: k.askRetire, finished: k.leaverGone}
	case "register":
		return command{name: name, prepare: k.nextFree, possible: k.secondPromotable, ask: k.askRegister, finished: k.registered}
	}
	k.Fatalf("no command %q", name)
	return command{}
}

// firstLive makes generation 1 live and the second one ready.
func (k *victim) firstLive() {
	k.Helper()
	if *k.route().Live == k.second {
		k.rollback(k.second)
	}
	if k.generation(k.second).State == client.GenerationStateRejected {
		k.validate(k.second)
	}
	k.eventually("the second generation can be promoted", k.secondPromotable)
}

// secondLive makes the second generation live and generation 1 its standby.
func (k *victim) secondLive() {
	k.Helper()
	if *k.route().Live != k.second {
		k.firstLive()
		k.promote(k.second)
	}
}

func (k *victim) secondPromotable() bool { return k.promotable(k.second) }

func (k *victim) rollbackReady() bool {
	res, err := k.client.ShowRouteWithResponse(k.Context(), k.name)
	return err == nil && res.JSON200 != nil && res.JSON200.Rollback.Ready
}

// nextFree chooses the number of the generation to register, while generation 1 is live.
func (k *victim) nextFree() {
	k.Helper()
	k.firstLive()
	k.coming = k.last + 1
}

// leaverReady makes sure that there is a ready generation to retire.
func (k *victim) leaverReady() {
	k.Helper()
	if k.leaving == 0 || k.generation(k.leaving).State == client.GenerationStateRetired {
		k.leaving = k.candidate()
	}
}

// leaverKnown says whether the node of this run knows the generation that is to retire.
func (k *victim) leaverKnown() bool { return k.promotable(k.leaving) }

func (k *victim) leaverGone(got answer) bool {
	state, ok := k.state(got.Generation)
	if !ok || state != client.GenerationStateRetired {
		return false
	}
	open, known := k.metric("viridian_proxy_in_flight", got.Generation)
	return known && open == 0
}

// registered says whether the generation is ready, and counts it from then on.
func (k *victim) registered(got answer) bool {
	state, ok := k.state(got.Generation)
	if !ok || state != client.GenerationStateReady {
		return false
	}
	k.last = max(k.last, got.Generation)
	return true
}

func (k *victim) state(number int) (client.GenerationState, bool) {
	res, err := k.client.ShowGenerationWithResponse(k.Context(), k.name, number)
	if err != nil || res.JSON200 == nil {
		return "", false
	}
	return res.JSON200.State, true
}

func (k *victim) drainedAfter(got answer) bool {
	res, err := k.client.ShowSwitchWithResponse(k.Context(), k.name, got.Revision, nil)
	return err == nil && res.JSON200 != nil && res.JSON200.DrainedAt != nil
}

func (k *victim) askPromote(key string) (*answer, string) {
	res, err := k.client.PromoteGenerationWithResponse(k.Context(), k.name, k.second,
		&client.PromoteGenerationParams{IdempotencyKey: &key}, client.PromoteRequest{Reason: &key})
	if err != nil {
		return nil, err.Error()
	}
	return switchAnswer(res.JSON200, res.JSON202, res.Body)
}

func (k *victim) askRollback(key string) (*answer, string) {
	res, err := k.client.RollbackWithResponse(k.Context(), k.name, &client.RollbackParams{IdempotencyKey: &key},
		client.RollbackRequest{From: &k.second, Reason: &key})
	if err != nil {
		return nil, err.Error()
	}
	return switchAnswer(res.JSON200, res.JSON202, res.Body)
}

func switchAnswer(reached, committed *client.Switch, body []byte) (*answer, string) {
	sw := reached
	if sw == nil {
		sw = committed
	}
	if sw == nil {
		return nil, string(body)
	}
	return &answer{Kind: sw.Kind, Revision: sw.Revision, From: number(sw.From), To: number(sw.To), Changed: sw.Changed}, ""
}

func (k *victim) askRetire(key string) (*answer, string) {
	res, err := k.client.RetireGenerationWithResponse(k.Context(), k.name, k.leaving,
		&client.RetireGenerationParams{IdempotencyKey: &key}, client.RetireRequest{Reason: &key})
	if err != nil {
		return nil, err.Error()
	}
	return generationAnswer(res.JSON202, res.Body)
}

func (k *victim) askRegister(key string) (*answer, string) {
	body := k.registration(k.coming)
	body.Metadata = &client.Labels{"key": key}
	res, err := k.client.RegisterGenerationWithResponse(k.Context(), k.name, &client.RegisterGenerationParams{IdempotencyKey: &key}, body)
	if err != nil {
		return nil, err.Error()
	}
	got, problem := generationAnswer(res.JSON201, res.Body)
	if got != nil && got.Generation != k.coming {
		return nil, fmt.Sprintf("registered as generation %d, want %d", got.Generation, k.coming)
	}
	return got, problem
}

func generationAnswer(g *client.Generation, body []byte) (*answer, string) {
	if g == nil {
		return nil, string(body)
	}
	return &answer{Generation: g.Number, Version: g.Version}, ""
}

// number is a generation's number, 0 for none.
func number(n *client.GenerationNumber) int {
	if n == nil {
		return 0
	}
	return *n
}
