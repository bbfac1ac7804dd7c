package cli

import (
	"strings"
	"testing"

	"viridian/rollout"
	"viridian/store/storetest"
)

func TestToken_CreateListRevoke(t *testing.T) {
	t.Parallel()
	env := map[string]string{"VIRIDIAN_DATABASE_URL": storetest.Database(t)}
	made := command(t, env, "token", "create", "--name", "ci", "--role", "deployer", "--environments", "shop-*,blog", "--expires", "2160h")
	token := strings.TrimSuffix(made.stdout, "\n")
	id, _, ok := rollout.ParseToken(token)
	if made.code != 0 || !ok || !strings.Contains(made.stderr, "not shown again") || strings.Contains(made.stderr, token) {
		t.Fatalf("create: %+v", made)
	}
	list := command(t, env, "token", "list")
	if line := lineOf(list.stdout, id); !strings.HasPrefix(line, id+" ci deployer shop-*,blog 20") || !strings.HasSuffix(line, "never") {
		t.Fatalf("list: %+v", list)
	}
	if revoked := command(t, env, "token", "revoke", id); revoked.code != 0 || revoked.stdout != "" {
		t.Fatalf("revoke: %+v", revoked)
	}
	if again := command(t, env, "token", "revoke", token); again.code != 1 || !strings.Contains(again.stderr, "there is no valid token "+id) {
		t.Fatalf("revoke again: %+v", again)
	}
	if list := command(t, env, "token", "list"); list.code != 0 || lineOf(list.stdout, id) != "" {
		t.Fatalf("list after revoke: %+v", list)
	}
}

func TestToken_WithoutSchema(t *testing.T) {
	t.Parallel()
	env := map[string]string{"VIRIDIAN_DATABASE_URL": storetest.EmptyDatabase(t)}
	got := command(t, env, "token", "create", "--name", "root", "--role", "admin")
	if got.code != 1 || got.stdout != "" || !strings.Contains(got.stderr, "viridian migrate version") {
		t.Fatalf("%+v", got)
	}
}

func TestToken_RevokeKeepsTheLastAdmin(t *testing.T) {
	t.Parallel()
	env := map[string]string{"VIRIDIAN_DATABASE_URL": storetest.Database(t)}
	made := command(t, env, "token", "create", "--name", "root", "--role", "admin")
	got := command(t, env, "token", "revoke", strings.TrimSpace(made.stdout))
	if got.code != 1 || !strings.Contains(got.stderr, "the last token") || !strings.Contains(got.stderr, "fix: create another admin token") {
		t.Fatalf("%+v", got)
	}
}
