package browser

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"viridian/store/storetest"
)

// patience is how long dev may take to start, and the browser for all of its tests.
const (
	patience = 2 * time.Minute
	limit    = 20 * time.Minute
)

// TestBrowser runs every *.spec.js against one installation with its demo.
func TestBrowser(t *testing.T) {
	node := filepath.Join("node_modules", ".bin", "node")
	needs(t, node, "make test installs it: scripts/install test")
	chromium := findChromium(t)
	dev := startDev(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	args := []string{filepath.Join("node_modules", "@playwright", "test", "cli.js"), "test"}
	cmd := exec.CommandContext(ctx, node, append(args, strings.Fields(os.Getenv("VIRIDIAN_SPECS"))...)...)
	cmd.Env = append(os.Environ(), "VIRIDIAN_URL="+dev.api, "VIRIDIAN_TRAFFIC="+dev.traffic, "VIRIDIAN_TOKEN="+dev.token,
		"VIRIDIAN_CHROMIUM="+chromium, "PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the browser's tests: %v\n%s", err, out)
	}
	t.Logf("%s", out)
}

// needs ends the test when the file is not there: as a failure in CI, as a skip elsewhere.
func needs(t *testing.T, path, fix string) {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return
	}
	missing(t, path+" is missing: "+fix)
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "there is no Chromium: apt-get install chromium")
	return ""
}

// dev is one "viridian dev".
type dev struct{ api, traffic, token string }

var (
	apiLine     = regexp.MustCompile(`API +(http://\S+)`)
	trafficLine = regexp.MustCompile(`traffic +(http://\S+)`)
	tokenLine   = regexp.MustCompile(`export TOKEN=(\S+)`)
)

// startDev runs the program at free ports until the end of the test.
func startDev(t *testing.T) dev {
	t.Helper()
	path := filepath.Join(t.TempDir(), "viridian")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "viridian").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(path, "dev", "--data", storetest.Folder(t), "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			select {
			case lines <- s.Text():
			default: // nobody reads any more
			}
		}
	}()
	t.Cleanup(func() { end(t, cmd, out) })
	return await(t, lines)
}

// end stops the program as Ctrl-C does, and by force when that takes too long.
func end(t *testing.T, cmd *exec.Cmd, out io.Closer) {
	t.Helper()
	force := time.AfterFunc(30*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer force.Stop()
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("viridian dev: %v", err)
	}
	_ = out.Close() // closed already when the program has ended
}

func await(t *testing.T, lines <-chan string) dev {
	t.Helper()
	deadline := time.After(patience)
	var d dev
	var all []string
	for d.api == "" || d.traffic == "" || d.token == "" {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("viridian dev ended:\n%s", strings.Join(all, "\n"))
			}
			all = append(all, line)
			for form, field := range map[*regexp.Regexp]*string{apiLine: &d.api, trafficLine: &d.traffic, tokenLine: &d.token} {
				if match := form.FindStringSubmatch(line); match != nil {
					*field = match[1]
				}
			}
		case <-deadline:
			t.Fatalf("viridian dev is not ready after %v:\n%s", patience, strings.Join(all, "\n"))
		}
	}
	return d
}
