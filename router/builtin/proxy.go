package builtin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
)

// generationHeader tells in each answer which generation gave it. In requests it is kept from the instances.
const generationHeader = "X-Viridian-Generation"

// ServeHTTP passes the request on to the generation that the table names at this moment.
func (r *Router) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	if in.Method == http.MethodConnect {
		noTunnels.write(w)
		return
	}
	p, refused := r.admit(hostKey(in.Host))
	if p == nil {
		refused.write(w)
		return
	}
	x := begin(p.generation, w, in)
	whole := false
	defer func() { x.done(whole) }() // also when the proxy panics to break the connection off
	p.proxy.ServeHTTP(w, in.WithContext(x))
	whole = !x.wasCut.Load()
}

// admit chooses the instances for a new request, and counts it as open on their generation. The count comes first and
// then a second look at the table: whoever swapped the table in between and now reads a count of 0 can be sure that
// nothing more arrives.
func (r *Router) admit(host string) (*pool, *refusal) {
	for {
		t := r.table.Load()
		s := t.sites[host]
		switch {
		case s == nil && t.partial:
			return nil, hostNotLoaded
		case s == nil:
			return nil, hostUnknown
		}
		p := s.pick(r.random)
		if p == nil {
			return nil, noWeights
		}
		p.generation.open.Add(1)
		if r.table.Load() == t {
			return p, nil
		}
		p.generation.open.Add(-1)
	}
}

// rewrite prepares the outgoing request: path, query and Host as they came, and forwarding headers of our own. What
// the client claims about itself is not believed.
func rewrite(pr *httputil.ProxyRequest) {
	out := pr.Out
	out.URL.Scheme = "http"
	out.URL.RawQuery = pr.In.URL.RawQuery // nothing here reads the query, so there is nothing to disagree about
	for name := range out.Header {
		if strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" || name == generationHeader {
			delete(out.Header, name)
		}
	}
	pr.SetXForwarded()
	// An upgrade to h2c would be a tunnel for requests to other hosts, unseen by the table.
	if up := out.Header["Upgrade"]; len(up) > 0 && !strings.EqualFold(up[0], "websocket") {
		delete(out.Header, "Upgrade")
		delete(out.Header, "Connection")
	}
}

// failed answers for an instance that did not.
func failed(w http.ResponseWriter, out *http.Request, err error) {
	answer := badGateway
	var timeout net.Error
	x := exchangeOf(out.Context())
	switch {
	case errors.Is(context.Cause(out.Context()), errCut):
		answer = takenAway
	case x != nil && x.garbled.Load():
		answer = badBody
	case errors.As(err, &timeout) && timeout.Timeout():
		answer = gatewayTimeout
	}
	if x != nil && x.client.Err() == nil {
		x.status = answer.status
	}
	answer.write(w)
}

// refusal is an answer of the proxy itself.
type refusal struct {
	status     int
	text       string
	retryAfter string // seconds
}

var (
	noTunnels      = &refusal{http.StatusMethodNotAllowed, "This proxy does not open tunnels.", ""}
	hostUnknown    = &refusal{http.StatusMisdirectedRequest, "No environment serves this host.", ""}
	hostNotLoaded  = &refusal{http.StatusServiceUnavailable, "No route to this host is known yet.", "1"}
	noWeights      = &refusal{http.StatusServiceUnavailable, "No generation serves here yet.", "5"}
	takenAway      = &refusal{http.StatusServiceUnavailable, "The generation that served this request was taken out of service.", "0"}
	badBody        = &refusal{http.StatusBadRequest, "The body of the request could not be read.", ""}
	badGateway     = &refusal{http.StatusBadGateway, "The service could not be reached.", ""}
	gatewayTimeout = &refusal{http.StatusGatewayTimeout, "The service did not answer in time.", ""}
)

func (f *refusal) write(w http.ResponseWriter) {
	if f.retryAfter != "" {
		w.Header().Set("Retry-After", f.retryAfter)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, f.text, f.status)
}

// bufferPool lends the buffers that bodies are copied through.
type bufferPool struct{ free sync.Pool }

const bufferSize = 32 << 10

func (b *bufferPool) Get() []byte {
	if buf, ok := b.free.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

func (b *bufferPool) Put(buf []byte) { b.free.Put((*[bufferSize]byte)(buf)) }
