package pglocal

import (
	"errors"
	"fmt"
)

// ErrNotInstalled says that no usable Postgres was found. Errors that wrap it
// name what to install.
var ErrNotInstalled = errors.New("PostgreSQL is not installed")

// InUseError says that another server already runs on the data folder.
// Nothing was started or changed.
type InUseError struct {
	Folder     string
	Holder     int // process that holds the folder's lock; 0 when none does
	Postmaster int // running Postgres; 0 when unknown
}

func (e *InUseError) Error() string {
	switch {
	case e.Holder != 0 && e.Postmaster != 0:
		return fmt.Sprintf("data folder %s is in use by process %d (its Postgres is process %d): stop process %d, or choose another data folder",
			e.Folder, e.Holder, e.Postmaster, e.Holder)
	case e.Postmaster != 0:
		return fmt.Sprintf("data folder %s is in use by a Postgres with process id %d, which nobody here looks after: stop it with `kill -INT %d`, or choose another data folder",
			e.Folder, e.Postmaster, e.Postmaster)
	default:
		return fmt.Sprintf("data folder %s is in use by process %d: stop it, or choose another data folder", e.Folder, e.Holder)
	}
}

// VersionError says that the data folder was made by another major version of
// Postgres than the one found on this machine. Nothing was started or changed.
type VersionError struct {
	Folder    string
	Data      string // major version that made the folder
	Installed string // major version of the binaries
	Dir       string // folder of the binaries
	Matching  string // folder of installed binaries of version Data; empty when there are none
}

func (e *VersionError) Error() string {
	fix := fmt.Sprintf("install it (apt-get install postgresql-%s) and set %s to its bin folder", e.Data, binEnv)
	if e.Matching != "" {
		fix = fmt.Sprintf("set %s=%s", binEnv, e.Matching)
	}
	return fmt.Sprintf("data folder %s was made by PostgreSQL %s, but the one in %s is PostgreSQL %s: to keep the data, %s; to start empty, move the folder away",
		e.Folder, e.Data, e.Dir, e.Installed, fix)
}
