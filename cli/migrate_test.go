package cli

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"viridian/store/storetest"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	env := map[string]string{"VIRIDIAN_DATABASE_URL": storetest.EmptyDatabase(t)}
	if got := command(t, env, "migrate", "version"); !strings.HasPrefix(got.stdout, "schema version 0 of ") {
		t.Fatalf("empty: %+v", got)
	}
	up := command(t, env, "migrate", "up")
	latest := strings.TrimSpace(up.stdout[strings.LastIndex(up.stdout, " ")+1:])
	if up.code != 0 || up.stdout != "schema version "+latest+" of "+latest+"\n" {
		t.Fatalf("up: %+v", up)
	}
	if got := command(t, env, "migrate", "force", "1"); got.code != 0 || !strings.HasPrefix(got.stdout, "schema version 1 of") {
		t.Fatalf("force: %+v", got)
	}
	if got := command(t, env, "migrate", "up", "--grant-to", "nobody_of_this_name"); got.code != 1 {
		t.Fatalf("grant to nobody: %+v", got)
	}
}

// TestMigrate_ByAnotherRole: the schema is one role's, and what the service does works with another one.
func TestMigrate_ByAnotherRole(t *testing.T) {
	t.Parallel()
	const role = "viridian_cli_service"
	owner := storetest.EmptyDatabase(t)
	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // the test's own has ended
		if _, err := conn.Exec(ctx, "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
		conn.Close(ctx)
	})
	service, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	service.User = url.User(role)
	env := map[string]string{"VIRIDIAN_DATABASE_URL": service.String(), "VIRIDIAN_MIGRATE_DATABASE_URL": owner}
	if got := command(t, env, "migrate", "up"); got.code != 0 {
		t.Fatalf("up: %+v", got)
	}
	for _, args := range [][]string{{"token", "list"}, {"migrate", "version"}} {
		got := command(t, map[string]string{"VIRIDIAN_DATABASE_URL": service.String()}, args...)
		if got.code != 1 || !strings.Contains(got.stderr, "viridian migrate up --grant-to") || strings.Contains(got.stderr, "fix: look whether it runs") {
			t.Errorf("%v by a role that was not let in: %+v", args, got)
		}
	}
	if got := command(t, env, "migrate", "up", "--grant-to", role); got.code != 0 || !strings.Contains(got.stderr, "role "+role+" may run the service") {
		t.Fatalf("up: %+v", got)
	}
	if got := command(t, env, "token", "create", "--name", "root", "--role", "admin"); got.code != 0 {
		t.Fatalf("token create by the service's role: %+v", got)
	}
	delete(env, "VIRIDIAN_MIGRATE_DATABASE_URL")
	if got := command(t, env, "migrate", "force", "1"); got.code != 1 || !strings.Contains(got.stderr, "permission denied") {
		t.Fatalf("force by the service's role: %+v", got)
	}
}
