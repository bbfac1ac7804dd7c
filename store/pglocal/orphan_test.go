package pglocal

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parent is another process that runs a server.
type parent struct {
	cmd        *exec.Cmd
	url        string
	postmaster int
	goOn       func()
}

func startParent(t *testing.T, dir string) parent {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	read := func() string {
		if !lines.Scan() {
			t.Fatalf("the parent ended: %v", lines.Err())
		}
		return lines.Text()
	}
	url := read()
	pid, err := strconv.Atoi(read())
	if err != nil {
		t.Fatalf("the parent printed %s and then %v", url, err)
	}
	return parent{cmd: cmd, url: url, postmaster: pid, goOn: func() { _ = stdin.Close() }}
}

// family returns the process and its children.
func family(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := statFields(stat)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, child)
		}
	}
	return all
}

// statFields returns state, parent and so on: what follows the name, which may
// hold spaces and brackets.
func statFields(stat []byte) []string {
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
}

func processState(stat []byte) string {
	if fields := statFields(stat); len(fields) > 0 {
		return fields[0]
	}
	return ""
}

func TestParentKilled_NothingStays(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := dataDir(t)
	for round := range 3 {
		p := startParent(t, dir)
		if round == 0 {
			query(t, p.url, "CREATE TABLE kept ()")
		}
		for range 3 {
			busy(t, p.url)
		}
		eventually(t, "three sessions and the usual helpers run", func() bool { return len(family(t, p.postmaster)) >= 6 })
		all := family(t, p.postmaster)
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = p.cmd.Wait()
		if round != 1 { // once the next start comes while Postgres is still ending
			eventually(t, fmt.Sprintf("processes %v are gone", all), func() bool {
				for _, pid := range all {
					if alive(pid) {
						return false
					}
				}
				return true
			})
		}
		s := start(t, Options{DataDir: dir})
		query(t, s.URL("postgres"), "SELECT FROM kept")
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Ctrl-C goes to the whole foreground process group. Postgres must not be in
// it, or it would go away under a program that still needs it to stop in order.
func TestInterrupt_PostgresOutlivesItsParentsLastWork(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	dir := dataDir(t)
	p := startParent(t, dir)
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for _, pid := range family(t, p.postmaster) {
		group, err := syscall.Getpgid(pid)
		if err != nil || group == p.cmd.Process.Pid {
			t.Errorf("process %d of Postgres is in the parent's process group (%v)", pid, err)
		}
	}
	query(t, p.url, "SELECT pg_sleep(0.2)")
	p.goOn()
	if err := p.cmd.Wait(); err != nil {
		t.Fatalf("the parent did not stop in order: %v", err)
	}
	eventually(t, "Postgres is gone", func() bool { return !alive(p.postmaster) })
	log, err := os.ReadFile(filepath.Join(dir, "postgres.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte("database system is shut down")) {
		t.Fatalf("no orderly shutdown in the log:\n%s", log)
	}
}

// The kernel ties the death signal to a thread, so threads that come and go
// in our process must not end Postgres.
func TestServer_OutlivesThreads(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	s := start(t, Options{DataDir: dataDir(t)})
	for range 50 {
		endThread()
	}
	query(t, s.URL("postgres"), "SELECT 1")
	select {
	case <-s.Done():
		t.Fatal("Postgres ended with a thread")
	case <-time.After(100 * time.Millisecond):
	}
}

// endThread ends an operating system thread: a goroutine that is still locked
// to one takes it along.
func endThread() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
	}()
	<-ended
}
