package haproxy

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"viridian/rollout"
	"viridian/router/routertest"
)

// aSpec is a specification with whatever a spec can hold that a configuration has to be careful with.
func aSpec(t testing.TB) rollout.Spec {
	t.Helper()
	spec, err := rollout.ParseSpec([]byte(`{
		"services": [
			{"name": "web", "hosts": ["shop.example.com", "www.shop.example.com"], "health": {"type": "http", "path": "/it's/\"$HOME\"/%20%5c/{x}?a=b&c=\\;d|e",
				"expect_status": ["200-299", 404], "interval": "500ms", "timeout": "250ms", "healthy_after": 3, "unhealthy_after": 2}},
			{"name": "api"}],
		"retention": {"keep_generations": 3}}`))
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func withTCP(spec rollout.Spec) rollout.Spec {
	db := rollout.Service{Name: "db", Protocol: protocolTCP, Health: spec.Services[1].Health}
	spec.Services = append(append([]rollout.Service(nil), spec.Services...), db)
	return spec
}

// TestFragment_IsValid has HAProxy itself look at what is printed.
func TestFragment_IsValid(t *testing.T) {
	t.Parallel()
	owners := `
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend www
    bind unix@%s/www.sock
    acl is_static path_beg /static
    %s
    use_backend static if is_static
    default_backend static
backend static
    http-request return status 200
`
	dir := t.TempDir()
	environments := []Environment{{"shop", withTCP(aSpec(t))}, {"blog", aSpec(t)}}
	plain := Config{Environments: environments, Folder: dir, Socket: dir + "/a.sock", Fence: dir + "/f.sock", Listen: "127.0.0.1:9",
		Binds: map[string]string{"shop/db": "127.0.0.1:9"}}
	whole, unfenced := plain, plain
	whole.Init, unfenced.NoFence = true, true
	group, err := user.LookupGroupId(strconv.Itoa(os.Getgid()))
	if err != nil {
		t.Fatal(err)
	}
	grouped := whole
	grouped.Group = group.Name
	var rules bytes.Buffer
	bare := plain
	bare.Binds = nil
	if err := Rules(&rules, bare); err != nil {
		t.Fatal(err)
	}
	indented := strings.ReplaceAll(rules.String(), "\n", "\n    ")
	for name, c := range map[string]struct {
		config Config
		owners string
	}{
		"init":                         {whole, ""},
		"for a group":                  {grouped, ""},
		"fragment beside an own one":   {plain, fmt.Sprintf(owners, dir, "")},
		"with the rules in a frontend": {plain, fmt.Sprintf(owners, dir, indented)},
		"without a fence":              {unfenced, fmt.Sprintf(owners, dir, indented)},
	} {
		t.Run(name, func(t *testing.T) {
			var text bytes.Buffer
			if err := Fragment(&text, c.config); err != nil {
				t.Fatal(err)
			}
			args := []string{"-c", "-dW"}
			for file, content := range map[string]string{"viridian.cfg": text.String(), "own.cfg": c.owners} {
				if content == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if c.owners != "" {
				args = append(args, "-f", filepath.Join(dir, "own.cfg"))
			}
			args = append(args, "-f", filepath.Join(dir, "viridian.cfg"))
			makeFiles(t, dir, c.config)
			if out, err := exec.CommandContext(t.Context(), routertest.HAProxy(t), args...).CombinedOutput(); err != nil { // -dW: a warning is an error
				t.Errorf("HAProxy refuses it: %v\n%s\n%s", err, out, text.String())
			}
		})
	}
}

// makeFiles makes the files that HAProxy warns about when they are not there.
func makeFiles(t testing.TB, dir string, c Config) {
	t.Helper()
	names := []string{mapName}
	for _, e := range c.Environments {
		for _, svc := range e.Spec.Services {
			for slot := range slotsOf(e) {
				names = append(names, stateName(backendName(e.Name, svc.Name, slot+1)))
			}
		}
	}
	for _, name := range names {
		content := []byte("1\n")
		if name == mapName {
			content = nil
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFragment_IsDeterministic lets an owner keep what is printed under version control.
func TestFragment_IsDeterministic(t *testing.T) {
	t.Parallel()
	print := func() string {
		var text bytes.Buffer
		c := Config{Environments: []Environment{{"shop", withTCP(aSpec(t))}, {"blog", aSpec(t)}}, Binds: map[string]string{"shop/db": ":5432", "x/y": ":1"}}
		if err := Fragment(&text, c); err != nil {
			t.Fatal(err)
		}
		return text.String()
	}
	first := print()
	for range 20 {
		if print() != first {
			t.Fatal("the same environments are printed in two ways")
		}
	}
	for _, word := range []string{DefaultFolder, DefaultSocket, DefaultFence, "viridian.shop.web.6", "server-template s 1-16 ", "thread 1"} {
		if !strings.Contains(first, word) {
			t.Errorf("%q is not printed", word)
		}
	}
	if strings.Contains(first, "viridian.shop.web.7") {
		t.Error("more slots are printed than keep_generations + 3")
	}
}

// TestFragment_Group: HAProxy binds its sockets before it gives up root, so that only what is printed gives them to others.
func TestFragment_Group(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	if err := Fragment(&text, Config{Environments: []Environment{{"shop", aSpec(t)}}, Group: "haproxy"}); err != nil {
		t.Fatal(err)
	}
	if found := strings.Count(text.String(), " group haproxy mode 660 "); found != 2 {
		t.Errorf("%d sockets are given to the group:\n%s", found, text.String())
	}
}

func TestFragment_Refuses(t *testing.T) {
	t.Parallel()
	good := func() Config { return Config{Environments: []Environment{{"shop", aSpec(t)}}} }
	for name, spoil := range map[string]func(*Config){
		"no environment":          func(c *Config) { c.Environments = nil },
		"a hostile environment":   func(c *Config) { c.Environments[0].Name = "shop\n    bind :1" },
		"a hostile service":       func(c *Config) { c.Environments[0].Spec.Services[0].Name = "web\nglobal" },
		"a hostile host":          func(c *Config) { c.Environments[0].Spec.Services[0].Hosts = []string{"a b"} },
		"a hostile path":          func(c *Config) { c.Environments[0].Spec.Services[0].Health.Path = "/x\n    bind :1" },
		"a relative folder":       func(c *Config) { c.Folder = "viridian" },
		"a folder with a space":   func(c *Config) { c.Folder = "/var/lib/my maps" },
		"a socket with a newline": func(c *Config) { c.Socket = "/run/x\nglobal" },
		"a hostile group":         func(c *Config) { c.Group = "x mode 777" },
		"a hostile listener":      func(c *Config) { c.Listen = ":80 ssl crt /etc/passwd" },
		"no servers":              func(c *Config) { c.Servers = -1 },
		"tcp without a listener":  func(c *Config) { c.Environments[0].Spec = withTCP(c.Environments[0].Spec) },
		"TLS to instances":        func(c *Config) { c.Environments[0].Spec.Services[0].UpstreamTLS = true },
	} {
		c := good()
		spoil(&c)
		var out bytes.Buffer
		if err := Fragment(&out, c); err == nil || out.Len() > 0 {
			t.Errorf("%s: error %v, and %d bytes are printed", name, err, out.Len())
		}
	}
}

// TestSumOfQuestion: whatever HAProxy is printed with of a service makes another sum, and nothing else does.
func TestSumOfQuestion(t *testing.T) {
	t.Parallel()
	base := aSpec(t).Services[0]
	first := sumOfQuestion(base)
	for name, c := range map[string]struct {
		change func(*rollout.Service)
		same   bool
	}{
		"hosts":     {func(s *rollout.Service) { s.Hosts = nil }, true},
		"type":      {func(s *rollout.Service) { s.Health.Type = rollout.HealthTCP }, false},
		"path":      {func(s *rollout.Service) { s.Health.Path = "/" }, false},
		"statuses":  {func(s *rollout.Service) { s.Health.ExpectStatus = []rollout.StatusRange{{From: 200, To: 200}} }, false},
		"interval":  {func(s *rollout.Service) { s.Health.Interval = rollout.Duration(time.Minute) }, false},
		"timeout":   {func(s *rollout.Service) { s.Health.Timeout = rollout.Duration(time.Minute) }, false},
		"healthy":   {func(s *rollout.Service) { s.Health.HealthyAfter++ }, false},
		"unhealthy": {func(s *rollout.Service) { s.Health.UnhealthyAfter++ }, false},
		"protocol":  {func(s *rollout.Service) { s.Protocol = protocolTCP }, false},
	} {
		changed := base
		c.change(&changed)
		if same := sumOfQuestion(changed) == first; same != c.same {
			t.Errorf("%s: same %v, want %v", name, same, c.same)
		}
	}
}
