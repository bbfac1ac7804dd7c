package browser

import (
	"bufio"
	"context"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/store"
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
	leaveNode(t, dev.data)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	args := []string{filepath.Join("node_modules", "@playwright", "test", "cli.js"), "test"}
	cmd := exec.CommandContext(ctx, node, append(args, strings.Fields(os.Getenv("VIRIDIAN_SPECS"))...)...)
	cmd.Env = append(os.Environ(), "VIRIDIAN_URL="+dev.api, "VIRIDIAN_TRAFFIC="+dev.traffic, "VIRIDIAN_TOKEN="+dev.token, "VIRIDIAN_LINK="+dev.link,
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
type dev struct{ api, traffic, token, link, data string }

var (
	apiLine     = regexp.MustCompile(`API +(http://\S+)`)
	trafficLine = regexp.MustCompile(`traffic +(http://\S+)`)
	tokenLine   = regexp.MustCompile(`export TOKEN=(\S+)`)
	linkLine    = regexp.MustCompile(`(http://\S+/login\?once=\S+)`)
)

// startDev runs the program at free ports until the end of the test.
func startDev(t *testing.T) dev {
	t.Helper()
	path := filepath.Join(t.TempDir(), "viridian")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "viridian").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	data := storetest.Folder(t)
	cmd := exec.Command(path, "dev", "--data", data, "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0")
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
	d := await(t, lines)
	d.data = data
	return d
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
	for d.api == "" || d.traffic == "" || d.token == "" || d.link == "" {
		select {
		case line, ok := <-lines:
			if !ok {
				t.Fatalf("viridian dev ended:\n%s", strings.Join(all, "\n"))
			}
			all = append(all, line)
			for form, field := range map[*regexp.Regexp]*string{apiLine: &d.api, trafficLine: &d.traffic, tokenLine: &d.token, linkLine: &d.link} {
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

// leaveNode lets the installation have heard once of a node of a router that nobody drives any more: one to be taken
// out.
func leaveNode(t *testing.T, data string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: databaseOf(t, data)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Heartbeat(t.Context(), rollout.Node{Router: "former", Name: "gone-1", Incarnation: "17-1795400000", Version: "2.6"}, 0); err != nil {
		t.Fatal(err)
	}
}

// databaseOf finds the private Postgres of a running dev by the file that Postgres writes for that.
func databaseOf(t *testing.T, data string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(filepath.Join(data, "postgres"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "postmaster.pid" {
			return err
		}
		text, err := os.ReadFile(path)
		lines = strings.Split(string(text), "\n")
		return err
	})
	if err != nil || len(lines) < 5 {
		t.Fatalf("the Postgres of dev is not found: %v, %d lines", err, len(lines))
	}
	query := url.Values{"host": {lines[4]}, "port": {lines[3]}, "sslmode": {"disable"}}
	return "postgres://postgres@/viridian?" + strings.ReplaceAll(query.Encode(), "+", "%20")
}
