package pglocal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeInstall makes a folder with an initdb and a postgres that knows its version.
func fakeInstall(t *testing.T, root, name, version string) string {
	t.Helper()
	dir := filepath.Join(root, name, "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version)
	for _, file := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestNewest(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	pattern := filepath.Join(root, "*", "bin")
	fakeInstall(t, root, "9", "9.6.24")
	if _, err := newest([]string{pattern}); err == nil || !strings.Contains(err.Error(), "older than 15") {
		t.Errorf("only an old one: %v", err)
	}
	fakeInstall(t, root, "15", "15.14 (Debian 15.14-0+deb12u1)")
	want := fakeInstall(t, root, "17", "17beta1")
	fakeInstall(t, root, "16", "16.2")
	got, err := newest([]string{pattern})
	if err != nil || got.Dir != want || got.Major != 17 {
		t.Errorf("newest: %+v, %v, want %s", got, err, want)
	}
}

func TestFind_Environment(t *testing.T) {
	root := t.TempDir()
	t.Setenv(binEnv, fakeInstall(t, root, "x", "16.1"))
	if got, err := Find(); err != nil || got.Major != 16 {
		t.Errorf("Find: %+v, %v, want version 16", got, err)
	}
	t.Setenv(binEnv, root)
	if _, err := Find(); !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), binEnv) {
		t.Errorf("empty folder: %v, want ErrNotInstalled naming %s", err, binEnv)
	}
}

func TestFind_Nothing(t *testing.T) {
	t.Parallel()
	if _, err := newest([]string{filepath.Join(t.TempDir(), "*")}); err == nil {
		t.Error("found something in an empty folder")
	}
}
