package consul_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"viridian/registry/consultest"
	"viridian/rollout"
)

// TestGuide_ExamplesFit: Consul takes the service that the guide gives, and the guide's filter finds it.
func TestGuide_ExamplesFit(t *testing.T) {
	t.Parallel()
	agent := consultest.Dev(t)
	guide := consultest.Policy(t, "registry/consul/GUIDE.md")
	_, example, ok := strings.Cut(guide, "```hcl\nservice {")
	if !ok {
		t.Fatal("the guide has no service")
	}
	example, _, _ = strings.Cut(example, "```")
	path := filepath.Join(t.TempDir(), "web.hcl")
	if err := os.WriteFile(path, []byte("service {"+example), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), consultest.Path(t), "services", "register", "-http-addr="+agent.HTTP, path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	const filter = `Service.Meta.build == \"1812\"`
	if strings.Count(guide, filter) < 2 {
		t.Errorf("the guide does not filter by %s", filter)
	}
	r := registryOn(t, agent, "", "")
	awaitFound(t, r, rollout.Adoption{Service: "web", Filter: strings.ReplaceAll(filter, `\"`, `"`)}, 0, 1)
}
