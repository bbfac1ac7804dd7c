package builtin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"viridian/failpoint"
	"viridian/rollout"
)

const (
	stateSuffix = ".json"
	tempSuffix  = ".json.tmp" // a write that a crash cut short
	badSuffix   = ".json.bad" // a file that could not be read, kept for people
)

// stateFiles is the folder with one state file for each environment.
type stateFiles struct {
	dir        string
	failpoints *failpoint.Set
}

func (f stateFiles) path(name, suffix string) string { return filepath.Join(f.dir, name+suffix) }

// save replaces the environment's file so that after a crash at any point there is the old one or the new one, and
// after its return the new one.
func (f stateFiles) save(ctx context.Context, name string, content []byte) error {
	temp := f.path(name, tempSuffix)
	if err := writeSynced(temp, content); err != nil {
		// On a full disk the half of it that fits would keep the next attempt from succeeding.
		return errors.Join(err, os.Remove(temp))
	}
	if err := f.failpoints.Hit(ctx, failpoint.StateFileTemp); err != nil {
		return err
	}
	if err := os.Rename(temp, f.path(name, stateSuffix)); err != nil {
		return err
	}
	return syncDir(f.dir)
}

// remove deletes the environment's file, if there is one.
func (f stateFiles) remove(name string) error {
	if err := os.Remove(f.path(name, stateSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(f.dir)
}

// loadedState is one state file, or why it could not be read.
type loadedState struct {
	environment string
	state       state
	content     []byte
	err         error
}

// loadAll reads every state file, puts damaged ones aside, and clears away unfinished writes. A file put aside in an
// earlier start counts as one that cannot be read until there is a new one. Whatever is wrong with a file, the others
// are served: only a folder that cannot be listed is an error.
func (f stateFiles) loadAll() ([]loadedState, error) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []loadedState
	var aside []string
	for _, e := range entries {
		file := e.Name()
		if name, ok := environmentOf(file, tempSuffix); ok {
			_ = os.Remove(f.path(name, tempSuffix)) // the next write begins it anew
		} else if name, ok := environmentOf(file, badSuffix); ok {
			aside = append(aside, name)
		} else if name, ok := environmentOf(file, stateSuffix); ok {
			seen[name] = true
			out = append(out, f.load(name))
		}
	}
	for _, name := range aside {
		if !seen[name] {
			out = append(out, loadedState{environment: name, err: errors.New("put aside at an earlier start")})
		}
	}
	return out, nil
}

func (f stateFiles) load(name string) loadedState {
	l := loadedState{environment: name}
	path := f.path(name, stateSuffix)
	if l.content, l.err = os.ReadFile(path); l.err != nil {
		return l // the file may be as it should be
	}
	if l.state, l.err = decodeState(name, l.content); l.err != nil {
		l.err = errors.Join(l.err, os.Rename(path, f.path(name, badSuffix)))
	}
	return l
}

// environmentOf is the environment whose file has this name and suffix. Other files in the folder are not ours.
func environmentOf(file, suffix string) (string, bool) {
	name, ok := strings.CutSuffix(file, suffix)
	return name, ok && rollout.ValidName(name)
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// takeFile waits for the right to write the environment's state file; releaseFile gives it back.
func (env *environment) takeFile(ctx context.Context) error {
	select {
	case env.file <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("state file of environment %s is being written: %w", env.name, context.Cause(ctx))
	}
}

func (env *environment) releaseFile() { <-env.file }

// persist makes the state file say what the environment does at this moment. A disk that hangs holds up nobody for
// longer than ctx: the write then goes on by itself.
func (r *Router) persist(ctx context.Context, env *environment) error {
	if err := env.takeFile(ctx); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		defer env.releaseFile()
		done <- r.write(ctx, env)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("state file of environment %s: %w", env.name, context.Cause(ctx))
	}
}

// write is skipped while the files are another process's, see [Router.Seal].
func (r *Router) write(ctx context.Context, env *environment) error {
	if r.sealed.Load() {
		return nil
	}
	return r.writeFile(ctx, env)
}

func (r *Router) writeFile(ctx context.Context, env *environment) error {
	env.mu.Lock()
	s := env.state()
	content, err := s.encode()
	upToDate := env.forgotten || (err == nil && string(content) == string(env.persistedState))
	if upToDate {
		env.fileError = nil
	}
	env.mu.Unlock()
	if err == nil && !upToDate {
		err = r.files.save(ctx, env.name, content)
	}
	if err != nil {
		err = fmt.Errorf("state file of environment %s: %w", env.name, err)
		env.failed(err)
		return err
	}
	if !upToDate {
		env.saved(s, content)
	}
	return nil
}

// saved notes what the state file says now.
func (env *environment) saved(s state, content []byte) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.persisted, env.persistedState, env.fileError = s, content, nil
}

// failed notes why the state file does not say what the table does. The next write is not skipped, whatever it says:
// this one may have got as far as the rename.
func (env *environment) failed(err error) {
	env.mu.Lock()
	defer env.mu.Unlock()
	env.persistedState, env.fileError = nil, err
}
