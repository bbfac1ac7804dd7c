package cli

import (
	"strings"
	"testing"
	"time"
)

const enough = "database_url: postgres://u:hidden@db/v\nnode_name: n1\n"

func TestConfig_Precedence(t *testing.T) {
	t.Parallel()
	path := file(t, enough+"listen: \":1\"\npoll: 100ms\nlease_ttl: 5s\nproxy:\n  listen: \":2\"\n")
	env := map[string]string{"VIRIDIAN_CONFIG": path, "VIRIDIAN_LISTEN": ":3", "VIRIDIAN_POLL": "200ms", "VIRIDIAN_LEASE_TTL": ""}
	got := command(t, env, "config", "check", "--listen", ":4")
	if got.code != 0 {
		t.Fatalf("code %d: %s", got.code, got.stderr)
	}
	for key, want := range map[string]string{
		"listen":        ":4 flag --listen",
		"poll":          "200ms VIRIDIAN_POLL",
		"lease_ttl":     "5s viridian.yaml line 5",
		"proxy.listen":  ":2 viridian.yaml line 7",
		"drain_timeout": "30s default",
		"database_url":  "postgres://u:xxxxx@db/v viridian.yaml line 1",
	} {
		if line := lineOf(got.stdout, key); line != key+" "+want {
			t.Errorf("%s: %q, want %q", key, line, want)
		}
	}
	if strings.Contains(got.stdout, "hidden") {
		t.Error("the password is shown")
	}
}

// lineOf is the line that begins with the key, with its columns parted by one space.
func lineOf(text, key string) string {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[0] == key {
			return strings.Join(fields, " ")
		}
	}
	return ""
}

// TestConfig_Mistakes: each is exit code 2, names the place, and says what to do.
func TestConfig_Mistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		enough + "lisen: \":1\"\n":                            "viridian.yaml line 3: unknown key lisen\n  fix: did you mean listen?",
		enough + "proxy: {lsten: \":1\"}\n":                   "unknown key proxy.lsten\n  fix: did you mean proxy.listen?",
		enough + "something: 1\n":                             "unknown key something\n  fix: see viridian serve --help",
		enough + "proxy: \":1\"\n":                            "the value of proxy is not a list of keys and values",
		enough + "listen: [1, 2]\n":                           "listen has no single value",
		enough + "listen:\n":                                  "listen has no single value",
		enough + "node_name: n2\n":                            "node_name is given twice",
		enough + "listen: \"7070\"\n":                         "listen 7070 (viridian.yaml line 3): not HOST:PORT",
		enough + "listen: \":70000\"\n":                       "port \"70000\" is not a number from 0 to 65535",
		enough + "lease_ttl: 10\n":                            "not a duration",
		enough + "lease_ttl: 1ms\n":                           "out of range\n  fix: 300ms to 1m",
		enough + "migrate: maybe\n":                           "not true or false",
		enough + "log: {format: xml}\n":                       "log.format xml (viridian.yaml line 3): not one of text, json",
		enough + "proxy: {tls: {certificate: x}}\n":           "proxy.tls is not supported in this version",
		enough + "telemetry: {}\n":                            "telemetry is not supported in this version",
		enough + "registries: {consul: {address: x}}\n":       "registries.consul has no place here\n  fix: write consul: {address: …} at the top",
		"database_url: postgres://u@db/v\nnode_name: \"-\"\n": "node_name - (viridian.yaml line 2): not a name that fits",
		"node_name: n1\n":                                     "database_url is not set\n  fix: set database_url",
		"database_url: mysql://db/v\nnode_name: n1\n":         "database_url mysql://db/v (viridian.yaml line 1): cannot parse",
		"database_url: postgres://u:p@hidden%zz@db/v\n":       "database_url postgres://u:xxxxx@db/v (viridian.yaml line 1): it cannot be read as a URL",
		enough + "listen_database_url: nowhere\n":             "listen_database_url (not shown) (viridian.yaml line 3): cannot parse",
		enough + "migrate_database_url: host\n":               "migrate_database_url (not shown) (viridian.yaml line 3): cannot parse",
		enough + "poll: 5s\n":                                 "node_silence is less than three times poll",
		"- a\n":                                               "is not a list of keys and values",
		enough + "---\na: b\n":                                "more than one document",
		"a: [\n":                                              "is not valid YAML",
		enough + "lisen: \":1\"\npoll: 9h\n":                  "viridian: poll 9h",
	} {
		got := command(t, nil, "config", "check", "--config", file(t, text))
		if got.code != 2 || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "\n  fix: ") {
			t.Errorf("%q: code %d, want %q in\n%s", text, got.code, want, got.stderr)
		}
		if strings.Contains(got.stdout+got.stderr, "hidden") {
			t.Errorf("%q: the password is shown", text)
		}
	}
	if got := command(t, nil, "serve", "--config", "/nowhere/viridian.yaml"); got.code != 2 || !strings.Contains(got.stderr, "cannot be read") {
		t.Errorf("a file that is not there: %+v", got)
	}
}

func TestConfig_Accepted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		enough, enough + "routers: {}\nregistries:\n", enough + "routers: {builtin: {}}\nregistries: {static: }\n", "# nothing\n" + enough,
	} {
		if got := command(t, nil, "config", "check", "--config", file(t, text)); got.code != 0 {
			t.Errorf("%q: %s", text, got.stderr)
		}
	}
	if got := command(t, map[string]string{"VIRIDIAN_DATABASE_URL": "host=db password='a b' user=u"}, "config", "check", "--config", file(t, ""), "--node-name", "x"); got.code != 0 || strings.Contains(got.stdout, "a b") || !strings.Contains(got.stdout, "host=db") {
		t.Errorf("pairs and an empty file: %+v", got)
	}
}

// TestConfig_FlagsReachTheCommand: what the table declares is what serve gets.
func TestConfig_FlagsReachTheCommand(t *testing.T) {
	t.Parallel()
	given := map[string]string{"migrate": "false", "drain_timeout": "7s", "log.format": "json", "log.level": "debug", "shutdown_delay": "0s"}
	c, values, wrong := resolve(sources{
		flag: func(string) (string, bool) { return "", false },
		env: func(name string) (string, bool) {
			for key, value := range given {
				if (setting{key: key}).env() == name {
					return value, true
				}
			}
			return "", false
		},
	})
	if len(wrong) > 0 || c.Migrate || c.DrainTimeout != 7*time.Second || c.LogFormat != "json" || c.LogLevel != "debug" || c.ShutdownDelay != 0 || c.LeaseTTL != 3*time.Second {
		t.Fatalf("%+v %v", c, wrong)
	}
	if len(values) != len(settings()) {
		t.Fatalf("%d values of %d settings", len(values), len(settings()))
	}
}

func TestMistyped(t *testing.T) {
	t.Parallel()
	got := mistyped([]string{"VIRIDIAN_LISTN=x", "VIRIDIAN_LISTEN=x", "VIRIDIAN_PORT_7070_TCP=tcp://1", "HOME=/", "VIRIDIAN_PG_BIN=/x"})
	if len(got) != 1 || !strings.Contains(got[0], "did you mean VIRIDIAN_LISTEN?") {
		t.Fatalf("%q", got)
	}
}

func TestRedactText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"cannot parse `postgres://u:p@h/d`: x": "cannot parse `postgres://u:xxxxx@h/d`: x",
		"postgres://u@h/d?password=p&x=y":      "postgres://u@h/d?password=xxxxx&x=y",
		"postgres://u:p@ss%zz@h/d and more":    "postgres://u:xxxxx@h/d and more",
	} {
		if got := redactText(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := redactDatabase("just a secret"); strings.Contains(got, "secret") {
		t.Error(got)
	}
}
