package pglocal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

const (
	// binEnv names the folder of the Postgres binaries and overrides the search.
	binEnv = "VIRIDIAN_PG_BIN"
	// minMajor is the oldest version that knows CREATE DATABASE … STRATEGY.
	minMajor = 15
)

// systemFolders are where packages put server binaries that are not on PATH.
var systemFolders = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// Binaries is one installed Postgres.
type Binaries struct {
	Dir   string // holds initdb and postgres
	Major int    // major version, 15 or newer
}

// Find locates Postgres: the folder in VIRIDIAN_PG_BIN, else PATH, else the
// newest one in the folders that packages use. It returns an error that wraps
// ErrNotInstalled and names the fix when there is none, or only older ones
// than version 15.
func Find() (Binaries, error) {
	if dir := os.Getenv(binEnv); dir != "" {
		found, err := inspect(dir)
		if err != nil {
			return Binaries{}, fmt.Errorf("%w in %s=%s: %w", ErrNotInstalled, binEnv, dir, err)
		}
		return found, nil
	}
	var problems []error
	if path, err := exec.LookPath("postgres"); err == nil {
		// A link on PATH may stand alone; its neighbours are where it points to.
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		found, err := inspect(filepath.Dir(path))
		if err == nil {
			return found, nil
		}
		problems = append(problems, err)
	}
	found, err := newest(systemFolders)
	if err == nil {
		return found, nil
	}
	problems = append(problems, err)
	return Binaries{}, fmt.Errorf("%w (version %d or newer): apt-get install postgresql-15, or set %s to the folder that holds initdb and postgres: %w",
		ErrNotInstalled, minMajor, binEnv, errors.Join(problems...))
}

// newest returns the highest usable version in folders that match the patterns.
func newest(patterns []string) (Binaries, error) {
	all, problems := installed(patterns)
	if len(all) == 0 {
		return Binaries{}, errors.Join(append(problems, fmt.Errorf("nothing usable in %v", patterns))...)
	}
	return slices.MaxFunc(all, func(a, b Binaries) int { return a.Major - b.Major }), nil
}

func installed(patterns []string) (all []Binaries, problems []error) {
	for _, pattern := range patterns {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			problems = append(problems, err)
		}
		for _, dir := range dirs {
			found, err := inspect(dir)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			all = append(all, found)
		}
	}
	return all, problems
}

func inspect(dir string) (Binaries, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return Binaries{}, err
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("ask %s/postgres for its version: %w", dir, err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return Binaries{}, fmt.Errorf("%s/postgres --version printed %q", dir, out)
	}
	major, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return Binaries{}, err
	}
	if major < minMajor {
		return Binaries{}, fmt.Errorf("%s is version %d, older than %d", dir, major, minMajor)
	}
	return Binaries{Dir: dir, Major: major}, nil
}

func (b Binaries) path(name string) string { return filepath.Join(b.Dir, name) }
