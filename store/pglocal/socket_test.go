package pglocal

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testFolder(t *testing.T) folder {
	t.Helper()
	return folder{path: t.TempDir(), account: account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}}
}

func TestOpenSocketDir(t *testing.T) {
	t.Parallel()
	f := testFolder(t)
	first, err := f.openSocketDir("")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("socket folder: %v, %v, want mode 0700", info, err)
	}
	if err := os.WriteFile(socketPath(first)+".lock", []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := f.openSocketDir("")
	if err != nil || again != first || exists(socketPath(first)+".lock") {
		t.Fatalf("second time %s, %v, want %s without what a crash left", again, err, first)
	}

	// Something else has come to lie there: it is left alone.
	foreign := filepath.Join(first, "foreign")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	third, err := f.openSocketDir("")
	if err != nil || third == first || !exists(foreign) {
		t.Fatalf("third time %s, %v, want another folder than %s", third, err, first)
	}
	for _, dir := range []string{first, third} {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenSocketDir_TooLong(t *testing.T) {
	t.Parallel()
	f := testFolder(t)
	long := filepath.Join(f.path, strings.Repeat("x", 100))
	if _, err := f.openSocketDir(long); err == nil || exists(long) {
		t.Fatalf("long path: %v", err)
	}
}
