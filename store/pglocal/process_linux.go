package pglocal

import (
	"fmt"
	"os"
	"syscall"
)

// childAttributes puts a child into its own process group, so that a Ctrl-C
// in the terminal reaches us and not the child, runs it as the account, and
// has the kernel send it the death signal when its parent's thread ends.
//
// For Postgres the signal is SIGQUIT: the postmaster passes it on to its
// children and kills those that are still there five seconds later. SIGKILL
// would leave them behind, SIGTERM and SIGINT can wait for ever. What was
// committed is recovered from the log at the next start.
func childAttributes(a account, death syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death}
	if a.switched {
		attr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attr
}

// worksIn tells whether process pid is alive with dir as its working folder,
// as a postmaster has its cluster. A process id that now belongs to another
// program does not.
func worksIn(pid int, dir string) bool {
	cwd, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	want, err := os.Stat(dir)
	return err == nil && os.SameFile(cwd, want)
}
