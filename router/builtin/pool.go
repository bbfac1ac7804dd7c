package builtin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"viridian/probe"
	"viridian/rollout"
)

// maxTries is how many instances are tried before a request is answered with an error, when none of them accepts a
// connection.
const maxTries = 3

// pool is the instances of one service in one generation, and the reverse proxy to them.
type pool struct {
	generation *generation
	service    string
	proxy      *httputil.ReverseProxy
	logger     *slog.Logger
	next       atomic.Uint32
	usable     atomic.Pointer[[]*instance] // never empty
	size       atomic.Int32

	mu        sync.Mutex
	instances []*instance
}

// instance is one process that requests are sent to, and the connections to it. ID and the flags but left are guarded by
// pool.mu.
type instance struct {
	rollout.Instance
	target    string // host:port
	transport *http.Transport
	down      bool        // its health question was answered badly
	suspect   bool        // it did not accept a connection lately
	fresh     bool        // it joined what serves, and did not answer well yet
	left      atomic.Bool // it is no member any more
}

func instanceTarget(in rollout.Instance) string {
	return net.JoinHostPort(in.Address, strconv.Itoa(in.Port))
}

func newInstance(in rollout.Instance) *instance {
	return &instance{Instance: in, target: instanceTarget(in), transport: newTransport()}
}

func (r *Router) newPool(g *generation, group rollout.Group) *pool {
	p := &pool{generation: g, service: group.Service,
		logger: r.logger.With("environment", g.environment, "generation", g.number, "service", group.Service)}
	for _, in := range group.Instances {
		p.instances = append(p.instances, newInstance(in))
	}
	p.refresh()
	p.proxy = &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: p, ModifyResponse: p.answered, ErrorHandler: failed, BufferPool: &r.buffers,
		ErrorLog: slog.NewLogLogger(p.logger.Handler(), slog.LevelDebug),
	}
	return p
}

// RoundTrip sends the request to a usable instance, in turn. When that does not accept a connection, nothing of the
// request has left, so another one of the same generation is tried whatever the method.
func (p *pool) RoundTrip(out *http.Request) (*http.Response, error) {
	body := out.Body
	if x := exchangeOf(out.Context()); body != nil && x != nil {
		body = &clientBody{body, x}
	}
	for try := 1; ; try++ {
		in := p.pick()
		out.URL.Host = in.target
		last := try >= min(maxTries, int(p.size.Load()))
		if body != nil && !last {
			out.Body = io.NopCloser(body) // the transport closes the body when it cannot connect
		} else {
			out.Body = body
		}
		res, err := in.transport.RoundTrip(out)
		if in.left.Load() { // meanwhile: nobody will use the connection again
			in.transport.CloseIdleConnections()
		}
		if err == nil {
			return res, nil
		}
		var dial *dialError
		if !errors.As(err, &dial) {
			return nil, err
		}
		p.suspect(in, dial)
		if last || out.Context().Err() != nil {
			return nil, err
		}
	}
}

func (p *pool) pick() *instance {
	usable := *p.usable.Load()
	if len(usable) == 1 {
		return usable[0]
	}
	return usable[p.next.Add(1)%uint32(len(usable))]
}

// refresh works out the usable instances: those nothing bad is known of. One that has just joined is among them only
// when there is no other. When there are none, all are. p.mu is held, except in the making.
func (p *pool) refresh() {
	var usable, fresh []*instance
	for _, in := range p.instances {
		switch {
		case in.down || in.suspect:
		case in.fresh:
			fresh = append(fresh, in)
		default:
			usable = append(usable, in)
		}
	}
	if len(usable) == 0 {
		usable = fresh
	}
	if len(usable) == 0 {
		usable = p.instances
	}
	p.size.Store(int32(len(p.instances)))
	p.usable.Store(&usable)
}

// suspectFor is how long an instance that did not accept a connection is passed over, unless it is probed sooner.
const suspectFor = 2 * time.Second

func (p *pool) suspect(in *instance, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if in.suspect {
		return
	}
	in.suspect = true
	p.refresh()
	p.logger.Warn("instance does not accept connections", "instance", in.ID, "target", in.target, "error", err)
	p.generation.clock.AfterFunc(suspectFor, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		in.suspect = false
		p.refresh()
	})
}

// report takes the answer of an instance to its health question. Before the first verdict it may be used.
func (p *pool) report(in *instance, state probe.State, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	down := in.down
	if state != probe.Unknown { // a changed question begins anew, and what was known holds until its verdict
		down = state == probe.Unhealthy
	}
	suspect := in.suspect && err != nil
	fresh := in.fresh && err != nil && state == probe.Unknown
	if down == in.down && suspect == in.suspect && fresh == in.fresh {
		return
	}
	if down != in.down {
		p.logger.Info("instance changed health", "instance", in.ID, "target", in.target, "healthy", !down, "error", err)
	}
	in.down, in.suspect, in.fresh = down, suspect, fresh
	p.refresh()
}

// answered is called with the head of the instance's answer.
func (p *pool) answered(res *http.Response) error {
	res.Header[generationHeader] = p.generation.header
	if x := exchangeOf(res.Request.Context()); x != nil {
		x.answered(res)
	}
	return nil
}

func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}
