package haproxy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"viridian/failpoint"
)

// files is the folder with what HAProxy reads at its start: the map file, and a state file for each slot backend.
type files struct {
	dir, mapFile string
	failpoints   *failpoint.Set
}

// tempPattern is the name of a file that is being written.
const tempPattern = ".viridian-*.tmp"

// staleTemp is the age at which such a file is what a crash left behind.
const staleTemp = time.Minute

func newFiles(mapFile string, failpoints *failpoint.Set) (*files, error) {
	if !filepath.IsAbs(mapFile) || filepath.Base(mapFile) != mapName {
		return nil, fmt.Errorf("%q must be an absolute path that ends in %s", mapFile, mapName)
	}
	return &files{dir: filepath.Dir(mapFile), mapFile: mapFile, failpoints: failpoints}, nil
}

// within waits for something that a disk may hold up, no longer than ctx. What hangs goes on by itself.
func within[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		value, err := f()
		done <- outcome{value, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, fmt.Errorf("the disk: %w", context.Cause(ctx))
	}
}

// readMap reads the map file, and its lines by their keys. One that is not there has none.
func (f *files) readMap(ctx context.Context) (content string, lines map[string]string, err error) {
	text, err := within(ctx, func() ([]byte, error) { return os.ReadFile(f.mapFile) })
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", nil, err
	}
	lines = map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if _, twice := lines[key]; ok && !twice && !strings.HasPrefix(key, "#") {
			lines[key] = strings.TrimLeft(value, " ")
		}
	}
	return string(text), lines, nil
}

// readState reads the state file of a backend and the servers in it; none when it is not there.
func (f *files) readState(ctx context.Context, backend string) (string, []server, error) {
	text, err := within(ctx, func() ([]byte, error) { return os.ReadFile(filepath.Join(f.dir, stateName(backend))) })
	if errors.Is(err, os.ErrNotExist) || (err == nil && len(text) == 0) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	servers, err := readServers(backend, string(text))
	return string(text), servers, err
}

// write replaces a file so that after a crash at any point there is the old one or the new one, and after its return
// the new one. It looks at ctx last of all: whoever was stopped meanwhile must not put old content in place.
func (f *files) write(ctx context.Context, name string, content []byte) error {
	_, err := within(ctx, func() (struct{}, error) { return struct{}{}, f.writeNow(ctx, name, content) })
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("write %s: the folder of map_file is not there on this host: %w", name, err)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("write %s: Viridian's user may not write to the folder of map_file: %w", name, err)
	case err != nil:
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (f *files) writeNow(ctx context.Context, name string, content []byte) error {
	temp, err := os.CreateTemp(f.dir, tempPattern)
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Chmod(0o640) // HAProxy reads it as its own user, of our group
	}
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = f.failpoints.Hit(ctx, failpoint.StateFileTemp)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = os.Rename(temp.Name(), filepath.Join(f.dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// clear removes what crashes left behind.
func (f *files) clear(now time.Time) {
	left, err := filepath.Glob(filepath.Join(f.dir, tempPattern))
	if err != nil {
		return
	}
	for _, path := range left {
		if i, err := os.Stat(path); err == nil && now.Sub(i.ModTime()) > staleTemp {
			_ = os.Remove(path) // the next time, then
		}
	}
}

// patience is how long another process is let write alone. It may be a stopped one, so it is not waited for any longer:
// what it then puts in place, it compares and puts right itself, and so does everybody who looks.
const patience = 500 * time.Millisecond

// alone keeps other processes from writing, for a while, and returns how to let them again.
func (f *files) alone(ctx context.Context) func() {
	lock, err := os.OpenFile(filepath.Join(f.dir, ".viridian.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return func() {}
	}
	unlock := func() { _ = lock.Close() } // nothing was written to it
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return unlock
		case <-ticker.C:
		}
	}
	return unlock
}
