package builtin

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
)

func armed(t *testing.T, spec string) *failpoint.Set {
	t.Helper()
	set, err := failpoint.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestStateFile_RoundTrip(t *testing.T) {
	t.Parallel()
	env := newEnvironment("shop")
	env.route = route(3, rollout.Weights{1: 90, 2: 10})
	env.route.Previous = 1
	env.generations[1] = &generation{groups: group(rollout.Instance{ID: `a"<b>`, Address: "10.0.0.1", Port: 80})}
	env.generations[2] = &generation{groups: group(rollout.Instance{ID: "b", Address: "app.internal", Port: 81})}
	content, err := env.state().encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeState("shop", content)
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.encode()
	if err != nil || string(again) != string(content) {
		t.Errorf("%s\nbecomes\n%s (%v)", content, again, err)
	}
	if got.route().Hash() != env.route.Hash() || got.Generations[0].Groups[0].Instances[0].ID != `a"<b>` {
		t.Errorf("read back as %+v", got)
	}
	if _, err := decodeState("other", content); err == nil {
		t.Error("the state of shop is taken for that of other")
	}
	// No prefix and no changed byte is taken for a state.
	for i := range content {
		if _, err := decodeState("shop", content[:i]); err == nil {
			t.Fatalf("the first %d bytes are taken for a state", i)
		}
		damaged := append([]byte{}, content...)
		damaged[i] ^= 0x01
		if _, err := decodeState("shop", damaged); err == nil {
			t.Fatalf("a state with byte %d changed is taken", i)
		}
	}
}

func TestStateFile_BadOneIsPutAside(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	n.stage(1)
	n.apply(1, all(1))
	n.stop()
	path := filepath.Join(n.dir, "other.json")
	if err := os.WriteFile(path, []byte(`{"sha256": "", "state": {"environ`), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it stays bad over a second start
		n.start()
		if environments, bad := n.Loaded(); environments != 1 || bad != 1 {
			t.Errorf("loaded %d environments and %d bad ones, want 1 and 1", environments, bad)
		}
		if _, err := os.Stat(filepath.Join(n.dir, "other.json.bad")); err != nil {
			t.Error(err)
		}
		n.serves(1)
		if answer := n.raw("GET / HTTP/1.0\r\nHost: other.localhost\r\n\r\n"); !strings.Contains(answer, " 503 ") {
			t.Errorf("a host that may be the bad environment's: %q", answer)
		}
		n.stop()
	}
	n.start()
	other := route(1, nil)
	other.Environment, other.Services[0].Hosts = "other", []string{"other.localhost"}
	if err := n.Apply(t.Context(), router.Fence{}, other); err != nil {
		t.Fatal(err)
	}
	if environments, bad := n.Loaded(); environments != 2 || bad != 0 {
		t.Errorf("loaded %d environments and %d bad ones after it was applied, want 2 and 0", environments, bad)
	}
}

// A crash at any point of a write leaves the old state or the new one.
func TestStateFile_CrashBeforeRename(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), func(n *node) { n.failpoints = armed(t, "statefile.temp=error@4") })
	n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	err := n.Apply(t.Context(), router.Fence{}, route(2, all(2)))
	if !errors.Is(err, failpoint.ErrInjected) {
		t.Fatalf("got %v", err)
	}
	n.serves(2) // traffic has moved all the same
	if o := n.observe(); o.Revision != 1 || o.Error == "" || o.Hash != route(1, all(1)).Hash() {
		t.Errorf("what is not durable is observed as %+v", o)
	}
	temp := filepath.Join(n.dir, "shop.json.tmp")
	if _, err := os.Stat(temp); err != nil {
		t.Fatal(err)
	}
	n.stop()
	n.start()
	n.serves(1)
	if _, err := os.Stat(temp); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the unfinished write is still there: %v", err)
	}
}

func TestApply_WritesAgainAfterAFailedWrite(t *testing.T) {
	t.Parallel()
	n := startNode(t, filepath.Join(t.TempDir(), "state"))
	n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	if err := os.Rename(n.dir, n.dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := n.Apply(t.Context(), router.Fence{}, route(2, all(2))); err == nil {
		t.Fatal("a write into a folder that is gone is taken for done")
	}
	n.serves(2)
	if o := n.observe(); o.Revision != 1 || o.Error == "" {
		t.Errorf("what is not durable is observed as %+v", o)
	}
	if err := os.Rename(n.dir+".away", n.dir); err != nil {
		t.Fatal(err)
	}
	n.apply(2, all(2))
	if o := n.observe(); o.Revision != 2 || o.Error != "" {
		t.Errorf("observed as %+v", o)
	}
	n.stop()
	n.start()
	n.serves(2)
}

func TestApply_FailpointAfterSwap(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), func(n *node) { n.failpoints = armed(t, "apply.swapped=error@1;apply.before=error@3") })
	n.stage(1)
	if err := n.Apply(t.Context(), router.Fence{}, route(1, all(1))); !errors.Is(err, failpoint.ErrInjected) {
		t.Fatalf("got %v", err)
	}
	n.serves(1)
	if o := n.observe(); o.Revision != 0 || o.Error == "" {
		t.Errorf("observed as %+v", o)
	}
	n.apply(1, all(1))
	if err := n.Apply(t.Context(), router.Fence{}, route(2, nil)); !errors.Is(err, failpoint.ErrInjected) {
		t.Fatalf("got %v", err)
	}
	n.serves(1)
	if o := n.observe(); o.Revision != 1 || o.Error != "" {
		t.Errorf("observed as %+v", o)
	}
}

// A disk that hangs delays no flip: the next one moves traffic while the first is still being written.
func TestApply_RollbackWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir(), func(n *node) { n.failpoints = armed(t, "statefile.temp=hang@4") })
	n.stage(1)
	n.stage(2)
	n.apply(1, all(1))
	hanging, give := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Apply(hanging, router.Fence{}, route(2, all(2))) }()
	<-n.failpoints.Reached(failpoint.StateFileTemp)
	n.serves(2)
	short, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Apply(short, router.Fence{}, route(3, all(1))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	n.serves(1)
	give()
	if err := <-ended; err == nil {
		t.Error("the hanging write is taken for done")
	}
	n.apply(3, all(1))
	if o := n.observe(); o.Revision != 3 || o.Error != "" {
		t.Errorf("observed as %+v", o)
	}
}

func TestNew_NeedsItsOptions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"nothing": {}, "no folder": {Node: "a", Incarnation: "1"}, "a file": {Node: "a", Incarnation: "1", StateDir: file},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRouter_ServesBeforeAnythingIsKnown(t *testing.T) {
	t.Parallel()
	n := startNode(t, t.TempDir())
	if status, _ := n.get("/"); status != http.StatusMisdirectedRequest {
		t.Errorf("status %d for a host of nobody", status)
	}
	if environments, bad := n.Loaded(); environments != 0 || bad != 0 {
		t.Errorf("loaded %d, %d", environments, bad)
	}
}
