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

// pidFile is the file in the state folder with the id of the process that the folder belongs to, which holds a lock on
// it. The kernel gives the lock back however that process ends.
const pidFile = "serve.pid"

// stateLock keeps a state folder to one process.
type stateLock struct{ file *os.File }

// lockState takes the folder, or says who has it. Where the file system knows no locks, the name of the node is the
// only guard.
func lockState(dir string, log *slog.Logger) (*stateLock, error) {
	file, err := os.OpenFile(filepath.Join(dir, pidFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		holder, _ := os.ReadFile(file.Name()) // for people; it is there, since it is locked
		_ = file.Close()
		return nil, &failure{what: fmt.Sprintf("the state folder %s belongs to process %s", dir, strings.TrimSpace(string(holder))),
			fix: "stop that one, or choose another folder with state_dir (--state-dir); to replace it by a new version, send it SIGUSR2"}
	case err != nil:
		log.Warn("the state folder cannot be locked: take care that no other process uses it", "error", err)
	}
	id := strconv.Itoa(os.Getpid()) + "\n"
	_, err = file.WriteAt([]byte(id), 0)
	if err == nil {
		err = file.Truncate(int64(len(id))) // at no time is the first line not an id
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &stateLock{file}, nil
}

// release gives the folder up. It may be called twice, and on nil.
func (l *stateLock) release() {
	if l != nil {
		_ = l.file.Close() // a second time it is closed already
	}
}
