package failpoint

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"
)

func newSet(t *testing.T, spec string) *Set {
	t.Helper()
	s, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHit_NothingArmed(t *testing.T) {
	for _, s := range []*Set{nil, newSet(t, ""), newSet(t, "stage.before=error")} {
		if err := s.Hit(t.Context(), PromoteDecided); err != nil {
			t.Errorf("Hit of an unarmed failpoint = %v", err)
		}
		if s.Reached(PromoteDecided) != nil {
			t.Error("Reached of an unarmed failpoint is not nil")
		}
	}
	if armed := (*Set)(nil).Armed(); len(armed) != 0 {
		t.Errorf("a nil Set has %v armed", armed)
	}
}

func TestHit_Error(t *testing.T) {
	s := newSet(t, "stage.acted=error;stage.recorded=error@2")
	for range 3 {
		if err := s.Hit(t.Context(), StageActed); !errors.Is(err, ErrInjected) {
			t.Errorf("Hit = %v, want ErrInjected at every hit", err)
		}
	}
	for hit := 1; hit <= 3; hit++ {
		err := s.Hit(t.Context(), StageRecorded)
		if fired := errors.Is(err, ErrInjected); fired != (hit == 2) {
			t.Errorf("hit %d of error@2 = %v", hit, err)
		}
	}
}

func TestHit_HangEndsWithContext(t *testing.T) {
	s := newSet(t, "apply.before=hang")
	cause := errors.New("the test is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Hit(ctx, ApplyBefore) }()

	<-s.Reached(ApplyBefore)
	select {
	case err := <-done:
		t.Fatalf("hang returned %v while its context lives", err)
	default:
	}
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Errorf("Hit = %v, want the context's cause", err)
	}
}

func TestHit_Sleep(t *testing.T) {
	s := newSet(t, "apply.swapped=sleep(200ms)")
	clock := clockwork.NewFakeClock()
	s.clock = clock
	done := make(chan error, 1)
	go func() { done <- s.Hit(t.Context(), ApplySwapped) }()

	if err := clock.BlockUntilContext(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clock.Advance(199 * time.Millisecond)
	select {
	case err := <-done:
		t.Fatalf("sleep(200ms) returned %v after 199ms", err)
	default:
	}
	clock.Advance(time.Millisecond)
	if err := <-done; err != nil {
		t.Errorf("Hit = %v, want nil after the sleep", err)
	}
}

func TestHit_SleepEndsWithContext(t *testing.T) {
	s := newSet(t, "apply.swapped=sleep(1h)")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Hit(ctx, ApplySwapped); !errors.Is(err, context.Canceled) {
		t.Errorf("Hit = %v, want context.Canceled", err)
	}
}

// killedChild is set in the copy of the test binary that TestHit_Kill starts.
const killedChild = "VIRIDIAN_TEST_KILLED_CHILD"

func TestHit_Kill(t *testing.T) {
	if os.Getenv(killedChild) != "" {
		s, err := FromEnv()
		if err != nil {
			t.Fatal(err)
		}
		_ = s.Hit(t.Context(), PromoteCommitted)
		fmt.Println("alive after hit 1")
		_ = s.Hit(t.Context(), PromoteCommitted)
		fmt.Println("alive after hit 2")
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHit_Kill$")
	cmd.Env = append(os.Environ(), killedChild+"=1", EnvVar+"=promote.committed=kill@2")
	out, err := cmd.Output()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("child ended with %v, want it killed by SIGKILL", err)
	}
	if string(out) != "alive after hit 1\n" {
		t.Errorf("child printed %q, want only the line before the second hit", out)
	}
}
