package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"viridian/client"
)

// clients is how many promote at once.
const clients = 16

// TestProveOneWinner has 16 clients promote 16 generations at once, over two replicas, all expecting the same
// revision: one wins, and the others are told the revision that it made. Everything that was asked and answered,
// reads beside it included, is a history of one register that changes one step at a time.
func TestProveOneWinner(t *testing.T) {
	t.Parallel()
	began := time.Now()
	l := newLab(t)
	l.timing.callTimeout = 10 * time.Second // many wait for one row on a busy machine
	a, b := l.replica("a"), l.replica("b")
	a.start("")
	b.start("")
	a.ready()
	b.ready()

	rounds, histories, calls, refused := 0, count(1, 3), 0, 0
	for i := range histories {
		c := newContest(a, b, fmt.Sprintf("shop-%d", i))
		for range count(6, 40) {
			c.round()
			rounds++
		}
		if result := porcupine.CheckOperationsTimeout(register, c.history, time.Minute); result != porcupine.Ok {
			t.Errorf("history %d of %d calls is not linearizable: %v", i, len(c.history), result)
		}
		c.shop.audit()
		calls += len(c.history)
		refused += c.refused
	}
	report(t, "%d rounds of %d clients on 2 replicas: %d winners, %d refused with the revision of the winner; %d calls in %d histories, all linearizable; %v",
		rounds, clients, rounds, refused, calls, histories, since(began))
}

// contest is a shop with a candidate for each client. Generation 1 is live before each round.
type contest struct {
	*shop
	doors []*shop // the same shop through each replica

	began time.Time // what the history's times count from

	mu      sync.Mutex
	history []porcupine.Operation
	refused int
}

func newContest(a, b *replica, name string) *contest {
	a.Helper()
	s := a.shop(name)
	c := &contest{shop: s, doors: []*shop{s, s.on(b)}, began: time.Now()}
	s.promote(s.candidate())
	for range clients {
		s.register()
	}
	for n := 2; n <= s.last; n++ {
		s.becomes(n, client.GenerationStateReady)
	}
	return c
}

// round lets all clients promote at once, beside readers, and brings the winner's generation back to ready.
func (c *contest) round() {
	c.Helper()
	before := c.route().Revision
	var wait sync.WaitGroup
	barrier := make(chan struct{})
	outcomes := make([]output, clients)
	for i := range clients {
		door := c.doors[i%len(c.doors)]
		wait.Go(func() {
			<-barrier
			outcomes[i] = c.call(i, input{promote: i + 2, expected: before}, door)
		})
	}
	for i := range 2 {
		wait.Go(func() {
			<-barrier
			for range 3 {
				c.call(clients+i, input{}, c.doors[i%len(c.doors)])
			}
		})
	}
	close(barrier)
	wait.Wait()

	winner := c.winner(before, outcomes)
	if out := c.call(0, input{rollback: winner, expected: before + 1}, c.shop); out.code != "" {
		c.Fatalf("the rollback from generation %d is refused: %+v", winner, out)
	}
	c.validate(winner)
	c.eventually("the winner can be promoted again", func() bool { return c.promotable(winner) })
}

// winner finds the one client that was not refused, and returns its generation.
func (c *contest) winner(before int64, outcomes []output) int {
	c.Helper()
	winner := 0
	for i, out := range outcomes {
		switch {
		case out.code == "" && out.revision == before+1 && winner == 0:
			winner = i + 2
		case out.code == client.CodeRevisionMismatch && out.revision == before+1:
			c.refused++
		default:
			c.Errorf("client %d, who expected revision %d, was answered with %+v; generation %d has won", i, before, out, winner)
		}
	}
	if winner == 0 {
		c.Fatalf("nobody won at revision %d", before)
	}
	return winner
}

// input is what a client asks: to promote a generation, to roll back from one, or, when both are 0, what the route is.
type input struct {
	promote, rollback int
	expected          int64
}

// output is what it was told: the revision that its command made, that stood in its way (then with a code), or that
// it read, then with what was live.
type output struct {
	code     client.Code
	revision int64
	live     int
}

// call makes one call and adds it to the history.
func (c *contest) call(id int, in input, door *shop) output {
	begun := time.Since(c.began)
	out, err := door.do(in)
	ended := time.Since(c.began)
	if err != nil {
		c.Errorf("%+v: %v", in, err)
		return out
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.history = append(c.history, porcupine.Operation{ClientId: id, Input: in, Output: out, Call: int64(begun), Return: int64(ended)})
	return out
}

func (s *shop) do(in input) (output, error) {
	switch {
	case in.promote != 0:
		res, err := s.client.PromoteGenerationWithResponse(s.Context(), s.name, in.promote, nil, client.PromoteRequest{ExpectedRevision: &in.expected})
		if err != nil {
			return output{}, err
		}
		return told(res.JSON200, res.ApplicationproblemJSONDefault, res.Body)
	case in.rollback != 0:
		res, err := s.client.RollbackWithResponse(s.Context(), s.name, nil, client.RollbackRequest{From: &in.rollback, ExpectedRevision: &in.expected})
		if err != nil {
			return output{}, err
		}
		return told(res.JSON200, res.ApplicationproblemJSONDefault, res.Body)
	}
	res, err := s.client.ShowRouteWithResponse(s.Context(), s.name)
	if err != nil {
		return output{}, err
	}
	if res.JSON200 == nil {
		return output{}, fmt.Errorf("%s", res.Body)
	}
	return output{revision: res.JSON200.Revision, live: number(res.JSON200.Live)}, nil
}

// told turns the answer to a command into its outcome. A switch that is not applied in time is no answer that a
// history can be made of.
func told(sw *client.Switch, p *client.Problem, body []byte) (output, error) {
	switch {
	case sw != nil && sw.Changed:
		return output{revision: sw.Revision}, nil
	case p != nil && p.Revision != nil:
		return output{code: p.Code, revision: *p.Revision}, nil
	}
	return output{}, fmt.Errorf("answered with %s", body)
}

// state is the register: the route's revision and what is live.
type state struct {
	revision int64
	live     int
}

// register is how calls may follow each other, each at one moment between its begin and its end.
var register = porcupine.Model{
	Init:              func() any { return state{1, 1} },
	Step:              func(before, in, out any) (bool, any) { return step(before.(state), in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
}

func step(s state, in input, out output) (bool, state) {
	switch {
	case in == (input{}):
		return out.revision == s.revision && out.live == s.live, s
	case in.expected != s.revision:
		return out.code == client.CodeRevisionMismatch && out.revision == s.revision, s
	case out.code != "" || out.revision != s.revision+1:
		return false, s
	case in.promote != 0:
		return true, state{out.revision, in.promote}
	}
	return in.rollback == s.live, state{out.revision, 1}
}

// TestProveOneWinner_JudgeCanFail feeds the judge histories that must not be.
func TestProveOneWinner_JudgeCanFail(t *testing.T) {
	t.Parallel()
	promote := func(generation int, call, end int64, out output) porcupine.Operation {
		return porcupine.Operation{ClientId: generation, Input: input{promote: generation, expected: 1}, Output: out, Call: call, Return: end}
	}
	read := func(call, end int64, out output) porcupine.Operation {
		return porcupine.Operation{ClientId: 9, Input: input{}, Output: out, Call: call, Return: end}
	}
	mismatch := output{code: client.CodeRevisionMismatch, revision: 2}
	for name, c := range map[string]struct {
		history []porcupine.Operation
		want    bool
	}{
		"one winner":       {[]porcupine.Operation{promote(2, 1, 9, output{revision: 2}), promote(3, 2, 8, mismatch), read(3, 4, output{revision: 1, live: 1})}, true},
		"two winners":      {[]porcupine.Operation{promote(2, 1, 9, output{revision: 2}), promote(3, 2, 8, output{revision: 2})}, false},
		"no winner":        {[]porcupine.Operation{promote(2, 1, 9, mismatch), promote(3, 2, 8, mismatch)}, false},
		"a stale read":     {[]porcupine.Operation{promote(2, 1, 2, output{revision: 2}), read(3, 4, output{revision: 1, live: 1})}, false},
		"refused too soon": {[]porcupine.Operation{promote(3, 1, 2, mismatch), promote(2, 3, 4, output{revision: 2})}, false},
	} {
		if got := porcupine.CheckOperations(register, c.history); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
