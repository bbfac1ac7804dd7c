package pglocal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

func (s *Server) startLocked(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if s.lock, err = s.folder.claim(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.releaseLocked()
		}
	}()
	if err := s.folder.rotateLog(); err != nil {
		return err
	}
	if err := s.folder.ensureCluster(ctx, s.bin, s.options.Durable); err != nil {
		return err
	}
	if s.socketDir, err = s.folder.openSocketDir(cmp.Or(s.options.SocketDir, s.socketDir)); err != nil {
		return fmt.Errorf("make a folder for the socket of Postgres: %w", err)
	}
	if err := s.launchLocked(ctx); err != nil {
		return errors.Join(err, removeSocketDir(s.socketDir))
	}
	s.log.Info("postgres started", "folder", s.folder.path, "pid", s.process.pid(), "version", s.bin.Major)
	return nil
}

// launchLocked starts the postmaster and waits until it accepts connections.
// After a crash, sessions of the last one may hold its shared memory for
// another moment; then it tries again.
func (s *Server) launchLocked(ctx context.Context) error {
	for {
		p, err := s.spawnLocked()
		if err != nil {
			return fmt.Errorf("start Postgres: %w", err)
		}
		s.process = p
		var ended bool
		err = poll(ctx, startTimeout, func() bool {
			ended = !p.running()
			return ended || s.acceptsLocked(ctx)
		})
		if err == nil && !ended {
			return nil
		}
		if err != nil {
			p.signal(syscall.SIGQUIT)
			s.awaitEndLocked()
			return fmt.Errorf("PostgreSQL did not accept connections: %w; its log ends:\n%s", err, s.folder.logTail())
		}
		tail := s.folder.logTail()
		if !strings.Contains(tail, "pre-existing shared memory block") || ctx.Err() != nil {
			return fmt.Errorf("PostgreSQL ended while starting (%w); its log ends:\n%s", p.err, tail)
		}
		// The next log must not be judged by this one's line.
		if err := s.folder.rotateLog(); err != nil {
			return err
		}
	}
}

func (s *Server) spawnLocked() (*process, error) {
	out, err := s.folder.openLog()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(s.bin.path("postgres"), s.settingsLocked()...)
	cmd.Dir = s.folder.cluster()
	cmd.Env = childEnvironment()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttributes(s.folder.account, syscall.SIGQUIT)
	return startChild(cmd)
}

func (s *Server) settingsLocked() []string {
	settings := []string{
		"listen_addresses=",
		"port=" + strconv.Itoa(port),
		`unix_socket_directories="` + strings.ReplaceAll(s.socketDir, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		"max_connections=200",
		"shared_buffers=64MB",
		"logging_collector=off",
		"log_checkpoints=off",
		"log_line_prefix=%m [%p] %q%u@%d ",
		"wal_level=minimal",
		"max_wal_senders=0",
		"timezone=UTC",
	}
	if !s.options.Durable {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	args := []string{"-D", s.folder.cluster()}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

func (s *Server) acceptsLocked(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.urlLocked("postgres"))
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}
