package builtin

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router"
)

// childEnv makes the test binary a process that only applies routes, to be killed; its value is the state folder.
const childEnv = "VIRIDIAN_TEST_STATE_CHILD"

// writeForEver applies one route after the other, and prints the revision of each when Apply has returned.
func writeForEver(dir string) {
	fail := func(err error) {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	r, err := New(Options{Node: "here", Incarnation: strconv.Itoa(os.Getpid()), StateDir: dir})
	if err != nil {
		fail(err)
	}
	if _, bad := r.Loaded(); bad > 0 {
		fail(fmt.Errorf("%d state files cannot be read", bad))
	}
	ctx := context.Background()
	o, err := r.Observe(ctx, "shop")
	if err != nil {
		fail(err)
	}
	for n := 1; n <= 2; n++ {
		g := rollout.Generation{Environment: "shop", Number: n, Groups: group(rollout.Instance{ID: "a", Address: "127.0.0.1", Port: n})}
		if err := r.Stage(ctx, router.Fence{Revision: 1 << 40}, route(0, nil), g); err != nil {
			fail(err)
		}
	}
	fmt.Println("from", o.Revision)
	for revision := o.Revision + 1; ; revision++ {
		if err := r.Apply(ctx, router.Fence{Revision: revision}, route(revision, all(int(revision%2)+1))); err != nil {
			fail(err)
		}
		fmt.Println("applied", revision)
	}
}

// TestProveStateFileKilledWhileWriting kills a process by SIGKILL at random moments while it writes its state file.
// What it said was applied is in the file that the next process finds; no file is ever damaged.
func TestProveStateFileKilledWhileWriting(t *testing.T) {
	t.Parallel()
	kills := 10
	if os.Getenv("VIRIDIAN_PROVE") == "full" {
		kills = 200
	}
	dir := t.TempDir()
	applied, lost := int64(0), 0
	for range kills {
		from, last := killedChild(t, dir, time.Duration(rand.IntN(20_000))*time.Microsecond)
		if from < applied || from > applied+1 {
			t.Fatalf("started at revision %d after revision %d was applied", from, applied)
		}
		lost += int(from - applied)
		applied = last
	}
	r, err := New(Options{Node: "here", Incarnation: "last", StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	o, err := r.Observe(t.Context(), "shop")
	if err != nil || o.Revision < applied || o.Revision > applied+1 || o.Hash != route(o.Revision, all(int(o.Revision%2)+1)).Hash() {
		t.Errorf("found revision %d with %v after %d, %v", o.Revision, o.Weights, applied, err)
	}
	t.Logf("%d kills while writing, %d revisions applied, %d written and not told any more", kills, applied, lost)
}

// killedChild lets a process write for that long after its first word, and says where it began and what it told last.
func killedChild(t *testing.T, dir string, length time.Duration) (from, last int64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	for lines := bufio.NewScanner(out); lines.Scan(); {
		word, text, _ := strings.Cut(lines.Text(), " ")
		revision, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil:
			t.Errorf("the process said %q", lines.Text())
		case word == "from":
			from, last = revision, revision
			kill = time.AfterFunc(length, func() { _ = cmd.Process.Kill() })
		default:
			last = revision
		}
	}
	_ = cmd.Wait() // killed, as it should be
	if kill == nil {
		t.Fatal("the process never began")
	}
	kill.Stop()
	return from, last
}
