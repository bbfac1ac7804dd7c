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
