package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// door is a listener with its server, and an end that loses no request. (Shutdown of net/http alone drops requests:
// those in the queue of the socket, and those that are just being read.)
type door struct {
	server   *http.Server
	listener net.Listener
	inside   http.Handler

	begun   atomic.Int64  // requests
	open    atomic.Int64  // requests and upgraded connections
	fresh   sync.Map      // connections on which no request was read yet
	ending  atomic.Bool   // clients are asked to connect anew
	passed  atomic.Bool   // another process serves at this address, see pass
	quiet   chan struct{} // a hint that open has come down to 0
	stopped chan struct{} // closed when nothing is accepted any more
}

// newDoor puts the server, whose handler is kept as it is, behind the listener.
func newDoor(server *http.Server, listener net.Listener) *door {
	d := &door{server: server, listener: lastCallOf(listener), inside: server.Handler,
		quiet: make(chan struct{}, 1), stopped: make(chan struct{})}
	server.Handler = d
	server.ConnState = d.noteFresh
	return d
}

func (d *door) noteFresh(c net.Conn, state http.ConnState) {
	if state == http.StateNew {
		d.fresh.Store(c, nil)
	} else {
		d.fresh.Delete(c)
	}
}

// ServeHTTP counts the request and passes it on.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.begun.Add(1)
	d.open.Add(1)
	defer func() {
		if d.open.Add(-1) == 0 && d.ending.Load() {
			select {
			case d.quiet <- struct{}{}:
			default:
			}
		}
	}()
	if d.ending.Load() && r.Header.Get("Upgrade") == "" {
		w.Header().Set("Connection", "close")
	}
	d.inside.ServeHTTP(w, r)
}

// serve accepts until close is called.
func (d *door) serve() error {
	defer close(d.stopped)
	err := d.server.Serve(d.listener)
	if d.ending.Load() && (errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed)) {
		return nil
	}
	return err
}

// share says whether another process has the listener's socket too.
func (d *door) share(with bool) {
	if l, ok := d.listener.(*lastCall); ok {
		l.share(with)
	}
}

// pass leaves the address to another process that accepts there already. What is asked here whether the address serves
// is still answered with yes.
func (d *door) pass() {
	d.share(true)
	d.passed.Store(true)
}

// leaving says whether clients should go to another address.
func (d *door) leaving() bool { return d.ending.Load() && !d.passed.Load() }

// close goes on for the time of delay, asking clients to connect anew; then accepts no more, and gives what is open
// the time of drain. It returns how many requests and connections were still open then; cut ends those.
//
// A door that was passed accepts no more at once. There is no hurry then: a connection is closed only when none was
// asked anything for the time of delay, since whoever asks at that very moment is lost, and when the first request of
// each has been read, or its time is over.
func (d *door) close(delay, drain time.Duration) int64 {
	d.ending.Store(true)
	silence := lastOrders
	if d.passed.Load() {
		silence = max(silence, delay)
	} else {
		wait(delay)
	}
	d.listener.Close()
	<-d.stopped
	patience, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	// Whoever could connect has a moment to send a request; after that, what is connected is idle or is being answered.
	for before := int64(-1); before != d.begun.Load() && patience.Err() == nil; {
		before = d.begun.Load()
		wait(silence)
	}
	for d.passed.Load() && d.anyFresh() && patience.Err() == nil {
		wait(freshPause)
	}
	_ = d.server.Shutdown(patience) // waits for requests, but not for upgraded connections
	for d.open.Load() > 0 && patience.Err() == nil {
		select {
		case <-d.quiet:
		case <-patience.Done():
		}
	}
	return d.open.Load()
}

// freshPause is how often is looked for connections on which no request was read yet. The server ends those itself after
// a few seconds.
const freshPause = 50 * time.Millisecond

func (d *door) anyFresh() (found bool) {
	d.fresh.Range(func(_, _ any) bool {
		found = true
		return false
	})
	return found
}

// cut ends what is still open, after a moment for last answers to get out.
func (d *door) cut() {
	moment, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = d.server.Shutdown(moment) // what does not end is cut by the next line
	_ = d.server.Close()
}

func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
