package bench

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	startPatience = 30 * time.Second
	endPatience   = 15 * time.Second
	tick          = time.Second / 100 // of the times in /proc, on every Linux that Go runs on
)

// child is a part that plays in a process of its own.
type child struct {
	hello
	role  string
	stdin io.WriteCloser
	tell  *json.Encoder
	hear  *json.Decoder
}

// start plays a role, on one core from the beginning unless core is empty: a Go process takes GOMAXPROCS from there.
// The process ends with the test, and also when this process is killed, because its standard input ends.
func start(t *testing.T, role, core string, what task) *child {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := []string{self}
	if core != "" {
		command = []string{"taskset", "--cpu-list", core, self}
	}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Cancel = func() error { return nil } // the end of standard input is what ends it
	cmd.WaitDelay = endPatience
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	cmd.Stderr = t.Output()
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
		_ = stdin.Close()
		_ = cmd.Wait() // what it did wrong stands in the output
	})
	c := &child{role: role, stdin: stdin, tell: json.NewEncoder(stdin), hear: json.NewDecoder(stdout)}
	late := time.AfterFunc(startPatience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	if err := c.tell.Encode(what); err != nil {
		t.Fatalf("%s: %v", role, err)
	}
	if err := c.hear.Decode(&c.hello); err != nil {
		t.Fatalf("%s did not start: %v", role, err)
	}
	if core != "" && c.Cores > 1 {
		t.Fatalf("%s uses %d cores, not the one that it was given", role, c.Cores)
	}
	return c
}

// cores lists the processors that this process may use; nil where there is no way to find out or to choose.
func cores() []string {
	if _, err := exec.LookPath("taskset"); err != nil {
		return nil
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	var out []string
	for line := range strings.Lines(string(status)) {
		list, ok := strings.CutPrefix(line, "Cpus_allowed_list:")
		if !ok {
			continue
		}
		for _, part := range strings.Split(strings.TrimSpace(list), ",") {
			low, high, isRange := strings.Cut(part, "-")
			from, err := strconv.Atoi(low)
			to := from
			if isRange && err == nil {
				to, err = strconv.Atoi(high)
			}
			for n := from; n <= to && err == nil; n++ {
				out = append(out, strconv.Itoa(n))
			}
		}
	}
	return out
}

// processorTime is what the process has used so far; 0 when that cannot be read.
func (c *child) processorTime() time.Duration {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(c.PID) + "/stat")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name before may hold anything
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick
}
