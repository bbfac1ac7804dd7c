package migrations_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"viridian/migrations"
	"viridian/store/storetest"
)

var (
	fileName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.(up|down)\.sql$`)
	// In PL/pgSQL a block's BEGIN has no semicolon.
	ownTransaction = regexp.MustCompile(`(?im)^\s*(BEGIN|START TRANSACTION|COMMIT|ROLLBACK)\s*;|\bCONCURRENTLY\b`)
)

// Numbered pairs without gaps, each with a header that says why, each one transaction.
func TestFiles_KeepTheRules(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations.Files, "*")
	if err != nil {
		t.Fatal(err)
	}
	pairs := map[string]string{}
	for _, name := range names {
		match := fileName.FindStringSubmatch(name)
		if match == nil {
			t.Errorf("%s: the name is not like 0001_noun.up.sql", name)
			continue
		}
		pairs[match[1]] += match[2] + " "
		text, err := fs.ReadFile(migrations.Files, name)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "--") {
			t.Errorf("%s: no header that says why", name)
		}
		if bad := ownTransaction.Find(text); bad != nil {
			t.Errorf("%s: %q, but one file is one transaction", name, bad)
		}
	}
	for n := uint(1); n <= migrations.Latest(); n++ {
		if got := pairs[fmt.Sprintf("%04d", n)]; got != "down up " {
			t.Errorf("version %d has %q, want a pair", n, got)
		}
	}
	if uint(len(pairs)) != migrations.Latest() || len(pairs) == 0 {
		t.Errorf("%d versions, but the latest is %d", len(pairs), migrations.Latest())
	}
}

func TestFiles_UpDownUp(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	for range 2 {
		if err := migrations.Up(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		wantVersion(t, url, migrations.Latest())
		if err := migrations.To(t.Context(), url, 0); err != nil {
			t.Fatal(err)
		}
		if n := count(t, url, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S') AND relname <> 'schema_migrations'"); n != 0 {
			t.Fatalf("%d tables stay after the last down", n)
		}
	}
}

func TestLatest(t *testing.T) {
	t.Parallel()
	if got := migrations.LatestFiles(three()); got != 3 {
		t.Errorf("latest of three files is %d", got)
	}
}
