package routertest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"viridian/rollout"
)

// Backend is an instance of one generation. It answers
//
//	/         with the generation, in the body and in GenerationHeader
//	/body     with the request's body
//	/headers  with the request's Host and head, as it arrived
//	/drip     with a few lines, over a quarter of a second
//	/slow     with "begun", and with "done" after Release
//	/sse      with one event, and with another one after Release
//	/ws       with each message of a WebSocket, sent back
type Backend struct {
	Generation int
	server     *httptest.Server
	release    chan struct{}
	once       sync.Once
}

// NewBackend starts an instance of the generation; it is closed at the end of the test.
func NewBackend(t testing.TB, generation int) *Backend {
	t.Helper()
	b := &Backend{Generation: generation, release: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "generation %d\n", generation)
	})
	mux.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s %s\r\nHost: %s\r\n", r.Method, r.RequestURI, r.Host)
		_ = r.Header.Write(w)
	})
	mux.HandleFunc(SlowPath, drip)
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) { b.slow(w, r, "begun\n", "done\n") })
	mux.HandleFunc("/sse", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		b.slow(w, r, "data: begun\n\n", "data: done\n\n")
	})
	mux.HandleFunc("/ws", b.echo)
	b.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(GenerationHeader, strconv.Itoa(generation))
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

// Instance is the backend as it is registered.
func (b *Backend) Instance(id string) rollout.Instance {
	host, port, err := net.SplitHostPort(b.server.Listener.Addr().String())
	if err != nil {
		panic(err) // a listener's address has a port
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		panic(err) // and it is a number
	}
	return rollout.Instance{ID: id, Address: host, Port: n}
}

// Release lets the long answers end.
func (b *Backend) Release() { b.once.Do(func() { close(b.release) }) }

// Close ends everything that is open and stops the instance.
func (b *Backend) Close() {
	b.Release()
	b.server.CloseClientConnections()
	b.server.Close()
}

// slow writes the beginning at once and the end after Release.
func (b *Backend) slow(w http.ResponseWriter, r *http.Request, beginning, end string) {
	_, _ = io.WriteString(w, beginning)
	if err := http.NewResponseController(w).Flush(); err != nil {
		return
	}
	select {
	case <-b.release:
		_, _ = io.WriteString(w, end)
	case <-r.Context().Done():
	}
}

// drip writes line after line.
func drip(w http.ResponseWriter, r *http.Request) {
	ticker := time.NewTicker(25 * time.Millisecond)
	defer ticker.Stop()
	for range 10 {
		_, _ = io.WriteString(w, "drip\n")
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

func (b *Backend) echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // any origin: it is a test
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if err := c.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}
