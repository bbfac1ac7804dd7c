package cli

import (
	"net"
	"sync/atomic"
	"time"
)

// lastOrders is how long a closing listener goes on: enough for handshakes on their way, from far away too.
const lastOrders = 250 * time.Millisecond

// lastCall is a listener whose Close first lets in what the kernel has accepted in our name. Closing a socket resets
// the connections in its queue, which the client may have sent a request on.
//
// A listener that another process accepts from too leaves its queue to that one: see [lastCall.share].
type lastCall struct {
	*net.TCPListener
	closing atomic.Bool
	shared  atomic.Bool
}

func lastCallOf(l net.Listener) net.Listener {
	if tcp, ok := l.(*net.TCPListener); ok {
		return &lastCall{TCPListener: tcp}
	}
	return l
}

// Accept returns net.ErrClosed once the listener was closed and nothing is left in its queue.
func (l *lastCall) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err == nil || !l.closing.Load() {
		return c, err
	}
	_ = l.TCPListener.Close() // nothing is left in it
	return nil, net.ErrClosed
}

// share says whether another process has the same socket, or will have it: then Close turns nobody away.
func (l *lastCall) share(with bool) { l.shared.Store(with) }

// Close turns new clients away, so that they try elsewhere or again, and ends Accept a moment later; at once, when the
// socket is shared. It needs somebody who calls Accept.
func (l *lastCall) Close() error {
	if l.closing.Swap(true) {
		return nil
	}
	if l.shared.Load() {
		return l.SetDeadline(time.Now())
	}
	turnAway(l.TCPListener)
	return l.SetDeadline(time.Now().Add(lastOrders))
}

// abandon closes a listener that nobody accepts from.
func abandon(l net.Listener) {
	if last, ok := l.(*lastCall); ok {
		l = last.TCPListener
	}
	l.Close()
}
