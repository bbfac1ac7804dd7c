package cli

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// listen opens a TCP listener; setting names, for the fix, what can be changed when that fails.
func listen(address, setting string) (net.Listener, error) {
	var options net.ListenConfig
	options.SetMultipathTCP(false) // such a socket could not turn new clients away, see lastCall
	l, err := options.Listen(context.Background(), "tcp", address)
	var cause syscall.Errno
	switch {
	case err == nil:
		return l, nil
	case !errors.As(err, &cause):
	case errors.Is(cause, syscall.EADDRINUSE):
		_, port, _ := net.SplitHostPort(address)
		return nil, &failure{what: address + " is in use by another program",
			fix: "stop it (`ss -ltnp sport = :" + port + "` shows it), or choose another address with " + setting}
	case errors.Is(cause, syscall.EACCES):
		return nil, &failure{what: address + " may not be used by this user", fix: "choose a port from 1024 up with " + setting}
	case errors.Is(cause, syscall.EADDRNOTAVAIL):
		return nil, &failure{what: address + " is not an address of this machine", fix: "choose another one with " + setting}
	}
	return nil, &failure{what: "cannot listen on " + address, cause: err, fix: "choose another address with " + setting}
}
