package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/rollout/controller"
	"viridian/server"
	"viridian/store"
	"viridian/store/storetest"
)

// auditedServer is the API over a real database with some events, and the variables that lead to it.
func auditedServer(t *testing.T) (env map[string]string, s *store.Store) {
	t.Helper()
	env = map[string]string{"VIRIDIAN_DATABASE_URL": storetest.Database(t)}
	for _, name := range []string{"root", "second"} {
		made := command(t, env, "token", "create", "--name", name, "--role", "admin")
		env["VIRIDIAN_TOKEN"] = strings.TrimSpace(made.stdout)
	}
	s, err := store.Open(t.Context(), store.Options{URL: env["VIRIDIAN_DATABASE_URL"]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	contract, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	handler, err := server.New(server.Options{Store: s, OpenAPI: contract, Service: controller.NewService(controller.Options{
		Store: s, Hub: controller.NewHub(), Clock: clockwork.NewRealClock(), Failpoints: &failpoint.Set{}, CallTimeout: controller.DefaultCallTimeout})})
	if err != nil {
		t.Fatal(err)
	}
	web := server.HTTPServer(handler)
	listening := httptest.NewUnstartedServer(nil)
	listening.Config = web
	listening.Start()
	t.Cleanup(func() {
		_ = web.Shutdown(context.WithoutCancel(t.Context()))
		listening.Close()
	})
	env["VIRIDIAN_SERVER"] = listening.URL + "/"
	return env, s
}

// What is verified on the server, exported from it, and verified without it, is the same.
func TestAudit_VerifyAndExport(t *testing.T) {
	t.Parallel()
	env, _ := auditedServer(t)
	online := command(t, env, "audit", "verify")
	fields := strings.Fields(lineOf(online.stdout, "(none)"))
	if online.code != 0 || len(fields) != 4 || fields[1] != "2" || len(fields[3]) != 64 {
		t.Fatalf("%+v", online)
	}
	head := fields[3]
	if noted := command(t, env, "audit", "verify", "--head", head); noted.code != 0 || !strings.Contains(noted.stdout, head+", as noted") {
		t.Errorf("with a noted head: %+v", noted)
	}
	if lost := command(t, env, "audit", "verify", "--head", strings.Repeat("0", 64)); lost.code != 1 || !strings.Contains(lost.stderr, "was noted and is not there") {
		t.Errorf("with a head that is not there: %+v", lost)
	}
	for _, format := range []string{"ndjson", "csv"} {
		path := filepath.Join(t.TempDir(), "audit")
		if saved := command(t, env, "audit", "export", "--format", format, "--output", path); saved.code != 0 || saved.stdout != online.stdout {
			t.Fatalf("export: %+v", saved)
		}
		printed := command(t, env, "audit", "export", "--format", format)
		content, err := os.ReadFile(path)
		if err != nil || printed.code != 0 || strings.Count(printed.stdout, "\n") != strings.Count(string(content), "\n") {
			t.Errorf("to standard output: %s, %v, %+v", content, err, printed)
		}
		if offline := command(t, nil, "audit", "verify", path, "--head", head); offline.code != 0 || offline.stdout[:len(online.stdout)] != online.stdout {
			t.Errorf("%s: %+v", format, offline)
		}
		content = []byte(strings.Replace(string(content), "second", "secund", 1))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if edited := command(t, nil, "audit", "verify", path); edited.code != 1 || !strings.Contains(edited.stderr, "its content is not what was hashed") {
			t.Errorf("%s, edited: %+v", format, edited)
		}
		if err := os.WriteFile(path, content[:len(content)/2], 0o600); err != nil {
			t.Fatal(err)
		}
		if cut := command(t, nil, "audit", "verify", path); cut.code != 1 {
			t.Errorf("%s, cut: %+v", format, cut)
		}
	}
}

// An export that breaks off leaves no file behind, or says so on standard error.
func TestAudit_ExportBrokenOff(t *testing.T) {
	t.Parallel()
	cut := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"record":"export","id":1,"environment":"","position":0,"hash":""}` + "\n"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(cut.Close)
	env := map[string]string{"VIRIDIAN_SERVER": cut.URL, "VIRIDIAN_TOKEN": "vir_x"}
	dir := t.TempDir()
	for _, args := range [][]string{{"audit", "export"}, {"audit", "export", "--output", filepath.Join(dir, "audit")}} {
		if got := command(t, env, args...); got.code != 1 || !strings.Contains(got.stderr, "the export broke off") {
			t.Errorf("%v: %+v", args, got)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestAudit_Usage(t *testing.T) {
	t.Parallel()
	env, _ := auditedServer(t)
	nobody := map[string]string{"VIRIDIAN_SERVER": env["VIRIDIAN_SERVER"], "VIRIDIAN_TOKEN": "vir_x"}
	for name, c := range map[string]struct {
		env  map[string]string
		args string
		code int
		want string
	}{
		"no server":         {nil, "audit verify", 2, "VIRIDIAN_SERVER"},
		"no hash":           {env, "audit verify --head abc", 2, "64 hexadecimal digits"},
		"file and server":   {env, "audit verify --server http://x file", 2, "give one of them"},
		"two files":         {env, "audit verify a b", 2, "one by one"},
		"no file":           {nil, "audit verify /nowhere/file", 1, "viridian audit export"},
		"another file":      {nil, "audit verify run.go", 1, "neither NDJSON nor CSV"},
		"format":            {env, "audit export --format xml", 2, "ndjson or csv"},
		"no place to write": {env, "audit export --output /nowhere/file", 1, "can be written"},
		"not let in":        {nobody, "audit verify", 1, "the server refuses: the token is not known"},
		"not let out":       {nobody, "audit export", 1, "the server refuses: the token is not known"},
		"nothing there":     {env, "audit verify --environment none", 1, "there is no audit log of environment none"},
		"no Viridian":       {map[string]string{"VIRIDIAN_SERVER": "http://127.0.0.1:1", "VIRIDIAN_TOKEN": "x"}, "audit verify", 1, "look whether --server is right"},
	} {
		if got := command(t, c.env, strings.Fields(c.args)...); got.code != c.code || !strings.Contains(got.stderr, c.want) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
