package routertest

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

// haproxyNames are where HAProxy is looked for: distributions put it where only root's path leads.
var haproxyNames = []string{"haproxy", "/usr/sbin/haproxy"}

// FindHAProxy is the path of HAProxy.
func FindHAProxy() (string, error) { return findBinary("HAProxy", haproxyNames) }

// HAProxy is the path of HAProxy. Without one the test is skipped, and fails where CI=true.
func HAProxy(t testing.TB) string {
	t.Helper()
	return needBinary(t, "HAProxy", haproxyNames)
}

func findBinary(title string, names []string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New(title + " is not installed: scripts/install test")
}

func needBinary(t testing.TB, title string, names []string) string {
	t.Helper()
	path, err := findBinary(title, names)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return path
}
