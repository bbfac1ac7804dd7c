package cli_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestServe_RereadsItsConfiguration needs no database: serve waits for one.
func TestServe_RereadsItsConfiguration(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "viridian.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("database_url: postgres://nobody@127.0.0.1:1/none\nnode_name: n1\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("log:\n  level: info\n")
	p := start(t, nil, "serve", "--config", path, "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0",
		"--state-dir", t.TempDir(), "--shutdown-delay", "0s")
	p.await(`msg="traffic is served"`)
	p.await(`msg="the API is served"`)
	write("log:\n  level: error\npoll: fast\n")
	p.signal(syscall.SIGHUP)
	p.await(`msg="configuration not taken, the former one stays".*poll`)
	write("log:\n  level: debug\npoll: 2s\n")
	p.signal(syscall.SIGHUP)
	p.await(`msg="configuration reread: a setting changed that needs a restart" setting=poll`)
	p.await(`msg="configuration reread: the log level changed" level=debug`)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
