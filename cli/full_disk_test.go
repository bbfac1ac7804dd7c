package cli_test

import (
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"viridian/router/routertest"
)

// TestServe_FullDisk: with not one byte left for its state, serve comes up on what is there, keeps the folder to itself,
// and goes on when there is room again.
func TestServe_FullDisk(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	postgres, folder := newPostgres(t), routertest.SmallDisk(t)
	p, c := startServe(t, postgres, folder, "--shutdown-delay", "0s")
	setUp(t, postgres, c)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if err := os.Remove(filepath.Join(folder, "serve.pid")); err != nil {
		t.Fatal(err)
	}
	free := routertest.FillDisk(t, folder)
	p, again := startServe(t, postgres, folder, "--shutdown-delay", "0s")
	p.await("the file with the id of this process cannot be written")
	again.token = c.token
	again.wantPage(site, "blue")
	eventually(t, "the API is ready", func() bool { return again.status("/readyz") == http.StatusOK })
	if second := start(t, nil, "serve", "--node-name", "n1", "--database-url", "postgres://nobody@127.0.0.1:1/none", "--state-dir", folder,
		"--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"); second.exit() != 1 {
		t.Error("two processes have a full state folder")
	}
	free()
	again.promotes(2)
	again.wantPage(site, "green")
}
