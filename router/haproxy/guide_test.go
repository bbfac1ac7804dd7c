package haproxy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"viridian/router/routertest"
)

var configBlock = regexp.MustCompile("(?s)```haproxy\n(.*?)```")

// TestGuide does what GUIDE.md says, word for word, and has HAProxy check it.
func TestGuide(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("GUIDE.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := configBlock.FindAllStringSubmatch(string(guide), -1)
	if len(blocks) != 2 {
		t.Fatalf("the guide has %d pieces of configuration", len(blocks))
	}
	dir := t.TempDir()
	certificate(t, dir)
	c := Config{Environments: []Environment{{"shop", aSpec(t)}}, Folder: dir, Socket: dir + "/viridian.sock", Fence: dir + "/viridian-fence.sock"}
	var fragment, rules bytes.Buffer
	if err := Fragment(&fragment, c); err != nil {
		t.Fatal(err)
	}
	if err := Rules(&rules, c); err != nil {
		t.Fatal(err)
	}
	here := "    # the rules go here\n"
	if !strings.Contains(blocks[0][1], here) {
		t.Fatal("the guide does not say where the rules go")
	}
	own := strings.Replace(blocks[0][1], here, rules.String(), 1) + strings.NewReplacer("/etc/haproxy/node.pem", dir+"/pair.pem",
		"/etc/haproxy/viridian-ca.pem", dir+"/cert.pem", "/run/haproxy/", dir+"/").Replace(blocks[1][1])
	makeFiles(t, dir, c)
	for name, text := range map[string]string{"haproxy.cfg": own, "viridian.cfg": fragment.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), routertest.HAProxy(t), "-c", "-dW", "-f", dir+"/haproxy.cfg", "-f", dir+"/viridian.cfg").CombinedOutput()
	if err != nil {
		t.Errorf("HAProxy refuses it: %v\n%s", err, out)
	}
	for _, fact := range []string{DefaultFolder, DefaultSocket, DefaultFence, PreviewHeader, "16 unless", "12 s", "+ 3"} {
		if !strings.Contains(string(guide), fact) {
			t.Errorf("the guide does not say %q", fact)
		}
	}
}
