package storetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Disk is a small file system that a test can fill.
type Disk struct {
	// Dir is where it is mounted; everybody can enter it.
	Dir string
}

// NewDisk mounts a file system of so many megabytes, which is gone when the
// test ends. That takes root: elsewhere the test is skipped, and fails where
// CI=true.
func NewDisk(t testing.TB, megabytes int) *Disk {
	t.Helper()
	dir := Folder(t)
	out, err := exec.Command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=0711", megabytes), "viridian-test", dir).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a file system: %v\n%s", err, out)
		}
		t.Skipf("no file system can be mounted here: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return &Disk{Dir: dir}
}

func (d *Disk) filler() string { return filepath.Join(d.Dir, "filler") }

// Fill takes all room but so many bytes.
func (d *Disk) Fill(but int64) (err error) {
	f, err := os.OpenFile(d.filler(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	block := make([]byte, 64<<10)
	var size int64
	for len(block) > 0 {
		n, err := f.Write(block)
		size += int64(n)
		switch {
		case errors.Is(err, syscall.ENOSPC):
			block = block[:len(block)/2]
		case err != nil:
			return err
		}
	}
	return f.Truncate(max(0, size-but))
}

// Free gives the room back.
func (d *Disk) Free() error { return os.Remove(d.filler()) }
