package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"viridian/registry/consultest"
	"viridian/store/storetest"
)

// demoInConsul waits until that Consul has every registered instance of the demo, passing.
func demoInConsul(t *testing.T, address string) {
	t.Helper()
	client, err := api.NewClient(&api.Config{Address: strings.TrimPrefix(address, "http://")})
	if err != nil {
		t.Fatal(err)
	}
	deadline, tick := time.After(60*time.Second), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for {
		entries, _, err := client.Health().Service("shop-web", "", true, nil)
		if err == nil && len(entries) == 6 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%d instances pass in Consul (%v), want the demo's 6", len(entries), err)
		}
	}
}

// TestDev_Consul: dev registers its demo in a Consul that is on PATH, in one that it is told of, and in none, each time
// with the same data, and says which.
func TestDev_Consul(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	alone(t)
	folder, bin := storetest.Folder(t), t.TempDir()
	if err := os.Symlink(consultest.Path(t), filepath.Join(bin, "consul")); err != nil {
		t.Fatal(err)
	}
	run := func(env []string, flags ...string) *process {
		t.Helper()
		return start(t, env, append([]string{"dev", "--data", folder, "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"}, flags...)...)
	}
	onPath := []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	p := run(onPath)
	own := p.await(`Consul +(http://\S+) +started from \S+/consul, and ended with this`)[1]
	demoInConsul(t, own)
	p.await("traffic: the customers see blue")
	ends(t, p)
	if c, err := api.NewClient(&api.Config{Address: strings.TrimPrefix(own, "http://")}); err == nil {
		if _, err := c.Status().Leader(); err == nil {
			t.Error("the agent runs on after dev has ended")
		}
	}
	theirs := consultest.Dev(t)
	p = run(onPath, "--consul-addr", theirs.HTTP)
	p.await(`Consul +` + theirs.HTTP + ` +yours`)
	demoInConsul(t, theirs.HTTP)
	ends(t, p)
	p = run(onPath, "--consul-addr", "none")
	p.await(`Consul +none: groups are known`)
	p.await("traffic: the customers see blue")
	ends(t, p)
}

func ends(t *testing.T, p *process) {
	t.Helper()
	p.interrupt()
	if code := p.exit(); code != 0 {
		t.Fatalf("dev ended with code %d", code)
	}
}

// TestDev_ConsulToken: where Consul asks for a token, dev says so within seconds, and takes one.
func TestDev_ConsulToken(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	alone(t)
	theirs := consultest.WithACL(t)
	run := func(flags ...string) *process {
		t.Helper()
		return start(t, nil, append([]string{"dev", "--data", storetest.Folder(t), "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0",
			"--consul-addr", theirs.HTTP}, flags...)...)
	}
	p := run()
	p.await(`the demo cannot be set up: .*Permission denied`)
	p.await(`fix: give a token that may do that, --consul-token-file=FILE`)
	if code := p.exit(); code == 0 {
		t.Error("it ended as if all were well")
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(theirs.Grant(consultest.Policy(t, "registry/consul/policy.hcl"))), 0o600); err != nil {
		t.Fatal(err)
	}
	p = run("--consul-token-file", file)
	p.await("traffic: the customers see blue")
	ends(t, p)
}
