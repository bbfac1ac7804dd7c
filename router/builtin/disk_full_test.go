package builtin

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"viridian/rollout"
	"viridian/router"
)

// smallDisk is a file system of its own of 64 KiB. Making one needs root on Linux; elsewhere the test is skipped, but in
// CI it must run.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "viridian-test", dir).CombinedOutput()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("mount a tmpfs: %v\n%s", err, out)
		}
		t.Skipf("a tmpfs cannot be mounted here (%s): %v %s", runtime.GOOS, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("unmount: %v\n%s", err, out)
		}
	})
	return dir
}

// fill takes every byte that is free on the disk, and returns what gives them back.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full but: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// On a full disk traffic moves all the same; the node says that this is not durable, comes up with what is, and is in
// order again when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	n := startNode(t, filepath.Join(smallDisk(t), "state"))
	n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	free := fill(t, filepath.Dir(n.dir))
	err := n.Apply(t.Context(), router.Fence{Revision: 2}, route(2, all(2)))
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	n.serves(2)
	notDurable := func(served int64) {
		t.Helper()
		if o := n.observe(); o.Revision != 1 || o.Fence != served || o.Error == "" || o.Hash != route(1, all(1)).Hash() {
			t.Errorf("observed %+v while revision %d is served from memory", o, served)
		}
	}
	notDurable(2)
	err = n.Apply(t.Context(), router.Fence{Revision: 3}, route(3, all(1))) // a rollback waits for no disk
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	n.serves(1)
	notDurable(3)
	if err := n.Apply(t.Context(), router.Fence{Revision: 2}, route(2, all(2))); !errors.Is(err, router.ErrStale) {
		t.Errorf("a lower revision is answered with %v", err)
	}
	third := rollout.Generation{Environment: "shop", Number: 3, Groups: group(rollout.Instance{ID: "c", Address: "127.0.0.1", Port: 1})}
	if err := n.Stage(t.Context(), router.Fence{Revision: 3}, route(3, all(1)), third); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("staging is answered with %v", err)
	}
	n.stop()
	n.start() // it comes up on the full disk, with the last that was durable
	if o := n.observe(); o.Revision != 1 || o.Error != "" || o.Fence != 0 {
		t.Errorf("after a restart: %+v", o)
	}
	n.serves(1)
	if err := n.Apply(t.Context(), router.Fence{Revision: 4}, route(4, all(2))); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	free()
	n.apply(4, all(2))
	if o := n.observe(); o.Revision != 4 || o.Error != "" || o.Fence != 0 {
		t.Errorf("with room again: %+v", o)
	}
	n.stop()
	n.start()
	n.serves(2)
}
