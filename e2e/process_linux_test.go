package e2e

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the process when this test process ends, however that happens.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
