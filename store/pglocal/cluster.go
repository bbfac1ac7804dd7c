package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// superuser is the database role of every connection.
const superuser = "postgres"

// ensureCluster makes the cluster when there is none and refuses one of
// another major version. A cluster is made aside and renamed into place, so
// that a half-made one is never taken for a whole one.
func (f folder) ensureCluster(ctx context.Context, bin Binaries, durable bool) error {
	leftovers, err := filepath.Glob(filepath.Join(f.path, "initdb-*"))
	if err != nil {
		return err
	}
	for _, dir := range leftovers {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove the rest of an interrupted start: %w", err)
		}
	}
	version, err := os.ReadFile(filepath.Join(f.cluster(), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) && !exists(f.cluster()) {
		return f.initCluster(ctx, bin, durable)
	}
	if err != nil {
		return fmt.Errorf("%s is not a Postgres cluster: move it away, or choose another data folder: %w", f.cluster(), err)
	}
	data, own := strings.TrimSpace(string(version)), strconv.Itoa(bin.Major)
	if data == own {
		return nil
	}
	mismatch := &VersionError{Folder: f.path, Data: data, Installed: own, Dir: bin.Dir}
	all, _ := installed(systemFolders)
	for _, other := range all {
		if strconv.Itoa(other.Major) == data {
			mismatch.Matching = other.Dir
		}
	}
	return mismatch
}

func (f folder) initCluster(ctx context.Context, bin Binaries, durable bool) error {
	aside, err := os.MkdirTemp(f.path, "initdb-")
	if err != nil {
		return err
	}
	if err := f.give(aside); err != nil {
		return err
	}
	args := []string{"-D", aside, "--username=" + superuser, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-instructions"}
	if !durable {
		args = append(args, "--no-sync")
	}
	if err := f.runInit(ctx, exec.Command(bin.path("initdb"), args...)); err != nil {
		return errors.Join(err, os.RemoveAll(aside))
	}
	if err := os.Rename(aside, f.cluster()); err != nil {
		return err
	}
	if !durable {
		return nil
	}
	dir, err := os.Open(f.path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (f folder) runInit(ctx context.Context, cmd *exec.Cmd) error {
	out, err := f.openLog()
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Dir = f.path
	cmd.Env = childEnvironment()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttributes(f.account, syscall.SIGKILL)
	p, err := startChild(cmd)
	if err != nil {
		return fmt.Errorf("start initdb: %w", err)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.killGroup()
		<-p.done
		return fmt.Errorf("initdb: %w", ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("initdb: %w; it said:\n%s", p.err, f.logTail())
	}
	return nil
}

// childEnvironment hides our PG* variables, which would change defaults.
func childEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}
