package cli

import (
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// lastCall is a listener whose Close first hands out the connections that wait in its queue: the kernel has accepted
// them in our name, and closing the socket would reset them.
type lastCall struct {
	*net.TCPListener
	closing atomic.Bool
}

// Accept returns net.ErrClosed when the listener was closed and its queue is empty.
func (l *lastCall) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if err == nil || !l.closing.Load() {
		return c, err
	}
	if c := l.waiting(); c != nil {
		return c, nil
	}
	l.TCPListener.Close()
	return nil, net.ErrClosed
}

// Close ends Accept, which then closes the socket. It needs somebody who calls Accept.
func (l *lastCall) Close() error {
	l.closing.Store(true)
	return l.SetDeadline(time.Unix(1, 0))
}

// waiting takes a connection out of the queue, past the deadline that woke Accept; nil when there is none.
func (l *lastCall) waiting() net.Conn {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil
	}
	socket := -1
	if err := raw.Control(func(fd uintptr) { socket = acceptNow(int(fd)) }); err != nil || socket < 0 {
		return nil
	}
	file := os.NewFile(uintptr(socket), "accepted")
	defer file.Close()
	c, err := net.FileConn(file) // on a copy of the descriptor
	if err != nil {
		return nil
	}
	return c
}

// acceptNow does not block, since the runtime made the socket so; below 0 when nothing waits.
func acceptNow(fd int) int {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for {
		socket, _, err := syscall.Accept(fd)
		switch {
		case err == nil:
			syscall.CloseOnExec(socket)
			return socket
		case err != syscall.EINTR && err != syscall.ECONNABORTED: //nolint:errorlint // an errno as the kernel gave it
			return -1
		}
	}
}
