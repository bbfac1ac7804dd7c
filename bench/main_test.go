package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"testing"
)

// roleEnv makes this test binary play a part of a measurement in place of running tests.
const roleEnv = "VIRIDIAN_BENCH_ROLE"

// profileEnv names a folder for the CPU profile of each part.
const profileEnv = "VIRIDIAN_BENCH_PROFILE"

// roles are the parts. Each reads its task from in, says hello on out as soon as it serves, and ends when in ends.
var roles = map[string]func(ctx context.Context, t task, in *json.Decoder, out *json.Encoder) error{
	"load":     playLoad,
	"builtin":  playBuiltin,
	"plain":    playPlain,
	"haproxy":  playHAProxy,
	"viridian": playViridian,
	"floor":    playFloor,
	"pages":    playPages,
}

// task is what a part needs to know.
type task struct {
	Backend  string   // host:port behind a proxy
	Dir      string   // a folder of the part's own
	Database string   // URL
	Bare     bool     // tables without constraints and triggers
	FileSize int      // of the state file, in bytes
	Args     []string // of the viridian command
}

// hello is what a part says when it serves.
type hello struct {
	Address string // host:port
	PID     int    // of the process whose time counts
	Cores   int    // GOMAXPROCS; 0 when it is no Go process
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(role); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		os.Exit(1)
	}
}

func play(role string) (err error) {
	part, ok := roles[role]
	if !ok {
		return errors.New("no such role")
	}
	var t task
	in := json.NewDecoder(os.Stdin)
	if err := in.Decode(&t); err != nil {
		return fmt.Errorf("read the task: %w", err)
	}
	if dir := os.Getenv(profileEnv); dir != "" {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d.pprof", role, os.Getpid())))
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer func() { pprof.StopCPUProfile(); err = errors.Join(err, f.Close()) }()
	}
	for _, name := range []string{roleEnv, "VIRIDIAN_BENCH", profileEnv} { // they are no settings of the product
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return part(ctx, t, in, json.NewEncoder(os.Stdout))
}

// greet says where this process serves.
func greet(out *json.Encoder, address string) error {
	return out.Encode(hello{Address: address, PID: os.Getpid(), Cores: runtime.GOMAXPROCS(0)})
}

// awaitEnd returns when the parent has nothing more to say, or is gone.
func awaitEnd(in *json.Decoder) error {
	_, err := io.Copy(io.Discard, io.MultiReader(in.Buffered(), os.Stdin))
	return err
}

// gate lets a measurement run only when it is asked for.
func gate(t *testing.T) {
	t.Helper()
	if os.Getenv("VIRIDIAN_BENCH") != "1" {
		t.Skip("a measurement: run it with make bench (VIRIDIAN_BENCH=1)")
	}
}

// needs skips on a machine where something is missing, and fails where CI=true.
func needs(t *testing.T, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}
