package pglocal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// port is only part of the socket's file name: every server has a socket
	// folder of its own, so that `psql -h FOLDER -U postgres` needs no port.
	port = 5432
	// maxSocketPath is what a unix socket address can hold on Linux, without
	// the closing zero; other systems take a few bytes less.
	maxSocketPath = 103
)

// openSocketDir returns an empty folder for the socket that only the account
// (and root) can enter. The path is remembered in the data folder and used
// again, so that clients survive a restart. wanted is the caller's choice,
// empty for a short temporary path. The caller holds the folder's lock.
func (f folder) openSocketDir(wanted string) (string, error) {
	if wanted != "" {
		return wanted, f.makeSocketDir(wanted)
	}
	if last, err := os.ReadFile(f.socket()); err == nil {
		dir := strings.TrimSpace(string(last))
		if f.makeSocketDir(dir) == nil {
			return dir, nil
		}
	}
	base := os.TempDir()
	if len(socketPath(base))+len("/viridian-pg-0123456789") > maxSocketPath {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, "viridian-pg-")
	if err != nil {
		return "", err
	}
	if err := f.makeSocketDir(dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(f.socket(), []byte(dir+"\n"), 0o600)
}

// makeSocketDir empties an earlier folder of ours and makes it anew. It leaves
// alone what belongs to somebody else.
func (f folder) makeSocketDir(dir string) error {
	if len(socketPath(dir)) > maxSocketPath {
		return fmt.Errorf("socket folder %s is too long: a socket's path has at most %d bytes", dir, maxSocketPath)
	}
	owner, found, err := ownerOf(dir)
	if err != nil {
		return err
	}
	if found {
		if owner.uid != f.uid && owner.uid != uint32(os.Geteuid()) {
			return fmt.Errorf("socket folder %s belongs to user %d", dir, owner.uid)
		}
		if err := removeSocketDir(dir); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return f.give(dir)
}

// removeSocketDir removes the folder and the two files that Postgres makes in
// it; with anything else in it, it is not ours to remove.
func removeSocketDir(dir string) error {
	for _, path := range []string{socketPath(dir), socketPath(dir) + ".lock", dir} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func socketPath(dir string) string { return filepath.Join(dir, fmt.Sprintf(".s.PGSQL.%d", port)) }
