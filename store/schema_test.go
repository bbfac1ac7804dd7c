package store_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"viridian/migrations"
	"viridian/store/pglocal"
	"viridian/store/storetest"
)

const schemaFile = "schema.sql"

// The schema as a whole is kept in schema.sql, so that a review sees what a migration comes to. To write it anew:
//
//	VIRIDIAN_WRITE_SCHEMA=1 go test -run TestSchema_IsAsDumped ./store
func TestSchema_IsAsDumped(t *testing.T) {
	t.Parallel()
	url := storetest.EmptyDatabase(t)
	if err := migrations.Up(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	got := dumpSchema(t, url)
	if os.Getenv("VIRIDIAN_WRITE_SCHEMA") != "" {
		if err := os.WriteFile(schemaFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the migrations come to another schema than %s (see the comment of this test):\n%s", schemaFile, diff)
	}
}

// What changes with the version of pg_dump, or says nothing about our schema.
var dumpNoise = regexp.MustCompile(`(?m)^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict.*)\n`)

func dumpSchema(t *testing.T, url string) string {
	t.Helper()
	installed, err := pglocal.Find()
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	dump := filepath.Join(installed.Dir, "pg_dump")
	if _, err := os.Stat(dump); err != nil {
		dump = "pg_dump" // a link to postgres may stand alone
	}
	out, err := exec.CommandContext(t.Context(), dump, "--schema-only", "--no-owner", "--no-privileges", "--exclude-table=schema_migrations", url).CombinedOutput()
	if err != nil {
		t.Fatalf("pg_dump of %s: %v\n%s", config.Database, err, out)
	}
	text := dumpNoise.ReplaceAllString(string(out), "")
	return strings.TrimSpace(regexp.MustCompile(`\n{3,}`).ReplaceAllString(text, "\n\n")) + "\n"
}

// An installation that was made before the guards gets them with everything it has.
func TestMigrations_OverData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.shop()
	w.do("shop", promote(2))
	w.apply("shop")
	before := dump(t, w)
	w.Close()
	w.must(migrations.To(t.Context(), w.direct(), 7))
	w.must(migrations.Up(t.Context(), w.direct()))
	w.Store = w.open()
	after := dump(t, w)
	for _, m := range []map[string]string{before, after} {
		delete(m, "activation")
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	// The history begins with what is live.
	if n := w.count("SELECT count(*) FROM activation a JOIN switch s USING (environment, revision) WHERE generation = 2 AND upper_inf(during) AND lower(during) = s.committed_at"); n != 1 {
		t.Errorf("%d activations of generation 2", n)
	}
	w.do("shop", rollback)
	if n := w.count("SELECT count(*) FROM activation WHERE environment = 'shop'"); n != 2 {
		t.Errorf("%d activations after a rollback", n)
	}
	verify(t, w, "shop")
}
