package cli_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"viridian/store/storetest"
)

// TestReadme_WorkedSwitch does what README.md says, word for word but for the ports and the folder.
func TestReadme_WorkedSwitch(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	alone(t)
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)## A switch.*?```sh\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("README.md shows no switch")
	}
	folder := storetest.Folder(t)
	_, c := startDev(t, folder)
	script := strings.NewReplacer(".viridian/token", filepath.Join(folder, "token"), "127.0.0.1:7070", c.api, "127.0.0.1:8080", c.proxy).Replace(string(block[1]))
	out, err := exec.CommandContext(within(t), "bash", "-euc", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	colours := regexp.MustCompile(`(?m)^(blue|green)  version`).FindAllStringSubmatch(string(out), -1)
	if len(colours) != 3 || colours[0][1] != "blue" || colours[1][1] != "green" || colours[2][1] != "blue" ||
		strings.Count(string(out), `"status":"applied"`) != 2 || !strings.Contains(string(out), `"promotable":true`) {
		t.Errorf("what README.md says came to:\n%s", out)
	}
}
