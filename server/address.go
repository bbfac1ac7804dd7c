package server

import (
	"net"
	"net/http"

	"github.com/go-chi/chi/v5/middleware"
)

// located finds out where requests come from: what a trusted proxy says, else who is connected.
func (s *server) located(next http.Handler) http.Handler {
	if len(s.TrustedProxies) == 0 {
		return next
	}
	return middleware.ClientIPFromXFF(s.TrustedProxies...)(next)
}

// address is where the request comes from.
func (s *server) address(r *http.Request) string {
	if ip := middleware.GetClientIP(r.Context()); ip != "" {
		return ip
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
