package pglocal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	pollEvery = 20 * time.Millisecond
	// lockPatience covers a holder that was killed and is not quite gone.
	lockPatience = 300 * time.Millisecond
	// orphanPatience is longer than an orphaned postmaster needs to end: it
	// kills the children that have not stopped after five seconds.
	orphanPatience = 10 * time.Second
)

// claim takes the folder's lock, which the kernel gives back when we end in
// any way, and makes sure that no Postgres runs on the cluster. It returns
// *InUseError when somebody else has it.
func (f folder) claim(ctx context.Context) (*os.File, error) {
	file, err := os.OpenFile(f.lock(), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.lockFile(ctx, file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (f folder) lockFile(ctx context.Context, file *os.File) error {
	err := poll(ctx, lockPatience, func() bool {
		return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
	})
	if err != nil {
		return errors.Join(ctx.Err(), &InUseError{Folder: f.path, Holder: pidIn(f.lock()), Postmaster: f.postmaster()})
	}
	// Another user of the same folder must be able to take the lock later.
	if owner, found, err := ownerOf(f.path); err == nil && found && os.Geteuid() == 0 {
		if err := file.Chown(int(owner.uid), int(owner.gid)); err != nil {
			return err
		}
	}
	if err := file.Truncate(0); err != nil {
		return err
	}
	if _, err := file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return err
	}
	if err := poll(ctx, orphanPatience, func() bool { return f.postmaster() == 0 }); err != nil {
		return errors.Join(ctx.Err(), &InUseError{Folder: f.path, Postmaster: f.postmaster()})
	}
	return f.clearPidFile()
}

// postmaster returns the process id of the Postgres that runs on the cluster, else 0.
func (f folder) postmaster() int {
	pid := pidIn(f.pidFile())
	if pid == 0 || !worksIn(pid, f.cluster()) {
		return 0
	}
	return pid
}

// clearPidFile removes a pid file whose number now belongs to another program:
// Postgres would take that one for a running server. Other stale files it
// handles itself, and better. The caller holds the lock and knows that no
// server runs.
func (f folder) clearPidFile() error {
	pid := pidIn(f.pidFile())
	if exists(f.pidFile()) && (pid == 0 || syscall.Kill(pid, 0) == nil) {
		return os.Remove(f.pidFile())
	}
	return nil
}

func (f folder) pidFile() string { return filepath.Join(f.cluster(), "postmaster.pid") }

// pidIn returns the process id in the first line of a file, 0 when there is none.
func pidIn(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return 0
	}
	return pid
}

// poll asks until done says yes, and gives up after the patience or with ctx.
func poll(ctx context.Context, patience time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
