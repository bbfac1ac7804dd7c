package consultest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// binary is the path of Consul, or why there is none.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("VIRIDIAN_CONSUL"); path != "" {
		return path, nil
	}
	path, err := built()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("consul"); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("no Consul: scripts/consul builds one, or VIRIDIAN_CONSUL names one (looked for %s and on PATH)", path)
})

// built is where scripts/consul leaves the binary.
func built() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("the folder of the sources is not known")
	}
	folder := filepath.Join(filepath.Dir(file), "..", "..", "tools", "consul")
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return "", err
		}
		_, _ = sum.Write(text) // a hash never fails
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "viridian", "consul-"+hex.EncodeToString(sum.Sum(nil))[:16]), nil
}

// Path is the path of Consul. Without one the test is skipped, and fails where CI=true.
func Path(t testing.TB) string {
	t.Helper()
	return need(t)
}

// need is the path of Consul. Without one it skips, and fails where CI=true.
func need(t testing.TB) string {
	t.Helper()
	path, err := binary()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return path
}
