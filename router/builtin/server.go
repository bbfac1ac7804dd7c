package builtin

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer makes the server that traffic comes in through. It bounds the time and size of a request's head (5 s,
// 16 KiB) and idle connections (2 min), but not the time of a request or its answer: those may be long.
func NewServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16<<10 - 4096, // net/http adds 4096 of its own
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
