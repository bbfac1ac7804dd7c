package routertest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// ended takes down how a test would end.
type ended struct {
	testing.TB
	how string
}

func (e *ended) Helper()           {}
func (e *ended) Fatal(args ...any) { e.how = "failed: " + fmt.Sprint(args...) }
func (e *ended) Skip(args ...any)  { e.how = "skipped: " + fmt.Sprint(args...) }

// TestNeedBinary_SkipsOnALaptopAndFailsInCI: a suite that does not run must not look like one that passes.
func TestNeedBinary_SkipsOnALaptopAndFailsInCI(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "balancer")
	if err := os.WriteFile(there, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	nowhere := []string{"balancer-2", filepath.Join(dir, "nowhere")}
	for _, c := range []struct {
		ci    string
		names []string
		path  string
		how   string
	}{
		{"", []string{"balancer", "x"}, there, ""},
		{"true", append(nowhere, there), there, ""},
		{"", nowhere, "", "skipped: Balancer is not installed: scripts/install test"},
		{"false", nowhere, "", "skipped: Balancer is not installed: scripts/install test"},
		{"true", nowhere, "", "failed: Balancer is not installed: scripts/install test"},
	} {
		t.Setenv("CI", c.ci)
		e := &ended{}
		if path := needBinary(e, "Balancer", c.names); path != c.path || e.how != c.how {
			t.Errorf("CI=%q, %v: %q, %q", c.ci, c.names, path, e.how)
		}
	}
}
