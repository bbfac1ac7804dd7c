//go:build unix && !linux

package cli

import "syscall"

// childAttributes puts a child into its own process group, so that Ctrl-C reaches us alone.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
