package e2e

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// full says whether the proofs run with their full counts.
var full = os.Getenv("VIRIDIAN_PROVE") == "full"

// count is how often a proof does something: all times in full, few otherwise.
func count(few, all int) int {
	if full {
		return all
	}
	return few
}

// report prints the one line that a proof ends with.
func report(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	if t.Failed() {
		line = "FAILED, see above; counted: " + line
	}
	t.Log(line)
	fmt.Printf("%s: %s\n", t.Name(), line)
}

// since is the time that a proof took, for its report.
func since(start time.Time) time.Duration { return time.Since(start).Round(100 * time.Millisecond) }

// buildDir is where the program under test lies; made by the first test that wants it.
var buildDir string

// program is the path of the program under test, built once in each test process, without the race detector: the
// proofs are about what runs in production.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "viridian-e2e-")
	if err != nil {
		return "", err
	}
	buildDir = dir
	path := filepath.Join(dir, "viridian")
	out, err := exec.Command("go", "build", "-o", path, "viridian").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	// Proofs mostly wait, for processes to start and for times to pass; some more side by side than there are
	// cores save time.
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set("3")
	}
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}
