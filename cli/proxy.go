package cli

import (
	"log/slog"
	"net"
	"time"

	"viridian/router/builtin"
)

// proxy is where traffic comes in: the door to the builtin router.
type proxy struct {
	*door
	router *builtin.Router
	log    *slog.Logger
}

func newProxy(router *builtin.Router, listener net.Listener, log *slog.Logger) *proxy {
	return &proxy{door: newDoor(builtin.NewServer(router, log), listener), router: router, log: log}
}

// shutdown closes the door, and then cuts what has outlasted drain: long answers, event streams, upgraded connections.
func (p *proxy) shutdown(delay, drain time.Duration) {
	if open := p.close(delay, drain); open > 0 {
		p.log.Warn("drain_timeout is over, cutting what is still open", "open", open)
	}
	p.router.Close()
	p.cut()
}
