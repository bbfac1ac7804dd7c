package pglocal

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
)

// relocated is where data lies when the account cannot enter the folder that
// was asked for.
const relocated = "/var/lib/viridian"

// folder is a data folder and the account its cluster belongs to.
type folder struct {
	path string
	account
}

func (f folder) cluster() string { return filepath.Join(f.path, "data") }
func (f folder) lock() string    { return filepath.Join(f.path, "lock") }
func (f folder) log() string     { return filepath.Join(f.path, "postgres.log") }
func (f folder) socket() string  { return filepath.Join(f.path, "socket") }

// openFolder decides where the data lies and makes that folder. It is the
// requested one, except when we are root and the account that Postgres runs as
// cannot get there (the home of root, for one): then it is one below
// elsewhere, named after the requested path, so that the next start
// finds it again.
func openFolder(requested, elsewhere string, bin Binaries, log *slog.Logger) (folder, error) {
	requested, err := filepath.Abs(requested)
	if err != nil {
		return folder{}, err
	}
	here, err := newFolder(requested)
	if err != nil {
		return folder{}, err
	}
	if !here.switched {
		return here, os.MkdirAll(here.path, 0o700)
	}
	there, err := newFolder(substitute(requested, elsewhere))
	if err != nil {
		return folder{}, err
	}
	if !exists(here.cluster()) {
		if exists(there.cluster()) || !here.canEnter(bin, nearest(here.path)) {
			return there.instead(requested, log)
		}
	}
	if err := makeEnterable(here.path); err != nil {
		return folder{}, err
	}
	if !here.canEnter(bin, here.path) {
		if exists(here.cluster()) {
			return folder{}, fmt.Errorf("user %d, who owns %s, cannot enter it: let the folders above it be entered (chmod o+x), or choose another data folder", here.uid, here.cluster())
		}
		return there.instead(requested, log)
	}
	return here, nil
}

func newFolder(path string) (folder, error) {
	f := folder{path: path}
	var err error
	f.account, err = chooseAccount(f.cluster())
	return f, err
}

func (f folder) instead(requested string, log *slog.Logger) (folder, error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return folder{}, err
	}
	if err := makeEnterable(f.path); err != nil {
		return folder{}, err
	}
	log.Info("postgres data lies elsewhere, since its user cannot enter the requested folder",
		"requested", requested, "folder", f.path, "uid", f.uid)
	return f, nil
}

// substitute names the same folder for the same requested path, for ever.
func substitute(requested, elsewhere string) string {
	if real, err := filepath.EvalSymlinks(requested); err == nil {
		requested = real
	}
	sum := sha256.Sum256([]byte(requested))
	return filepath.Join(elsewhere, "pg-"+hex.EncodeToString(sum[:6]))
}

// makeEnterable keeps the folder ours, and lets the account pass through to
// its cluster. The account must not own it: root opens files in there, and
// the owner could put links in their place.
func makeEnterable(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.Chmod(path, info.Mode().Perm()|0o711)
}

// nearest returns the closest folder at or above path that exists.
func nearest(path string) string {
	for !exists(path) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
	}
	return path
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}
