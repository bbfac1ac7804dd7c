package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestHAProxyConfig prints from a file and from a server. Whether HAProxy takes it, router/haproxy asks.
func TestHAProxyConfig(t *testing.T) {
	t.Parallel()
	spec := filepath.Join(t.TempDir(), "shop.json")
	text := `{"name": "shop", "services": [{"name": "web", "hosts": ["shop.example.com"]}], "routers": ["edge"]}`
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	asked := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " by " + r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/v1/environments/shop" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"code": "not_found", "detail": "there is no such environment"}`))
			return
		}
		_, _ = w.Write([]byte(`{"name": "shop", "spec": ` + text + `}`))
	}))
	t.Cleanup(server.Close)
	env := map[string]string{"VIRIDIAN_SERVER": server.URL, "VIRIDIAN_TOKEN": "vir_a_b"}

	fromFile := command(t, nil, "haproxy-config", "--spec", spec, "--init", "--folder", "/srv/maps", "shop")
	fromServer := command(t, env, "haproxy-config", "--init", "--folder", "/srv/maps", "shop")
	if fromFile.code != 0 || fromFile.stdout != fromServer.stdout || asked != "/v1/environments/shop by Bearer vir_a_b" {
		t.Errorf("file: code %d %s\nserver, asked for %s: code %d %s", fromFile.code, fromFile.stderr, asked, fromServer.code, fromServer.stderr)
	}
	for _, want := range []string{"backend viridian.shop.web.4", "frontend viridian-http", "/srv/maps/viridian.map", "frontend viridian-fence"} {
		if !strings.Contains(fromFile.stdout, want) {
			t.Errorf("%q is not printed", want)
		}
	}
	rules := command(t, env, "haproxy-config", "--rules", "shop")
	if rules.code != 0 || strings.Contains(rules.stdout, "backend viridian.shop.web.4") || !strings.Contains(rules.stdout, "use_backend viridian.%[") {
		t.Errorf("rules: code %d\n%s%s", rules.code, rules.stdout, rules.stderr)
	}
	for args, want := range map[string]string{
		"haproxy-config":                                         "no environment is named",
		"haproxy-config --spec x a b":                            "--spec is the specification of one environment",
		"haproxy-config --bind x shop":                           "names no address",
		"haproxy-config --folder maps shop":                      "must be an absolute path",
		"haproxy-config --spec " + spec + " --servers 5000 shop": "1 to 1000 servers",
		"haproxy-config blog":                                    "there is no such environment",
		"haproxy-config shop;x":                                  "is not the name of an environment",
		"haproxy-config --spec /nonexistent shop":                "no such file",
	} {
		got := command(t, env, strings.Fields(args)...)
		if got.code == 0 || got.stdout != "" || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "\n  fix: ") {
			t.Errorf("%s: code %d\n%s%s", args, got.code, got.stdout, got.stderr)
		}
	}
}
