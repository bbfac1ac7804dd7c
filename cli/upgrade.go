package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// watch goes on until ctx ends, a part fails, or another process has taken over, which it then returns. SIGUSR2 starts
// such a process; while it gets ready, and should it fail, this one does its duties.
func (r *replica) watch(ctx context.Context, parts *crew, d *duties) (*successor, error) {
	var u upgrade
	defer func() { u.cancel() }()
	for {
		select {
		case <-ctx.Done():
			r.log.Info("ending in order; a second signal ends at once", "shutdown_delay", r.config.ShutdownDelay, "drain_timeout", r.config.DrainTimeout)
			return nil, nil
		case failure := <-parts.failed:
			r.log.Error("ending, since a part has failed", "error", failure)
			return nil, failure
		case <-r.upgrades:
			r.begin(&u)
		case <-u.after:
			u.after = nil
			r.begin(&u)
		case q := <-u.asks():
			if q.step == stepLeave && u.sealed {
				next, err := u.leave(r.clock.Now())
				q.answer <- err
				if err == nil {
					return next, nil
				}
				continue
			}
			u.sealed = true
			err := r.layDown(d)
			u.until = r.clock.Now().Add(r.openWithin())
			u.late.Reset(r.openWithin())
			q.answer <- err
		case <-u.failed():
			why := u.why()
			u.cancel()
			if u.sealed {
				*d = *r.resume(parts)
			}
			r.log.Error("the upgrade has failed, this process goes on", "successor", u.cmd.Process.Pid, "ended", why)
			u = upgrade{}
		}
	}
}

// upgrade is a hand-over under way; the zero one is none.
type upgrade struct {
	*successor
	sealed bool            // the duties were laid down
	until  time.Time       // when the successor must serve, once that was done
	after  <-chan struct{} // begin when this is closed
}

// begin starts a successor, unless there is one. While there is a predecessor, it waits for its end.
func (r *replica) begin(u *upgrade) {
	if u.successor != nil {
		r.log.Warn("an upgrade is under way already", "successor", u.cmd.Process.Pid)
		return
	}
	if os.Getpid() == 1 {
		r.log.Error("not upgrading: a container ends with its first process, which this is; start a new container beside it instead")
		return
	}
	if old := r.inherited.predecessor; !old.gone() {
		r.log.Info("upgrading when the process before this one has ended", "pid", old.pid)
		u.after = old.conn.ended
		return
	}
	next, err := r.startSuccessor()
	if err != nil {
		r.log.Error("the upgrade has failed, this process goes on", "error", err)
		return
	}
	u.successor = next
	r.log.Info("upgrading: a new process gets ready to take over", "successor", next.cmd.Process.Pid, "program", r.self.path)
}

// leave ends the upgrade with the successor, which serves. After its time it has failed, whatever it says: where this
// process was stopped, it hears only now what a successor said that has given up since, and nobody else would serve.
func (u *upgrade) leave(now time.Time) (*successor, error) {
	if now.After(u.until) || closed(u.ended) {
		u.fail()
		return nil, errors.New("it comes too late")
	}
	next := u.successor
	u.successor = nil
	return next, nil
}

func (u *upgrade) asks() <-chan question {
	if u.successor == nil {
		return nil
	}
	return u.successor.asks
}

// failed yields when the successor has ended or has taken too long.
func (u *upgrade) failed() <-chan struct{} {
	if u.successor == nil {
		return nil
	}
	return u.successor.failed
}

// cancel ends the successor, so that from its return on only this process serves.
func (u *upgrade) cancel() {
	if u.successor != nil {
		u.kill()
	}
}

// relieve has the predecessor, if there is one, lay down its duties, once this process could serve at once. Should it
// be gone by itself, this process is alone and goes on.
func (r *replica) relieve(ctx context.Context) error {
	old := r.inherited.predecessor
	if old == nil {
		return nil
	}
	if err := r.trySchema(ctx, takeOverPatience); err != nil {
		return &failure{what: "not taking over from process " + fmt.Sprint(old.pid), cause: errors.New(redactText(err.Error())),
			fix: "see to the database first; the process before this one goes on"}
	}
	close(r.migrated)
	if err := old.call("Seal", sealTime, false, new(bool)); err != nil && !errors.Is(err, errPredecessorGone) {
		return fmt.Errorf("not taking over from process %d: %w", old.pid, err)
	}
	return nil
}

// takeOverPatience is how long a successor tries to reach the database before it gives up.
const takeOverPatience = 10 * time.Second

// takeOver tells the predecessor that this process serves, which ends the hand-over.
func (r *replica) takeOver() error {
	old := r.inherited.predecessor
	if old == nil {
		return nil
	}
	if err := old.leave(r.log); err != nil {
		return err
	}
	r.api.share(r.inherited.systemd)
	r.proxy.share(r.inherited.systemd)
	r.log.Info("taken over: this process serves", "from", old.pid)
	return nil
}

// tellSystemd tells a service manager that asked for it (Type=notify) how this process is.
func (r *replica) tellSystemd(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		r.log.Warn("systemd cannot be told", "state", state, "error", err)
	}
}
