package pglocal

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// A pid file outlives kill -9 and power cuts; meanwhile its number may have
// gone to another program of the same user, and Postgres alone then refuses
// to start.
func TestStart_StalePidFile(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	s := start(t, Options{DataDir: dataDir(t)})
	other := exec.Command("sleep", "600")
	other.SysProcAttr = childAttributes(s.folder.account, syscall.SIGKILL)
	process, err := startChild(other)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.signal(syscall.SIGKILL)
		<-process.done
	})
	for name, text := range map[string]string{
		"a number that nobody has": "4194304\n",
		"another program's number": fmt.Sprintf("%d\n%s\n0\n5432\n/tmp\n\n", process.pid(), s.folder.cluster()),
		"empty":                    "",
		"garbage":                  "x\n",
	} {
		t.Run(name, func(t *testing.T) {
			s.Kill()
			if err := os.WriteFile(s.folder.pidFile(), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.folder.give(s.folder.pidFile()); err != nil {
				t.Fatal(err)
			}
			if err := s.Restart(within(t, time.Minute)); err != nil {
				t.Fatal(err)
			}
		})
	}
	if !process.running() {
		t.Fatal("the other program was ended")
	}
}
