package pglocal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	startTimeout = 60 * time.Second
	// quitPatience is what an immediate shutdown may take; the postmaster
	// kills its children after five seconds.
	quitPatience = 8 * time.Second
)

// Options say how to run a server.
type Options struct {
	// DataDir is made when missing. When we are root and the user that
	// Postgres runs as cannot enter it, a folder below /var/lib/viridian
	// stands in for it, always the same one for the same path; the log says so.
	DataDir string
	// SocketDir is a short path for a folder that holds nothing but the
	// socket. Empty: a temporary one, the same at every start on DataDir.
	SocketDir string
	Logger    *slog.Logger // optional
	// Durable makes a commit survive a power cut. Without it (tests) commits
	// survive kill -9 of Postgres, but not a crash of the machine.
	Durable bool
}

// Server is a private Postgres. It ends with the process that started it.
// Its methods may be called from any goroutine.
type Server struct {
	options Options
	log     *slog.Logger
	bin     Binaries
	folder  folder

	mu        sync.Mutex
	socketDir string   // kept over a restart
	lock      *os.File // nil while stopped
	process   *process // nil before the first start
}

// Start runs Postgres on the data folder and returns once it accepts
// connections; the first start makes the cluster, which takes about a second.
// ctx bounds the start only, which is given up after a minute in any case.
// Errors: one that wraps ErrNotInstalled, *InUseError, *VersionError, or a
// failed start with the tail of Postgres' log.
func Start(ctx context.Context, options Options) (*Server, error) {
	s := &Server{options: options, log: options.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if options.DataDir == "" {
		return nil, errors.New("start Postgres: no data folder given")
	}
	var err error
	if s.bin, err = Find(); err != nil {
		return nil, err
	}
	if s.folder, err = openFolder(options.DataDir, relocated, s.bin, s.log); err != nil {
		return nil, fmt.Errorf("prepare the data folder of Postgres: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.startLocked(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Restart runs the server again after Stop or Kill, at the same URL. A running
// server is stopped first. ctx bounds the whole.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stopLocked(ctx); err != nil {
		return err
	}
	return s.startLocked(ctx)
}

// Remove deletes the data folder of a server that has ended, with its socket.
// It returns *InUseError, and deletes nothing, while a server or its holder
// still runs; it waits a moment for one that is ending, unless ctx is done.
func Remove(ctx context.Context, dataDir string) error {
	f := folder{path: dataDir}
	lock, err := f.claim(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	if last, err := os.ReadFile(f.socket()); err == nil {
		if err := removeSocketDir(strings.TrimSpace(string(last))); err != nil {
			return err
		}
	}
	return os.RemoveAll(dataDir)
}

// URL returns the address of a database on this server, for pgx and psql. It
// stays the same over Restart, and over a Start on the same data folder. The
// role is the superuser.
func (s *Server) URL(database string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.urlLocked(database)
}

// DataDir returns the folder that is really used: the requested one, or its
// substitute below /var/lib/viridian (see Options.DataDir).
func (s *Server) DataDir() string { return s.folder.path }

// PID returns the process id of the postmaster, 0 while there is none.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil || !s.process.running() {
		return 0
	}
	return s.process.pid()
}

// Done is closed when the present Postgres process has ended, asked or not.
func (s *Server) Done() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process.done
}

// CreateDatabase makes a database unless it is there already.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42P04" { // duplicate_database
		return nil
	}
	return err
}

// Stop ends Postgres in order: sessions are cut, everything is written. When
// ctx ends first it is ended at once, and Stop returns an error although
// nothing stays running; committed data is recovered by the next start. A
// second Stop does nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stopLocked(ctx)
}

// Kill ends the postmaster by SIGKILL, as a crash would, and returns when it
// is gone. Its children notice within moments. For fault tests.
func (s *Server) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return
	}
	s.process.signal(syscall.SIGKILL)
	<-s.process.done
	s.releaseLocked()
}

func (s *Server) stopLocked(ctx context.Context) error {
	if s.lock == nil {
		return nil
	}
	defer s.releaseLocked()
	s.process.signal(syscall.SIGINT)
	var late error
	select {
	case <-s.process.done:
	case <-ctx.Done():
		late = fmt.Errorf("PostgreSQL did not stop in time and was ended at once: %w", ctx.Err())
		s.process.signal(syscall.SIGQUIT)
		s.awaitEndLocked()
	}
	s.log.Info("postgres stopped", "folder", s.folder.path)
	return errors.Join(late, removeSocketDir(s.socketDir))
}

// awaitEndLocked waits for a process that was told to end at once.
func (s *Server) awaitEndLocked() {
	timer := time.NewTimer(quitPatience)
	defer timer.Stop()
	select {
	case <-s.process.done:
	case <-timer.C:
		s.process.signal(syscall.SIGKILL)
		<-s.process.done
	}
}

func (s *Server) releaseLocked() {
	_ = s.lock.Close()
	s.lock = nil
}

func (s *Server) urlLocked(database string) string {
	query := url.Values{"host": {s.socketDir}, "port": {strconv.Itoa(port)}, "sslmode": {"disable"}}
	// libpq, other than a browser, does not read + as a space.
	raw := strings.ReplaceAll(query.Encode(), "+", "%20")
	address := url.URL{Scheme: "postgres", User: url.User(superuser), Path: "/" + database, RawQuery: raw}
	return address.String()
}
