package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// warmTime is how long a successor may take until it has read its configuration and reached the database, with
	// migrations.
	warmTime = 2 * time.Minute
	// openTime is how long it may take at most from being given the state files until it serves, see openWithin.
	openTime = 5 * time.Second
)

// openWithin is openTime, or less where nodes count as silent soon: in that time nobody follows routes on this node. Would
// it be taken for unreachable, a switch would count as applied while this process serves what the switch has left.
func (r *replica) openWithin() time.Duration { return min(openTime, r.config.NodeSilence/2) }

// successor is a process that was started to take over from this one.
type successor struct {
	cmd   *exec.Cmd
	asks  chan question
	ended chan struct{} // closed when the process is gone

	late   *time.Timer
	failed chan struct{} // closed when the process is gone, or late
	fail   func()
}

// question is what a successor asks for: a step of the hand-over.
type question struct {
	step   step
	answer chan error
}

type step string

const (
	stepSeal  step = "seal"  // give me the state files: I can begin to serve at once
	stepLeave step = "leave" // I serve: accept no more
)

// startSuccessor starts the program anew, with the arguments of this process, and passes on its listeners.
func (r *replica) startSuccessor() (*successor, error) {
	near, far, err := socketPair()
	if err != nil {
		return nil, err
	}
	files := []*os.File{far}
	defer func() {
		for _, f := range files {
			_ = f.Close() // the child has its own
		}
	}()
	h := handover{PID: os.Getpid(), Systemd: r.inherited.systemd, Sockets: []handoverEntry{{Name: socketControl}}}
	_, h.Unreadable = r.router.Loaded()
	for _, d := range []struct {
		door    *door
		name    string
		address string
	}{{r.api.door, socketAPI, r.config.Listen}, {r.proxy.door, socketProxy, r.config.ProxyListen}} {
		file, err := duplicate(d.door.listener)
		if err != nil {
			near.Close()
			return nil, err
		}
		files = append(files, file)
		h.Sockets = append(h.Sockets, handoverEntry{d.name, d.address})
	}
	env, err := json.Marshal(h)
	if err != nil {
		near.Close()
		return nil, err
	}
	s := &successor{cmd: exec.Command(r.self.path, r.self.args...), asks: make(chan question), ended: make(chan struct{}), failed: make(chan struct{})}
	s.fail = sync.OnceFunc(func() { close(s.failed) })
	s.late = time.AfterFunc(warmTime, s.fail)
	s.cmd.Env = append(withoutSockets(os.Environ()), handoverEnv+"="+string(env))
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.ExtraFiles = os.Stdout, os.Stderr, files
	if err := s.cmd.Start(); err != nil {
		near.Close()
		return nil, err
	}
	go func() {
		_ = s.cmd.Wait() // ProcessState says how it ended
		s.late.Stop()
		close(s.ended)
		s.fail()
	}()
	server := rpc.NewServer()
	if err := server.RegisterName(handoverService, &Handover{ask: s.ask, router: r.router}); err != nil {
		s.kill()
		return nil, errors.Join(err, near.Close())
	}
	go server.ServeCodec(jsonrpc.NewServerCodec(near)) // until the successor is gone
	return s, nil
}

// self is how this process was started.
type self struct {
	path string
	args []string // without the program
}

// whoAmI is asked at the start: later, the file of the running program may have been replaced, and a symbolic link to
// it may lead to a new one.
func whoAmI(args []string) self {
	path, err := exec.LookPath(os.Args[0])
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		if path, err = os.Executable(); err != nil {
			path = os.Args[0]
		}
	}
	return self{path, args}
}

// withoutSockets leaves out what systemd said of descriptors, which have other numbers for a child.
func withoutSockets(env []string) []string {
	var out []string
	for _, pair := range env {
		if !strings.HasPrefix(pair, "LISTEN_") && !strings.HasPrefix(pair, handoverEnv+"=") {
			out = append(out, pair)
		}
	}
	return out
}

// ask passes on what the successor asks for, and waits for the answer of the replica.
func (s *successor) ask(st step) error {
	q := question{st, make(chan error, 1)}
	select {
	case s.asks <- q:
		return <-q.answer
	case <-s.ended:
		return errors.New("the process that asked is gone")
	}
}

// kill ends the successor and waits until it is gone.
func (s *successor) kill() {
	_ = s.cmd.Process.Kill() // it may be gone
	<-s.ended
}

// why says what became of a successor that did not take over.
func (s *successor) why() string {
	if !closed(s.ended) {
		return "it took too long"
	}
	return s.cmd.ProcessState.String()
}

// socketPair makes a connection between this process and a child.
func socketPair() (near net.Conn, far *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("a socket to the successor: %w", err)
	}
	for _, fd := range pair {
		unix.CloseOnExec(fd)
	}
	file, far := os.NewFile(uintptr(pair[0]), socketControl), os.NewFile(uintptr(pair[1]), socketControl)
	near, err = net.FileConn(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, nil, errors.Join(err, far.Close())
	}
	return near, far, nil
}

// duplicate makes a file of the listener that a child can be given. (The File method of net makes the socket
// blocking when its descriptor is asked for, for this process too.)
func duplicate(l net.Listener) (*os.File, error) {
	conn, ok := l.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("a listener of type %T cannot be passed on", l)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var file *os.File
	var failed error
	err = raw.Control(func(fd uintptr) {
		copied, err := unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			failed = err
			return
		}
		file = os.NewFile(uintptr(copied), l.Addr().String())
	})
	return file, errors.Join(err, failed)
}
