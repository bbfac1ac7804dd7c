package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"syscall"
	"time"

	"viridian/rollout"
	"viridian/router"
)

const (
	// followTime is how long a predecessor may take to do what its successor's node does.
	followTime = 3 * time.Second
	// sealTime is how long it may take to lay down its duties and its state files.
	sealTime = 20 * time.Second
)

// predecessor is the process that this one takes over from. It goes on with what it has begun and, until it is gone,
// follows each route that this process applies.
type predecessor struct {
	pid  int
	rpc  *rpc.Client
	conn *endingConn
}

// endingConn tells when the other side is gone.
type endingConn struct {
	net.Conn
	ended chan struct{}
}

// Read is called by one goroutine of the RPC client, which ends with the first error.
func (c *endingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		close(c.ended)
	}
	return n, err
}

func newPredecessor(pid int, control net.Conn) *predecessor {
	conn := &endingConn{control, make(chan struct{})}
	return &predecessor{pid: pid, conn: conn, rpc: jsonrpc.NewClient(conn)}
}

// gone says whether the predecessor has ended. A nil one is gone.
func (p *predecessor) gone() bool { return p == nil || closed(p.conn.ended) }

func (p *predecessor) close() { _ = p.rpc.Close() } // it may be gone already

var (
	errPredecessorGone = errors.New("the process before this one is gone")
	errNoAnswer        = errors.New("it does not answer")
)

// call asks the predecessor to do something.
func (p *predecessor) call(method string, within time.Duration, args, reply any) error {
	if p.gone() {
		return errPredecessorGone
	}
	over := time.NewTimer(within)
	defer over.Stop()
	select {
	case done := <-p.rpc.Go(handoverService+"."+method, args, reply, make(chan *rpc.Call, 1)).Done:
		if done.Error != nil && p.gone() {
			return errPredecessorGone
		}
		return done.Error
	case <-over.C:
		return fmt.Errorf("the process before this one, %d: %w within %v", p.pid, errNoAnswer, within)
	}
}

// leave tells the predecessor that this process serves. One that runs would have ended this process by the time that it
// counts as not answering, see [upgrade.leave]. So it was stopped, and must not go on later: it is ended, and what it
// serves with it.
func (p *predecessor) leave(log *slog.Logger) error {
	err := p.call("Leave", openTime, false, new(bool))
	if errors.Is(err, errNoAnswer) {
		log.Warn("the process before this one hangs and is killed, with what it still served", "pid", p.pid)
		p.kill()
	} else if err != nil && !errors.Is(err, errPredecessorGone) {
		return fmt.Errorf("not taking over from process %d: %w", p.pid, err)
	}
	return nil
}

// kill ends the predecessor and waits until it is gone.
func (p *predecessor) kill() {
	if !p.gone() {
		_ = syscall.Kill(p.pid, syscall.SIGKILL) // it may have ended just now
	}
	<-p.conn.ended
}

// twin is this process's own router and, as long as it is there, the predecessor's: both serve as one node, and a route
// is applied when both have it. What else a node is told takes no traffic from anywhere, and is this process's alone.
type twin struct {
	ownRouter
	old *predecessor
	log *slog.Logger
}

// ownRouter is all that the loops ask of this process's router.
type ownRouter interface {
	router.Router
	Environments() []string
}

// Stage makes the generation known to both.
func (t *twin) Stage(ctx context.Context, fence router.Fence, route rollout.Route, g rollout.Generation) error {
	err := t.ownRouter.Stage(ctx, fence, route, g)
	if err == nil {
		t.follow("Stage", &StageCall{fence, route, rollout.Generation{Environment: g.Environment, Number: g.Number, Groups: g.Groups}}, new(bool))
	}
	return err
}

// Apply moves the traffic of both. When only this process's file could not be written, the traffic has moved, and the
// other one's has to as well.
func (t *twin) Apply(ctx context.Context, fence router.Fence, route rollout.Route) error {
	err := t.ownRouter.Apply(ctx, fence, route)
	if !errors.Is(err, router.ErrStale) && !errors.Is(err, router.ErrDiverged) && !errors.Is(err, router.ErrNotStaged) {
		t.follow("Apply", &ApplyCall{fence, route}, new(bool))
	}
	return err
}

// Observe counts what is open on both.
func (t *twin) Observe(ctx context.Context, environment string) (router.Observation, error) {
	o, err := t.ownRouter.Observe(ctx, environment)
	if err != nil {
		return o, err
	}
	open := map[int]int{}
	t.follow("Open", environment, &open)
	for n, count := range open {
		if o.InFlight == nil {
			o.InFlight = map[int]int{}
		}
		o.InFlight[n] += count
	}
	return o, nil
}

// follow has the predecessor do the same. One that does not is ended, with what it still serves: nobody may serve a
// route that was left, and no rollback waits for a process that hangs.
func (t *twin) follow(method string, args, reply any) {
	if t.old.gone() {
		return
	}
	err := t.old.call(method, followTime, args, reply)
	if err == nil || errors.Is(err, errPredecessorGone) {
		return
	}
	t.log.Warn("the process before this one does not follow and is killed, with what it still served", "pid", t.old.pid, "error", err)
	t.old.kill()
}
