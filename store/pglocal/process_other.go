//go:build unix && !linux

package pglocal

import (
	"errors"
	"syscall"
)

// childAttributes puts a child into its own process group and runs it as the
// account. Without Linux there is no death signal: after a kill -9 of the
// parent Postgres stays, and the next Start names its process id.
func childAttributes(a account, _ syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.switched {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// worksIn tells whether process pid is alive; its working folder is not known here.
func worksIn(pid int, _ string) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
