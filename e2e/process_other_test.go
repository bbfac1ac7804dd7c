//go:build !linux

package e2e

import (
	"os/exec"
	"syscall"
)

// dieWithParent keeps a Ctrl-C in the terminal from the process; nothing here ends it when this one is killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
