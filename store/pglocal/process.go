package pglocal

import (
	"os/exec"
	"runtime"
	"syscall"
)

// process is a running child. Its death signal is tied to the thread that
// started it, so that thread is kept for as long as the child lives.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the child was reaped
	err  error         // why it ended; valid once done is closed
}

// startChild starts cmd on a thread of its own. The child gets its death
// signal when our process ends in any way, kill -9 included.
func startChild(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// runChild runs cmd to its end.
func runChild(cmd *exec.Cmd) error {
	p, err := startChild(cmd)
	if err != nil {
		return err
	}
	<-p.done
	return p.err
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// signal is lost without an error when the child has ended.
func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// killGroup kills the child and what it started in its process group.
func (p *process) killGroup() { _ = syscall.Kill(-p.pid(), syscall.SIGKILL) }
