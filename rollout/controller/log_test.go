package controller

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
)

// lines is a log for tests.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) count(phrase string) int { return strings.Count(l.text(), phrase) }

// quietly fills in what every loop needs and a test does not look at.
func (o Options) quietly() Options {
	o.Hub, o.Log, o.Random = NewHub(), slog.New(slog.DiscardHandler), func() float64 { return 0.5 }
	return o
}
