package builtin

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

// On a full disk traffic moves all the same; the node says that this is not durable, comes up with what is, and is in
// order again when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	n := startNode(t, filepath.Join(routertest.SmallDisk(t), "state"))
	n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	free := routertest.FillDisk(t, filepath.Dir(n.dir))
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
	// A refused route makes durable what serves, so that the database hears of it: it may have been restored since.
	if err := n.Apply(t.Context(), router.Fence{Revision: 4}, route(4, all(1))); !errors.Is(err, router.ErrDiverged) {
		t.Errorf("other weights are answered with %v", err)
	}
	if o := n.observe(); o.Revision != 4 || o.Error != "" || o.Fence != 0 || o.Hash != route(4, all(2)).Hash() {
		t.Errorf("after a refusal: %+v", o)
	}
	n.apply(4, all(2))
	if o := n.observe(); o.Revision != 4 || o.Error != "" || o.Fence != 0 {
		t.Errorf("with room again: %+v", o)
	}
	n.stop()
	n.start()
	n.serves(2)
}
