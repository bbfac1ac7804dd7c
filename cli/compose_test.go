package cli_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what the test needs of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image       string
		Command     []string
		Environment map[string]string
		Ports       []string
		Volumes     []string
		Healthcheck struct{ Test []string }
	}
}

// composeWorld is where the containers' names, ports and paths are on this machine.
type composeWorld struct{ names []string }

func (w *composeWorld) is(there, here string) { w.names = append(w.names, there, here) }

func (w *composeWorld) here(text string) string { return strings.NewReplacer(w.names...).Replace(text) }

// TestCompose runs the commands of docker-compose.yml, with their environment, as plain processes, and then does what
// the comment at its top says to do.
func TestCompose(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	compose, lines := readCompose(t)
	postgres := newPostgres(t)
	here := &composeWorld{}
	here.is("postgres://viridian:viridian@postgres:5432/viridian?sslmode=disable", postgres.URL(database))
	here.is("/var/lib/viridian", t.TempDir())
	ephemeral := strings.NewReplacer(":7070", "127.0.0.1:0", ":8080", "127.0.0.1:0", ":9000", "127.0.0.1:0")

	run := func(service string) *process {
		s := compose.Services[service]
		var env, args []string
		for name, value := range s.Environment {
			if strings.HasSuffix(name, "LISTEN") {
				value = ephemeral.Replace(value)
			}
			env = append(env, name+"="+here.here(value))
		}
		for _, arg := range s.Command {
			args = append(args, ephemeral.Replace(arg))
		}
		return start(t, env, args...)
	}
	for _, app := range []string{"blue", "green"} {
		address := run(app).await(`demo app 1\.\d\.0 listens on (\S+)`)[1]
		host, port, _ := strings.Cut(address, ":")
		here.is(fmt.Sprintf(`"address": %q, "port": 9000`, app), fmt.Sprintf(`"address": %q, "port": %s`, host, port))
		health(t, compose.Services[app].Healthcheck.Test, "127.0.0.1:9000", address)
	}
	viridian := run("viridian")
	api, proxy := viridian.await(`"the API is served","address":"([^"]+)"`)[1], viridian.await(`"traffic is served","address":"([^"]+)"`)[1]
	eventually(t, "viridian is healthy", func() bool {
		return tryHealth(t, compose.Services["viridian"].Healthcheck.Test, "127.0.0.1:7070", api) == nil
	})

	token := runIn(t, here, compose.Services["viridian"].Environment, lines["token create"])
	c := newCaller(t, "http://"+api, "http://"+proxy, token)
	c.must(http.MethodPost, "/v1/environments", here.here(lines["v1/environments -d"]))
	for number, version := range []string{"1.1.0", "1.2.0"} {
		c.must(http.MethodPost, "/v1/environments/shop/generations", here.here(lines[version]))
		c.awaitState("shop", number+1, map[int]string{0: "live", 1: "ready"}[number])
	}
	c.wantPage(site, "blue  version 1.1.0  instance blue")
	c.must(http.MethodPost, "/v1/environments/shop/generations/2/promote", lines["promote"])
	c.wantPage(site, "green  version 1.2.0  instance green")
	c.must(http.MethodPost, "/v1/environments/shop/rollback", lines["rollback"])
	c.wantPage(site, "blue")
	viridian.signal(syscall.SIGTERM)
	if code := viridian.exit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
}

// readCompose reads the file and the commands of its comment: the body of each call by a word that is in it or in its
// path, and the arguments of "token create".
func readCompose(t *testing.T) (composeFile, map[string]string) {
	t.Helper()
	raw, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`\$\{\w+:-(\w+)\}`).ReplaceAllString(string(raw), "$1")
	var compose composeFile
	if err := yaml.Unmarshal([]byte(text), &compose); err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(text, "\nname:")
	comment = strings.ReplaceAll(comment, "\n#", "\n")
	lines := map[string]string{}
	for _, call := range regexp.MustCompile(`(?s)api (?:-X POST )?127\.0\.0\.1:7070/(\S+) -d '(.*?)'`).FindAllStringSubmatch(comment, -1) {
		for _, key := range []string{"1.1.0", "1.2.0", "promote", "rollback", "v1/environments -d"} {
			if strings.Contains(call[1]+" -d", key) || strings.Contains(call[2], `"version": "`+key) {
				lines[key] = call[2]
			}
		}
	}
	if m := regexp.MustCompile(`exec -T viridian viridian (token create [^)]*)\)`).FindStringSubmatch(comment); m != nil {
		lines["token create"] = m[1]
	}
	if len(lines) != 6 {
		t.Fatalf("the comment of docker-compose.yml has other commands than expected: %v", lines)
	}
	return compose, lines
}

// health runs a health check of the file against the address that stands for the container's.
func health(t *testing.T, test []string, there, address string) {
	t.Helper()
	if err := tryHealth(t, test, there, address); err != nil {
		t.Fatal(err)
	}
}

func tryHealth(t *testing.T, test []string, there, address string) error {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	if len(test) < 2 || test[0] != "CMD" || test[1] != "/usr/local/bin/viridian" {
		t.Fatalf("health check %q", test)
	}
	var args []string
	for _, arg := range test[2:] {
		args = append(args, strings.ReplaceAll(arg, there, address))
	}
	return exec.CommandContext(t.Context(), path, args...).Run()
}

func runIn(t *testing.T, here *composeWorld, environment map[string]string, args string) string {
	t.Helper()
	var env []string
	for name, value := range environment {
		env = append(env, name+"="+here.here(value))
	}
	return strings.TrimSpace(run(t, env, strings.Fields(args)...))
}

// TestCompose_FitsTheImage: what the file names is where the Dockerfile puts it.
func TestCompose_FitsTheImage(t *testing.T) {
	t.Parallel()
	compose, _ := readCompose(t)
	raw, err := os.ReadFile(filepath.Join("..", "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	image := string(raw)
	for _, want := range []string{
		`ENTRYPOINT ["` + compose.Services["viridian"].Healthcheck.Test[1] + `"]`,
		" " + compose.Services["viridian"].Environment["VIRIDIAN_STATE_DIR"] + "\n", "USER 65532", "CGO_ENABLED=0", "EXPOSE 7070 8080",
	} {
		if !strings.Contains(image, want) {
			t.Errorf("the Dockerfile lacks %q", want)
		}
	}
	if got := compose.Services["viridian"].Volumes; len(got) != 1 || got[0] != "state:/var/lib/viridian" {
		t.Errorf("volumes %q", got)
	}
	mod, err := os.ReadFile(filepath.Join("..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(mod))[1]
	if !strings.Contains(image, "FROM golang:"+wanted+"-bookworm") {
		t.Errorf("the Dockerfile does not build with Go %s", wanted)
	}
}
