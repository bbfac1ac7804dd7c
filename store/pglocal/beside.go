package pglocal

import (
	"os/exec"
	"syscall"
)

// StartBeside starts another program as the user that Postgres runs as, in a
// process group of its own. It ends with this process, however that ends; ended
// is closed when it has ended.
func (s *Server) StartBeside(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	cmd.SysProcAttr = childAttributes(s.folder.account, syscall.SIGKILL)
	p, err := startChild(cmd)
	if err != nil {
		return nil, err
	}
	return p.done, nil
}
