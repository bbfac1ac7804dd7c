package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/httprate"
	"github.com/jonboulle/clockwork"
	"github.com/prometheus/client_golang/prometheus"

	"viridian/rollout/controller"
	"viridian/server/api"
	"viridian/store"
)

// Options are what a server is made of. Service, Store and OpenAPI are required.
type Options struct {
	Service *controller.Service
	Store   *store.Store
	OpenAPI []byte // openapi.yaml
	Log     *slog.Logger
	Clock   clockwork.Clock
	// Metrics is where the server's metrics are registered, and what /metrics shows.
	Metrics *prometheus.Registry
	// ProxyReady tells whether the builtin router has a table; nil where there is none.
	ProxyReady func() bool
	// Schema tells whether the database was reached and has our schema; nil stands for yes. Before, nothing is asked of it.
	Schema func() bool
	// Ending tells whether this process was told to end; nil stands for no.
	Ending func() bool
	// SessionIdle and SessionLifetime bound a browser's session: not used for so long, and since it began.
	SessionIdle, SessionLifetime time.Duration
	// TrustedProxies are the networks (CIDRs) of proxies in front of this server: what they say in X-Forwarded-For is
	// where a request comes from.
	TrustedProxies []string
	// ProxyListen tells the HOST:PORT that traffic comes in on, to be told to beginners; nil where there is none.
	ProxyListen func() string
	// PublicBadges lets everybody see the state of every environment as a badge, without a token.
	PublicBadges bool
	Version      string
}

type server struct {
	Options
	contract *api.Contract
	metrics  *metrics
	tokens   tokens
	audits   chan struct{} // a place for each who may read the whole audit log
	handler  http.Handler
	bodies   map[string]*openapi3.Schema // of the contract, by operation

	sessions    *scs.SessionManager
	sessionData *store.SessionData
	crossOrigin *http.CrossOriginProtection
	logins      *httprate.RateLimiter
	board       *board

	running    context.Context // ends when the server stops: streams and waits end with it
	stop       context.CancelFunc
	background sync.WaitGroup
}

// handlers has a method for each operation of the contract, in the file of its noun.
type handlers struct{ *server }

var _ api.StrictServerInterface = handlers{}

// New makes the handler of the whole API. It starts nothing. An error means that the options, the contract and the
// routes do not fit together. Serve it with [HTTPServer], so that event streams end when that is shut down.
func New(o Options) (http.Handler, error) {
	contract, err := api.LoadContract(context.Background(), o.OpenAPI)
	if err != nil {
		return nil, err
	}
	return newServer(o, contract)
}

func newServer(o Options, contract *api.Contract) (*server, error) {
	if o.Service == nil || o.Store == nil {
		return nil, errors.New("the server needs the use cases and a store")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, network := range o.TrustedProxies {
		if _, err := netip.ParsePrefix(network); err != nil {
			return nil, fmt.Errorf("a trusted proxy: %w", err)
		}
	}
	if o.Clock == nil {
		o.Clock = clockwork.NewRealClock()
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	if o.SessionIdle <= 0 {
		o.SessionIdle = DefaultSessionIdle
	}
	if o.SessionLifetime <= 0 {
		o.SessionLifetime = DefaultSessionLifetime
	}
	data := o.Store.SessionData(o.SessionIdle)
	s := &server{Options: o, contract: contract, bodies: map[string]*openapi3.Schema{}, sessionData: data, sessions: newSessions(data, o.SessionLifetime),
		crossOrigin: http.NewCrossOriginProtection(), logins: newLoginLimit(), audits: make(chan struct{}, auditsAtOnce),
		tokens: tokens{known: map[string]knownToken{}, touched: map[string]time.Time{}}}
	s.running, s.stop = context.WithCancel(context.Background())
	s.board = newBoard(s)
	mux, err := s.mux()
	if err != nil {
		return nil, err
	}
	if s.metrics, err = newMetrics(o); err != nil {
		return nil, fmt.Errorf("register the server's metrics: %w", err)
	}
	s.handler = s.begin(s.located(s.observe(protect(s.recover(mux)))))
	return s, nil
}

// ServeHTTP serves one request.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// shutdown ends event streams and waits, and what is still written beside requests.
func (s *server) shutdown() {
	s.tokens.mu.Lock() // so that nothing begins in the background any more
	s.stop()
	s.tokens.mu.Unlock()
	s.background.Wait()
}

// beside runs what goes on beside requests until the server stops, unless it has stopped already.
func (s *server) beside(run func()) {
	s.tokens.mu.Lock()
	defer s.tokens.mu.Unlock()
	if s.running.Err() == nil {
		s.background.Go(run)
	}
}

// HTTPServer makes the server that the API listens with. It bounds the time of a request's head (5 s) and body (30 s),
// of an answer (60 s; those that wait or stream move that bound themselves), of an idle connection (2 min), and the
// size of a head (16 KiB). Its Shutdown ends the event streams of a handler made by [New].
func HTTPServer(handler http.Handler) *http.Server {
	out := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16<<10 - 4096, // net/http adds 4096 of its own
	}
	if s, ok := handler.(*server); ok {
		out.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
		out.RegisterOnShutdown(s.shutdown)
	}
	return out
}
