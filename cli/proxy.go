package cli

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"viridian/router/builtin"
)

// proxy is where traffic comes in: the builtin router behind a listener, with an end that loses no request.
type proxy struct {
	router   *builtin.Router
	server   *http.Server
	listener net.Listener
	log      *slog.Logger

	open   atomic.Int64  // requests and upgraded connections
	ending atomic.Bool   // clients are asked to connect anew
	quiet  chan struct{} // a hint that open has come down to 0
}

func newProxy(router *builtin.Router, listener net.Listener, log *slog.Logger) *proxy {
	p := &proxy{router: router, listener: lastCallOf(listener), log: log, quiet: make(chan struct{}, 1)}
	p.server = builtin.NewServer(p, log)
	return p
}

// ServeHTTP passes the request to the router and counts it.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.open.Add(1)
	defer func() {
		if p.open.Add(-1) == 0 && p.ending.Load() {
			select {
			case p.quiet <- struct{}{}:
			default:
			}
		}
	}()
	if p.ending.Load() && r.Header.Get("Upgrade") == "" {
		w.Header().Set("Connection", "close")
	}
	p.router.ServeHTTP(w, r)
}

// serve answers until shutdown is called.
func (p *proxy) serve() error {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shutdown asks clients to connect anew for the time of delay, then stops accepting, gives what is open the time of
// drain, and cuts the rest.
func (p *proxy) shutdown(delay, drain time.Duration) {
	p.ending.Store(true)
	wait(delay)
	patience, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	closed := make(chan error, 1)
	go func() { closed <- p.server.Shutdown(patience) }()
	for p.open.Load() > 0 && patience.Err() == nil {
		select {
		case <-p.quiet:
		case <-patience.Done():
		}
	}
	if err := <-closed; err != nil || p.open.Load() > 0 {
		p.log.Warn("drain_timeout is over, cutting what is still open", "open", p.open.Load())
	}
	p.router.Close()
	last, cancelLast := context.WithTimeout(context.Background(), time.Second)
	defer cancelLast()
	_ = p.server.Shutdown(last) // what was cut gets its answer out
	_ = p.server.Close()
}

func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
