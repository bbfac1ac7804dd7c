package pglocal

import (
	"errors"
	"os"
	"strings"
	"syscall"
)

const (
	tailLines = 20
	tailBytes = 8 << 10
)

// rotateLog keeps the output of the last start and begins a new file.
func (f folder) rotateLog() error {
	err := os.Rename(f.log(), f.log()+".1")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// openLog opens the log for a child to append to.
func (f folder) openLog() (*os.File, error) {
	return os.OpenFile(f.log(), os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
}

// logTail returns the last lines of the log, or why they cannot be read.
func (f folder) logTail() string {
	file, err := os.Open(f.log())
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err.Error()
	}
	text := make([]byte, min(info.Size(), tailBytes))
	if _, err := file.ReadAt(text, info.Size()-int64(len(text))); err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
