package cli_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is for things that take a second on a quiet machine.
const patience = 60 * time.Second

// binary builds the program once for all tests of this process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "viridian-cli-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "viridian")
	out, err := exec.Command("go", "build", "-o", path, "viridian").CombinedOutput()
	if err != nil {
		err = errors.Join(err, errors.New(string(out)))
	}
	return path, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// process is a viridian of the test's own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *output
	done chan struct{}
}

// output collects what a process says, and wakes who waits for it.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(b), nil
}

func (o *output) now() (string, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String(), o.changed
}

// start runs viridian with args and the variables env besides a clean environment. It is killed when the test ends.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := prepare(t, path, env, args...)
	p.launch()
	return p
}

// startProgram is start of the program at that path, which may leave processes behind that write to the same output:
// they are killed when the test ends, too.
func startProgram(t *testing.T, path string, env []string, args ...string) *process {
	t.Helper()
	p := prepare(t, path, env, args...)
	p.launchWithHeirs()
	return p
}

func (p *process) launchWithHeirs() {
	p.t.Helper()
	from, to, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Stdout, p.cmd.Stderr = to, to
	p.launch()
	_ = to.Close()
	var copied sync.WaitGroup
	copied.Go(func() { _, _ = io.Copy(p.out, from) })
	p.t.Cleanup(func() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		copied.Wait()
		_ = from.Close()
	})
}

func prepare(t *testing.T, path string, env []string, args ...string) *process {
	p := &process{t: t, cmd: exec.Command(path, args...), out: &output{changed: make(chan struct{})}, done: make(chan struct{})}
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p
}

// launch starts the process, which is killed when the test ends.
func (p *process) launch() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.done
		if p.t.Failed() {
			text, _ := p.out.now()
			p.t.Logf("%s:\n%s", strings.Join(p.cmd.Args[1:], " "), text)
		}
	})
}

func cleanEnv() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "VIRIDIAN_") || strings.HasPrefix(pair, "VIRIDIAN_PG_BIN=") {
			env = append(env, pair)
		}
	}
	return env
}

// await waits for something to be said and returns the submatches.
func (p *process) await(pattern string) []string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(patience)
	for {
		text, changed := p.out.now()
		if match := re.FindStringSubmatch(text); match != nil {
			return match
		}
		select {
		case <-changed:
		case <-p.done:
			if text, _ := p.out.now(); re.MatchString(text) {
				continue
			}
			p.t.Fatalf("ended without saying %q", pattern)
		case <-deadline:
			p.t.Fatalf("did not say %q", pattern)
		}
	}
}

// interrupt does what Ctrl-C does: the signal goes to the whole group.
func (p *process) interrupt() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT) }

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// exit waits for the end and returns the exit code, -1 after a signal.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("did not end")
		return 0
	}
}

// run runs a command to its end and returns its standard output.
func run(t *testing.T, env []string, args ...string) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(cleanEnv(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("viridian %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// users lists the processes that have the folder in their command line or work in it, as "pid command line".
func users(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("there is no /proc to look for processes in")
	}
	var found []string
	for _, e := range entries {
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		cwd, _ := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if err == nil && (bytes.Contains(line, []byte(folder)) || strings.HasPrefix(cwd, folder)) {
			found = append(found, e.Name()+" "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		<-ticker.C
	}
}

func drain(r io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(r, 1<<20))
	return string(text)
}
