package cli

import "syscall"

// childAttributes puts a child into its own process group, so that Ctrl-C reaches us alone, and has it die with us.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
