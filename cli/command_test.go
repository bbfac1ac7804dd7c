package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// outcome is what a command came to.
type outcome struct {
	code           int
	stdout, stderr string
}

// command runs one inside the test's process, with only the given variables.
func command(t *testing.T, env map[string]string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &program{stdout: &stdout, stderr: &stderr, version: "1.2.3",
		lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	code := p.run(t.Context(), args)
	return outcome{code: code, stdout: stdout.String(), stderr: stderr.String()}
}

// file writes a configuration and returns its path.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "viridian.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := command(t, nil, "version")
	if got.code != 0 || !strings.HasPrefix(got.stdout, "viridian 1.2.3 (go") {
		t.Fatalf("version: %+v", got)
	}
}

// TestHelp asks every command for its help, which has to teach: it shows an example.
func TestHelp(t *testing.T) {
	t.Parallel()
	for args, wants := range map[string][]string{
		"":               {"viridian dev", "viridian serve --config viridian.yaml", "token create", "migrate"},
		"dev":            {"--empty", "--data", "127.0.0.1:7070"},
		"serve":          {"VIRIDIAN_PROXY_LISTEN", "proxy.listen", "database_url: postgres://", "(default: 30s)", "SIGTERM"},
		"migrate":        {"migrate up", "--grant-to"},
		"migrate up":     {"--grant-to", "VIRIDIAN_MIGRATE_DATABASE_URL"},
		"migrate force":  {"VERSION"},
		"token":          {"TOKEN=$(viridian token create", "deployer"},
		"token create":   {"--role", "--expires", "--environments"},
		"token revoke":   {"ID"},
		"config":         {"check"},
		"config check":   {"VIRIDIAN_LISTEN=", "--config"},
		"audit":          {"viridian audit verify audit.ndjson", "93b885ad"},
		"audit verify":   {"--head", "VIRIDIAN_TOKEN", "[FILE]"},
		"audit export":   {"--output", "--format", "--after"},
		"ready":          {"--within", "/readyz/proxy"},
		"haproxy-config": {"haproxy-config shop", "--init", "--rules", "VIRIDIAN_TOKEN"},
		"demo-app":       {"--build 2", "/slow?ms=500"},
	} {
		got := command(t, nil, append(strings.Fields(args), "--help")...)
		if got.code != 0 || got.stderr != "" {
			t.Errorf("%q --help: code %d, %s", args, got.code, got.stderr)
		}
		for _, want := range wants {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("%q --help does not say %q:\n%s", args, want, got.stdout)
			}
		}
	}
}

// TestUsage: a mistake in the arguments is exit code 2, with one line that says what and one with the fix.
func TestUsage(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"serv":                              "viridian: unknown command \"serv\"\n  fix: did you mean viridian serve?\n",
		"token lst":                         "viridian: unknown command \"lst\"\n  fix: did you mean viridian token list?\n",
		"xyzzy":                             "viridian: unknown command \"xyzzy\"\n  fix: see viridian --help\n",
		"version now":                       "viridian: unexpected argument \"now\"\n  fix: see viridian version --help\n",
		"serve --lsten :1":                  "viridian: unknown flag --lsten\n  fix: did you mean --listen?\n",
		"dev --listen nowhere":              "viridian: listen nowhere (flag --listen): not HOST:PORT",
		"demo-app --build 0":                "viridian: build is below 1\n",
		"migrate force":                     "force needs one version",
		"migrate force 100000":              "force needs one version",
		"token revoke":                      "revoke needs the id of one token",
		"token create":                      "the token has no valid name",
		"token create --name x":             "the token has no valid role",
		"token create --name x --role root": "the token has no valid role",
		"token create --name x --role admin --environments A;b":      "--environments has something",
		"token create --name x --role admin --expires=-1h":           "--expires is in the past",
		"token create --name x --role admin":                         "database_url is not set",
		"serve --database-url http://x --node-name n":                "viridian: database_url",
		"serve --database-url postgres://x/y --node-name n --poll 1": "poll 1 (flag --poll): not a duration",
	} {
		got := command(t, nil, strings.Fields(args)...)
		if got.code != 2 || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "\n  fix: ") || got.stdout != "" {
			t.Errorf("%s: code %d\n%s%s", args, got.code, got.stdout, got.stderr)
		}
	}
}
