package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"syscall"
	"time"

	"viridian/client"
)

// customer is one client of a fair. Its connections are cut at times, and at times it does not wait for an answer.
type customer struct {
	*fair
	id    int
	asked int
	doors []*client.ClientWithResponses // to each replica
	at    int                           // the stall that it stands at
	seen  [stalls]reply                 // the routes that it saw last
}

func (c *customer) stall() *stall { return c.stalls[c.at] }

func newCustomer(f *fair, id int) *customer {
	c := &customer{fair: f, id: id}
	for i := range c.seen {
		c.seen[i] = reply{revision: 1, live: 1}
	}
	for _, r := range f.replicas {
		doer := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: c.dial}}
		door, err := client.NewClientWithResponses("http://"+r.api, client.WithHTTPClient(doer),
			client.WithRequestEditorFn(func(_ context.Context, q *http.Request) error {
				q.Header.Set("Authorization", "Bearer "+f.token)
				return nil
			}))
		if err != nil {
			f.Fatal(err)
		}
		c.doors = append(c.doors, door)
	}
	return c
}

// dial connects, and at times by a connection that will be cut.
func (c *customer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil || !c.fails() {
		return conn, err
	}
	return &frail{Conn: conn, answered: rand.IntN(2) == 0}, nil
}

// fails says whether something shall go wrong with a call: one of a few, while there is room for doubts.
func (c *customer) fails() bool {
	if c.id == clients || rand.IntN(count(10, 40)) > 0 {
		return false
	}
	s := c.stall()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open) < maxDoubts/2
}

// frail is a connection that is cut after the request has gone out: at once, or when the answer begins to come.
type frail struct {
	net.Conn
	answered bool
}

func (c *frail) Read(b []byte) (int, error) {
	if c.answered {
		_, _ = c.Conn.Read(b)
	}
	_ = c.Close()
	return 0, errCut
}

var errCut = errors.New("cut")

// rest waits for a moment, so that demands meet others and yet come in turns.
func (c *customer) rest() {
	pause := time.NewTimer(time.Duration(rand.IntN(200)) * time.Millisecond)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-c.Context().Done():
	}
}

// once makes one demand, and brings it to an end that is known, if it has the patience.
func (c *customer) once() {
	c.at = rand.IntN(stalls)
	d := c.choose()
	if d.verb == doRoute || d.verb == doLook {
		c.ask(d)
		return
	}
	c.asked++
	s, key := c.stall(), fmt.Sprintf("%s/%d/%d", c.stall().name, c.id, c.asked)
	begun, doubt := c.now(), false
	for try := 1; ; try++ {
		call := c.now()
		r, sent, err := c.send(d, key)
		end := c.now()
		switch {
		case err == nil && r.code == "":
			s.noteSwitch(r, key, try)
			s.add(c.id, d, r, begun, end) // of all that was sent with the key, this is the answer
			return
		case err == nil && r.code != client.CodeIdempotencyInFlight && r.code != client.CodeEnvironmentBusy:
			if doubt { // what was sent before may yet come through
				s.doubt(d, key, begun)
				begun = call
			}
			s.add(c.id, d, r, begun, end)
			return
		case sent:
			doubt = true
			s.mu.Lock()
			s.cuts++
			s.mu.Unlock()
		}
		if try == 12 || (doubt && rand.IntN(6) == 0) {
			if doubt {
				s.doubt(d, key, begun)
			}
			return
		}
	}
}

// resolve asks for what is in doubt once more by its key, now that everything is calm. A switch that was made then is
// told of; and of what is refused, nothing came. Some stays in doubt for ever: that of people who do not ask again.
func (c *customer) resolve() {
	s := c.stall()
	var left []doubted
	for i, o := range s.open {
		if !o.flips() || i%5 == 0 {
			left = append(left, o)
			continue
		}
		call := c.now()
		r, _, err := c.send(o.demand, o.key)
		switch {
		case err != nil || r.code == client.CodeIdempotencyInFlight || r.code == client.CodeEnvironmentBusy:
			left = append(left, o)
		case r.code != "":
			s.refused = append(s.refused, o.key)
			s.add(c.id, o.demand, r, call, c.now())
		default:
			s.noteSwitch(r, o.key, 2)
			s.add(c.id, o.demand, r, o.call, c.now())
		}
	}
	s.leave(left)
}

// ask reads, until it is answered.
func (c *customer) ask(d demand) {
	for range 20 {
		call := c.now()
		if r, _, err := c.send(d, ""); err == nil {
			c.stall().add(c.id, d, r, call, c.now())
			if d.verb == doRoute {
				c.seen[c.at] = r
			}
			return
		}
	}
}

func (c *customer) now() time.Duration { return time.Since(c.began) }

// choose makes up a demand that could make sense by what the client saw last.
func (c *customer) choose() demand {
	g := 1 + rand.IntN(kinship)
	d := demand{generation: g}
	if rand.IntN(3) == 0 {
		d.expected = c.seen[c.at].revision
	}
	switch n := rand.IntN(100); {
	case n < 30:
		d.verb, d.supersede = doPromote, rand.IntN(2) == 0
	case n < 48:
		d.verb = doRollback
		switch rand.IntN(4) {
		case 0:
			d.generation = c.seen[c.at].live
		case 1:
			d.generation, d.to = 0, g
		case 2:
			d.generation = 0
		}
	case n < 60:
		d.verb, d.partner, d.share = doWeights, c.seen[c.at].live, []int{10, 50, 90}[rand.IntN(3)]
		if d.partner == g {
			d.partner = 1 + g%kinship
		}
	case n < 64 && c.stall().mayRetire():
		d.verb, d.expected = doRetire, 0
	case n < 78:
		d.verb, d.expected = doValidate, 0
	case n < 90:
		d = demand{verb: doRoute}
	default:
		d = demand{verb: doLook, generation: g}
	}
	return d
}

// send makes one call. An error is no answer; sent says whether the replica may have got the call.
func (c *customer) send(d demand, key string) (r reply, sent bool, err error) {
	limit := patience
	if c.fails() {
		limit = time.Duration(1+rand.IntN(30)) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(c.Context(), limit)
	defer cancel()
	got, err := d.call(ctx, c.doors[rand.IntN(len(c.doors))], c.stall().name, key)
	if err != nil {
		return reply{}, !errors.Is(err, syscall.ECONNREFUSED), err
	}
	if got.problem != nil && (got.status >= 500 || got.problem.Code == client.CodeUnavailable) {
		return reply{}, true, fmt.Errorf("answered with %d: %s", got.status, got.problem.Detail)
	}
	r, err = got.reply(d)
	if err != nil {
		c.Errorf("%v: %v", d, err)
	}
	return r, true, err
}
