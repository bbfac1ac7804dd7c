package builtin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// cutGrace is how long a client may take to read the end of an answer that is being cut, and its write to be read.
const cutGrace = time.Second

var errCut = errors.New("the generation was taken out of service")

// exchange is one request under way, up to the end of its answer or of its upgraded connection. It is the context of
// the outgoing request.
type exchange struct {
	context.Context
	cancel     context.CancelCauseFunc
	client     context.Context // of the incoming request: ends when the client leaves
	generation *generation
	shard      *openShard
	writer     http.ResponseWriter
	began      time.Time

	status  int  // of the answer; 0 before
	counted bool // in the generation's traffic
	wasCut  atomic.Bool
	garbled atomic.Bool // the client's body could not be read
}

// clientBody is the body that a client sends. One that breaks off or is malformed is no fault of the instance.
type clientBody struct {
	io.ReadCloser
	exchange *exchange
}

func (b *clientBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, http.ErrBodyReadAfterClose) {
		b.exchange.garbled.Store(true)
	}
	return n, err
}

type exchangeKey struct{}

// Value makes the exchange reachable from the hooks of the reverse proxy.
func (x *exchange) Value(key any) any {
	if key == (exchangeKey{}) {
		return x
	}
	return x.Context.Value(key)
}

// begin notes a request under way on a generation whose open count already has it.
func begin(g *generation, w http.ResponseWriter, in *http.Request) *exchange {
	x := &exchange{client: in.Context(), generation: g, writer: w, began: g.clock.Now()}
	x.Context, x.cancel = context.WithCancelCause(x.client)
	g.enter(x)
	return x
}

// answered notes the status. What goes on for as long as it likes is counted now, with the time to the first byte.
func (x *exchange) answered(res *http.Response) {
	x.status = res.StatusCode
	if res.StatusCode == http.StatusSwitchingProtocols ||
		strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		x.count(false)
	}
}

// done notes the end; whole is false when the answer broke off.
func (x *exchange) done(whole bool) {
	x.generation.leave(x)
	x.count(!whole)
	x.cancel(nil)
}

// count puts the exchange into the generation's traffic, once. An answer that broke off is an error of the generation
// unless the client left or we cut it.
func (x *exchange) count(broken bool) {
	if x.counted {
		return
	}
	x.counted = true
	now := x.generation.clock.Now()
	class, failed := x.status/100, x.status >= 500
	if broken || x.status == 0 {
		class, failed = classAborted, x.client.Err() == nil
	}
	x.generation.traffic.add(now, now.Sub(x.began), class, failed && !x.wasCut.Load())
}

// end ends the exchange from outside: the instance's side at once, the client's after a grace. The exchange has not
// left, so the deadlines cannot hit a later request on the same connection.
func (x *exchange) end() {
	x.cancel(errCut)
	c := http.NewResponseController(x.writer)
	deadline := time.Now().Add(cutGrace) // of the socket, so not by the injected clock
	// A writer without deadlines is not a network connection, and nothing can block on it.
	_ = c.SetReadDeadline(deadline)
	_ = c.SetWriteDeadline(deadline)
}
