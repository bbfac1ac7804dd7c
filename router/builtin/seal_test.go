package builtin

import (
	"context"
	"testing"

	"viridian/rollout"
	"viridian/router"
)

// onDisk is the route that a process which starts now would serve.
func (n *node) onDisk() rollout.Route {
	n.Helper()
	l := stateFiles{dir: n.dir}.load("shop")
	if l.err != nil {
		n.Fatal(l.err)
	}
	return l.state.route()
}

func TestSeal_BringsTheFileUpToDate(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), func(n *node) { n.failpoints = armed(t, "statefile.temp=error@4") })
	n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	if err := n.Apply(t.Context(), router.Fence{Revision: 2}, route(2, all(2))); err == nil || n.onDisk().Revision != 1 {
		t.Fatalf("the file is at revision %d: %v", n.onDisk().Revision, err)
	}
	if err := n.Seal(t.Context()); err != nil || n.onDisk().Revision != 2 {
		t.Errorf("sealed with the file at revision %d, want what is served, 2: %v", n.onDisk().Revision, err)
	}
}

func TestSeal_LeavesTheFilesAlone(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	if err := n.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.apply(2, all(2))
	if n.known("shop").route.Revision != 2 || n.onDisk().Revision != 1 {
		t.Errorf("sealed: serves revision %d, the file says %d; want 2 and 1", n.known("shop").route.Revision, n.onDisk().Revision)
	}
	n.apply(3, rollout.Weights{})
	for number := range 3 {
		if err := n.Remove(t.Context(), router.Fence{Revision: 3}, "shop", number); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Forget(t.Context(), router.Fence{Revision: 3}, "shop"); err != nil {
		t.Fatal(err)
	}
	if n.onDisk().Revision != 1 {
		t.Error("a sealed router changed the file of an environment that it forgot")
	}
}

func TestSeal_NotWhenAFileCannotBeWritten(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), func(n *node) { n.failpoints = armed(t, "statefile.temp=error") })
	if err := n.Stage(t.Context(), router.Fence{}, route(0, nil), rollout.Generation{Number: 1, Groups: group(rollout.Instance{ID: "a", Address: "127.0.0.1", Port: 1})}); err == nil {
		t.Fatal("the file could be written")
	}
	if err := n.Seal(t.Context()); err == nil || n.sealed.Load() {
		t.Errorf("sealed although the file cannot be written: %v", err)
	}
	held := startNode(t, t.TempDir())
	held.stage(1)
	if err := held.known("shop").takeFile(t.Context()); err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := held.Seal(over); err == nil || held.sealed.Load() {
		t.Errorf("sealed while a file is being written: %v", err)
	}
	held.known("shop").releaseFile()
}

func TestUnseal_WritesTheFilesAnew(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	if err := n.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.files.remove("shop"); err != nil { // as a process would that finds it damaged
		t.Fatal(err)
	}
	if err := n.Unseal(t.Context()); err != nil || n.onDisk().Revision != 1 {
		t.Errorf("unsealed with the file at revision %d, want 1: %v", n.onDisk().Revision, err)
	}
	n.apply(2, all(2))
	if n.onDisk().Revision != 2 {
		t.Errorf("after Unseal the file is at revision %d, want 2", n.onDisk().Revision)
	}
}
