package builtin

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
	"viridian/router"
)

const (
	dialTimeout = 2 * time.Second
	// Idle connections to instances end before an instance's own idle limit does (5 s in Node, and rarely less
	// elsewhere): a request with a body that meets a connection being closed cannot be sent again.
	idleTimeout = 4 * time.Second
)

// generation is the instances of one generation on this node, what is open on them, and what they did. It is shared by
// all tables from its staging to its removal.
type generation struct {
	environment string
	number      int
	header      []string         // the number, as the value of a header
	groups      []rollout.Group  // guarded by environment.mu, as the two below
	members     router.Members   // which of a followed generation's these are
	pools       map[string]*pool // by service
	clock       clockwork.Clock
	traffic     *traffic

	open    atomic.Int64 // requests and upgraded connections, counted before the table is asked again
	shards  [8]openShard // the same, once they are under way
	cutting atomic.Bool  // what is under way is to end now; false while the generation has weight
	cut     atomic.Int64 // how many were ended so

	drain clockwork.Timer // guarded by environment.mu; nil when nothing is to be cut
}

// openShard holds a part of what is under way, so that requests rarely wait for each other.
type openShard struct {
	mu   sync.Mutex
	open map[*exchange]struct{}
}

func (r *Router) newGeneration(environment string, number int, groups []rollout.Group, members router.Members) *generation {
	g := &generation{
		environment: environment, number: number, header: []string{strconv.Itoa(number)}, groups: groups, members: members,
		pools: map[string]*pool{}, clock: r.clock, traffic: newTraffic(),
	}
	for i := range g.shards {
		g.shards[i].open = map[*exchange]struct{}{}
	}
	for _, group := range groups {
		g.pools[group.Service] = r.newPool(g, group)
	}
	return g
}

// newTransport makes the connections to one instance. It has no limit on the time to an answer (long polls are
// legitimate), knows no proxy of the environment, and leaves bodies as they are.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, &dialError{err}
			}
			return c, nil
		},
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        idleTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		DisableCompression:     true,
	}
}

// dialError is a connection that was not made: no byte of the request has left.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// enter notes that the exchange is under way; leave notes its end. An exchange that enters while the generation is
// being cut is cut at once.
func (g *generation) enter(x *exchange) {
	x.shard = &g.shards[rand.Uint32()%uint32(len(g.shards))]
	x.shard.mu.Lock()
	defer x.shard.mu.Unlock()
	x.shard.open[x] = struct{}{}
	if g.cutting.Load() {
		g.cutLocked(x)
	}
}

func (g *generation) leave(x *exchange) {
	x.shard.mu.Lock()
	delete(x.shard.open, x)
	x.shard.mu.Unlock()
	g.open.Add(-1)
}

// cutOpen ends everything that is under way, and what was let in but has not entered yet. It returns how many.
func (g *generation) cutOpen() int {
	g.cutting.Store(true)
	n := 0
	for i := range g.shards {
		s := &g.shards[i]
		s.mu.Lock()
		for x := range s.open {
			g.cutLocked(x)
			n++
		}
		s.mu.Unlock()
	}
	return n
}

func (g *generation) cutLocked(x *exchange) {
	if !x.wasCut.Swap(true) {
		g.cut.Add(1)
		x.end()
	}
}
