package builtin

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/routertest"
)

// Whatever became of one state file, the process starts, serves the other environments, and takes the damaged one up
// again when its route is applied.
func TestStateFile_EveryDamageIsStartedOver(t *testing.T) {
	t.Parallel()
	damages := map[string]func(t *testing.T, path string, content []byte){
		"empty":     func(t *testing.T, path string, _ []byte) { overwrite(t, path, nil) },
		"half":      func(t *testing.T, path string, content []byte) { overwrite(t, path, content[:len(content)/2]) },
		"one short": func(t *testing.T, path string, content []byte) { overwrite(t, path, content[:len(content)-1]) },
		"zeros":     func(t *testing.T, path string, content []byte) { overwrite(t, path, make([]byte, len(content))) },
		"one bit": func(t *testing.T, path string, content []byte) {
			content = bytes.Clone(content)
			content[len(content)/2] ^= 1
			overwrite(t, path, content)
		},
		"twice":    func(t *testing.T, path string, content []byte) { overwrite(t, path, append(content, content...)) },
		"a number": func(t *testing.T, path string, _ []byte) { overwrite(t, path, []byte("7")) },
		"null":     func(t *testing.T, path string, _ []byte) { overwrite(t, path, []byte("null")) },
		"a folder": func(t *testing.T, path string, _ []byte) {
			if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
				t.Fatal(err)
			}
		},
		"a dead link": func(t *testing.T, path string, _ []byte) {
			if err := errors.Join(os.Remove(path), os.Symlink("nowhere", path)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := startNode(t, t.TempDir())
			n.stage(1)
			n.apply(3, all(1))
			other := route(5, nil)
			other.Environment, other.Services[0].Hosts = "other", []string{"other.localhost"}
			if err := n.Apply(t.Context(), router.Fence{Revision: 5}, other); err != nil {
				t.Fatal(err)
			}
			n.stop()
			n.address = "127.0.0.1:0" // other tests take ports meanwhile
			path := filepath.Join(n.dir, "other.json")
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, path, content)
			for range 3 { // again and again
				n.start()
				if loaded, bad := n.Loaded(); loaded != 1 || bad != 1 {
					t.Errorf("loaded %d environments and %d bad ones", loaded, bad)
				}
				n.serves(1)
				n.stop()
				n.address = "127.0.0.1:0"
			}
			if name == "a folder" {
				return // in the way of every write; the receipt says so
			}
			n.start()
			if err := n.Apply(t.Context(), router.Fence{Revision: 5}, other); err != nil {
				t.Fatal(err)
			}
			n.stop()
			n.address = "127.0.0.1:0"
			n.start()
			if loaded, bad := n.Loaded(); loaded != 2 || bad != 0 {
				t.Errorf("after its route was applied: loaded %d environments and %d bad ones", loaded, bad)
			}
		})
	}
}

func overwrite(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// What is left of an unfinished write never keeps a process from starting.
func TestStateFile_UnfinishedWriteThatStays(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1)
	n.apply(1, all(1))
	n.stop()
	if err := os.MkdirAll(filepath.Join(n.dir, "shop.json.tmp", "inside"), 0o700); err != nil { // cannot be removed
		t.Fatal(err)
	}
	n.start()
	n.serves(1)
}

func TestStateFile_UnreadableIsNotPutAside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.json")
	if err := os.Symlink(path, path); err != nil { // reading it is an error even for root
		t.Fatal(err)
	}
	n := startNode(t, dir)
	if _, bad := n.Loaded(); bad != 1 {
		t.Errorf("%d bad ones", bad)
	}
	if _, err := os.Lstat(path + ".bad"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what could not be read was put aside: %v", err)
	}
}

// Numbers are given out twice only after the database was restored from a copy. What the node knows under such a number
// never serves for the other, and is never taken away from traffic that the route does not mean for the other.
func TestStage_AnotherGenerationUnderTheNumber(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1)
	n.stage(2)
	n.apply(5, all(1))
	backends := map[int]*routertest.Backend{}
	other := func(marker int) rollout.Generation { // its instances answer with the marker
		backends[marker] = routertest.NewBackend(t, marker)
		return rollout.Generation{Environment: "shop", Number: 1, Groups: group(backends[marker].Instance("web-1"))}
	}
	fresh := other(101)
	if err := n.Stage(t.Context(), router.Fence{Revision: 9}, route(9, all(2)), fresh); err == nil {
		t.Fatal("what serves was taken away for a generation that is to get nothing")
	}
	n.serves(1)
	n.apply(9, all(2))
	n.serves(2)
	if err := n.Stage(t.Context(), router.Fence{Revision: 9}, route(9, all(2)), fresh); err != nil {
		t.Fatal(err)
	}
	n.apply(10, all(1))
	n.serves(101)
	n.stop()
	n.start()
	n.serves(101)

	// The route means the traffic for the other one: it goes there in one step, and what is open may end.
	_, slow := n.begun("/slow")
	if err := n.Stage(t.Context(), router.Fence{Revision: 10}, route(10, all(1)), other(102)); err != nil {
		t.Fatal(err)
	}
	n.serves(102)
	backends[101].Release()
	if err := ends(slow); err != nil {
		t.Errorf("what was open ended with %v", err)
	}
}
