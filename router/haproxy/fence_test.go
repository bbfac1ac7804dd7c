package haproxy

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"viridian/failpoint"
	"viridian/router"
)

// TestFence_OfManyWriters lets several processes apply revisions as they come: the node's revision never goes back, as
// seen at the socket and in the map file, and ends at the highest.
func TestFence_OfManyWriters(t *testing.T) {
	t.Parallel()
	for _, fenced := range []bool{true, false} {
		t.Run(fmt.Sprintf("fenced %v", fenced), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, func(h *haproxy, _ *Config) { h.unfenced = !fenced })
			l.stage(0, 1, 2)
			writers, revisions := 4, 60
			if !fenced {
				writers = 1 // without a fence, the lease keeps others away
			}
			var next, back atomic.Int64
			stop := make(chan struct{})
			var wait, watchers sync.WaitGroup
			watchers.Go(func() { back.Store(l.watchRevision(stop)) })
			for range writers {
				n := l.haproxy.bareNode(t)
				wait.Go(func() {
					for range revisions {
						revision := next.Add(1)
						if rand.IntN(3) == 0 {
							revision = max(1, revision-rand.Int64N(5))
						}
						err := n.Apply(l.ctx, router.Fence{Revision: revision}, l.route(revision, all(1+int(revision%2))))
						if err != nil && !errors.Is(err, router.ErrStale) {
							t.Errorf("apply: %v", err)
						}
					}
				})
			}
			wait.Wait()
			close(stop)
			watchers.Wait()
			if back.Load() > 0 {
				t.Errorf("the revision went back %d times", back.Load())
			}
			last := next.Load() + 1
			l.apply(last, all(1))
			if o := l.observe(); o.Revision != last || o.Error != "" {
				t.Errorf("at revision %d: %s", o.Revision, o.Error)
			}
		})
	}
}

// watchRevision counts how often the entry was seen to go back.
func (l *lab) watchRevision(stop <-chan struct{}) (back int64) {
	highest := int64(0)
	for {
		select {
		case <-stop:
			return back
		default:
		}
		v, err := l.look(l.ctx, "")
		if err != nil {
			l.Errorf("look: %v", err)
			return back
		}
		e, err := parseEntry(v.entries["env/shop"])
		if err != nil || e.revision < highest {
			back++
		}
		highest = max(highest, e.revision)
	}
}

// TestFence_RefusesALowerRevision asks the fence itself, as a writer would that does not compare.
func TestFence_RefusesALowerRevision(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1)
	l.apply(7, all(1))
	v, err := l.look(l.ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	held := v.entries["env/shop"]
	lower := "6" + strings.TrimPrefix(held, "7")
	for name, c := range map[string]struct{ expect, value string }{
		"lower":           {held, lower},
		"not as expected": {lower, held},
		"absent":          {absent, held},
	} {
		if err := l.Node.fence.swap(l.ctx, v.pid(), "env/shop", c.expect, c.value); !errors.Is(err, errOvertaken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := l.Node.fence.swap(l.ctx, "1", "env/shop", held, held); !errors.Is(err, errChanged) {
		t.Errorf("another process: %v", err)
	}
	if l.entryText() != held {
		t.Errorf("the entry is %s", l.entryText())
	}
}

// TestStage_OfAStaleWriter: one that knows an older revision, or held the lease before, touches no slot.
func TestStage_OfAStaleWriter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1)
	l.apply(3, all(1))
	ask := func(term, revision int64) error {
		return l.Stage(l.ctx, router.Fence{Term: term, Revision: revision}, l.route(revision, nil), l.generation(2))
	}
	if err := ask(5, 3); err != nil {
		t.Fatal(err)
	}
	for _, f := range []router.Fence{{Term: 4, Revision: 3}, {Term: 9, Revision: 2}} {
		if err := ask(f.Term, f.Revision); !errors.Is(err, router.ErrStale) {
			t.Errorf("stage with %+v: %v", f, err)
		}
		if err := l.Remove(l.ctx, f, "shop", 2); !errors.Is(err, router.ErrStale) {
			t.Errorf("remove with %+v: %v", f, err)
		}
	}
	if o := l.observe(); fmt.Sprint(o.Staged) != "[1 2]" {
		t.Errorf("staged %v", o.Staged)
	}
	if err := ask(1, 4); err != nil { // a newer revision counts more than a term
		t.Error(err)
	}
}

// TestExchange_OfALateWriter: a writer that was stopped between its look and its write has no effect, since its time is
// over or HAProxy has dropped the connection.
func TestExchange_OfALateWriter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.kill()
	text, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.file, []byte(strings.ReplaceAll(string(text), "stats timeout 10s", "stats timeout 300ms")), 0o600); err != nil {
		t.Fatal(err)
	}
	l.boot()
	a := address{network: "unix", target: filepath.Join(l.dir, "admin.sock")}
	conn, end, err := a.dial(l.ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) { // HAProxy ends it
		t.Fatalf("the silent connection: %d bytes, %v", n, err)
	}
	_, _ = conn.Write([]byte("add map " + l.mapPath() + " late writer\n"))
	over, cancel := context.WithCancel(l.ctx)
	cancel()
	if _, err := a.exchange(over, "add map "+l.mapPath()+" late writer\n"); !errors.Is(err, errNotSent) {
		t.Errorf("after its time: %v", err)
	}
	if v, err := l.look(l.ctx, ""); err != nil || len(v.entries) != 0 {
		t.Errorf("the map holds %v (%v)", v.entries, err)
	}
}

// TestApply_IsDurableWhenItReturns stops it between the flip and the file. The observation tells of the file until a
// second call has put it right.
func TestApply_IsDurableWhenItReturns(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.stage(0, 1, 2)
	l.apply(1, all(1))
	for _, point := range []string{string(failpoint.ApplySwapped), string(failpoint.StateFileTemp)} {
		set, err := failpoint.New(point + "=error@1")
		if err != nil {
			t.Fatal(err)
		}
		n := l.haproxy.bareNode(t, func(o *Options) { o.Failpoints = set })
		revision := l.observe().Revision + 1
		route := l.route(revision, all(1+int(revision)%2))
		if err := n.Apply(l.ctx, router.Fence{}, route); !errors.Is(err, failpoint.ErrInjected) {
			t.Fatalf("%s: %v", point, err)
		}
		o := l.observe()
		if o.Revision != revision-1 || o.Fence != revision || len(o.Edits) > 0 || !strings.Contains(o.Error, fmt.Sprintf("revision %d serves, and is not durable", revision)) {
			t.Errorf("%s: observed revision %d: %s", point, o.Revision, o.Error)
		}
		if err := n.Apply(l.ctx, router.Fence{}, route); err != nil {
			t.Fatal(err)
		}
		if o := l.observe(); o.Revision != revision || o.Error != "" || o.Hash != route.Hash() {
			t.Errorf("%s: after another call revision %d: %s", point, o.Revision, o.Error)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(l.dir, tempPattern)); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestApply_ThatIsRefusedMakesDurableWhatServes, so that the database hears of it: it may have been restored since.
func TestApply_ThatIsRefusedMakesDurableWhatServes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]error{"a lower revision": router.ErrStale, "other weights": router.ErrDiverged} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.stage(0, 1, 2)
			l.apply(3, all(2))
			full := l.haproxy.bareNode(t, func(o *Options) { o.Failpoints = noDisk(t) })
			if err := full.Apply(l.ctx, router.Fence{}, l.route(4, all(1))); !errors.Is(err, failpoint.ErrInjected) {
				t.Fatal(err)
			}
			if o := l.observe(); o.Revision != 3 || o.Fence != 4 {
				t.Fatalf("observed revision %d, fence %d: %s", o.Revision, o.Fence, o.Error)
			}
			refused := l.route(4, all(2))
			if errors.Is(want, router.ErrStale) {
				refused = l.route(3, all(2))
			}
			if err := l.Apply(l.ctx, router.Fence{}, refused); !errors.Is(err, want) {
				t.Errorf("refused with %v", err)
			}
			if o := l.observe(); o.Revision != 4 || o.Fence != 0 || o.Error != "" {
				t.Errorf("after the refusal revision %d, fence %d: %s", o.Revision, o.Fence, o.Error)
			}
			l.serves("1", 200)
		})
	}
}

// TestParseAddress and its refusals.
func TestParseAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"unix:/run/h.sock": "unix /run/h.sock", "tcp:10.0.0.5:9999": "tcp 10.0.0.5:9999", "tls:lb.example.com:9999": "tcp lb.example.com:9999",
		"tcp:[::1]:9": "tcp [::1]:9", "unix:run/h.sock": "", "/run/h.sock": "", "tcp:10.0.0.5": "", "http://x": "", "": "", "unix:": "",
	} {
		a, err := parseAddress(text, nil)
		if got := a.network + " " + a.target; (err != nil) != (want == "") || (want != "" && got != want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	if a, err := parseAddress("tls:lb.example.com:9999", nil); err != nil || a.tls == nil || a.tls.ServerName != "lb.example.com" {
		t.Errorf("tls: %+v, %v", a.tls, err)
	}
}
