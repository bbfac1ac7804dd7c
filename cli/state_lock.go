package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// pidFile is the file in the state folder with the id of the process that the folder belongs to.
const pidFile = "serve.pid"

// stateLock keeps a state folder to one process. The kernel gives the lock back however that process ends.
type stateLock struct{ folder *os.File }

// lockState takes the folder, or says who has it. Where the file system knows no locks, the name of the node is the
// only guard. A full disk keeps nobody from it: the lock is on the folder itself, and the id is for people.
func lockState(dir string, log *slog.Logger) (*stateLock, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, pidFile)
	switch err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		_ = folder.Close()
		holder, _ := os.ReadFile(path) // a moment after it was locked it may not be there
		return nil, &failure{what: fmt.Sprintf("the state folder %s belongs to process %s", dir, strings.TrimSpace(string(holder))),
			fix: "stop that one, or choose another folder with state_dir (--state-dir); to replace it by a new version, send it SIGUSR2"}
	case err != nil:
		log.Warn("the state folder cannot be locked: take care that no other process uses it", "error", err)
	}
	if err := writeID(path); err != nil {
		log.Warn("the file with the id of this process cannot be written", "file", path, "error", err)
	}
	return &stateLock{folder}, nil
}

// writeID leaves a file at no time without an id in its first line, once it has one.
func writeID(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644) //nolint:gosec // an id is no secret
	if err != nil {
		return err
	}
	id := strconv.Itoa(os.Getpid()) + "\n"
	if _, err = file.WriteAt([]byte(id), 0); err == nil {
		err = file.Truncate(int64(len(id)))
	}
	return errors.Join(err, file.Close())
}

// release gives the folder up. It may be called twice, and on nil.
func (l *stateLock) release() {
	if l != nil {
		_ = l.folder.Close() // a second time it is closed already
	}
}
