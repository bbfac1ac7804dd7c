package failpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"github.com/jonboulle/clockwork"
)

// EnvVar is the environment variable that [FromEnv] reads.
const EnvVar = "VIRIDIAN_FAILPOINTS"

// ErrInjected is wrapped by every error that an "error" action returns.
var ErrInjected = errors.New("injected failure")

// Set is the failpoints that are armed in one program. A nil Set is ready to use and never fires.
// Its methods may be called from many goroutines.
type Set struct {
	clock clockwork.Clock
	kill  func()

	mu     sync.Mutex
	points map[Name]*point // fixed after New
}

// point is one armed failpoint. hits is guarded by Set.mu.
type point struct {
	action  action
	hits    int
	reached chan struct{} // closed when the action fires for the first time
	fired   bool
}

// New reads a spec such as "promote.decided=kill;stage.acted=error@2": items parted by ";", each name=ACTION or
// name=ACTION@N, where ACTION is kill, error, hang or sleep(DURATION) and N counts hits from 1. An empty spec arms
// nothing. An unknown name or action, a name given twice and an N below 1 are errors that say what is allowed.
func New(spec string) (*Set, error) {
	actions, err := parse(spec)
	if err != nil {
		return nil, err
	}
	s := &Set{clock: clockwork.NewRealClock(), kill: killSelf, points: make(map[Name]*point, len(actions))}
	for name, a := range actions {
		s.points[name] = &point{action: a, reached: make(chan struct{})}
	}
	return s, nil
}

// FromEnv is [New] of the environment variable [EnvVar]; its errors name that variable.
func FromEnv() (*Set, error) {
	s, err := New(os.Getenv(EnvVar))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", EnvVar, err)
	}
	return s, nil
}

// Hit tells the Set that the program is at name, and carries out what is armed there. It returns nil when nothing
// fires or a sleep is over, an error wrapping [ErrInjected] for "error", and an error wrapping ctx's cause when ctx
// ended during a "hang" or a "sleep". For "kill" it does not return.
func (s *Set) Hit(ctx context.Context, name Name) error {
	if s == nil {
		return nil
	}
	p := s.points[name]
	if p == nil || !s.fires(p) {
		return nil
	}
	switch p.action.kind {
	case actKill:
		s.kill()
		return nil
	case actError:
		return fmt.Errorf("%w at %s", ErrInjected, name)
	case actHang:
		<-ctx.Done()
		return fmt.Errorf("hung at %s: %w", name, context.Cause(ctx))
	default:
		return s.sleep(ctx, name, p)
	}
}

// Reached is closed when the action armed at name has fired for the first time, so that a test can wait for a hang to
// begin. It is nil, and so never ready, when nothing is armed there.
func (s *Set) Reached(name Name) <-chan struct{} {
	if s == nil || s.points[name] == nil {
		return nil
	}
	return s.points[name].reached
}

// Armed lists the armed failpoints in the order of [Names], for a warning at start-up. It is empty in production.
func (s *Set) Armed() []Name {
	if s == nil {
		return nil
	}
	var armed []Name
	for _, name := range names {
		if s.points[name] != nil {
			armed = append(armed, name)
		}
	}
	return armed
}

// fires counts a hit of p and reports whether its action is due now.
func (s *Set) fires(p *point) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.hits++
	if p.action.nth != 0 && p.hits != p.action.nth {
		return false
	}
	if !p.fired {
		p.fired = true
		close(p.reached)
	}
	return true
}

func (s *Set) sleep(ctx context.Context, name Name, p *point) error {
	timer := s.clock.NewTimer(p.action.pause)
	defer timer.Stop()
	select {
	case <-timer.Chan():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("asleep at %s: %w", name, context.Cause(ctx))
	}
}

// killSelf ends the process as kill -9 would: no deferred call, no flush, no goodbye.
func killSelf() {
	// The error is of no use: when the signal could not be sent, the select below hangs and the test's deadline tells.
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal may be delivered a moment later; nothing after the failpoint may run
}
