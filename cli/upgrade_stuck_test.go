package cli_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"viridian/router/routertest"
)

// sealsAndHangs is a program that asks the process before it to lay down its duties, and then does nothing: it tells so
// by its process id.
const sealsAndHangs = `#!/bin/sh
printf '{"method":"Handover.Seal","params":[false],"id":0}\n' >&3
read -r answer <&3
echo "the successor $$ hangs"
exec sleep 600
`

// TestServe_UpgradeHangs: between the two steps of a hand-over nobody follows routes on the node. A new process that
// stays there is ended while the node still counts, so that no switch is applied without it, and a rollback waits for
// moments only.
func TestServe_UpgradeHangs(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	postgres := newPostgres(t)
	u := startUpgrading(t, postgres)
	start(t, []string{"VIRIDIAN_DATABASE_URL=" + postgres.URL(database), "VIRIDIAN_STATE_DIR=" + t.TempDir()}, // decides while the other does nothing
		"serve", "--node-name", "n2", "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0", "--shutdown-delay", "0s").await("the database is ready")
	first := u.pid()
	good, _ := binary()
	u.promotes(2)
	hangs := filepath.Join(t.TempDir(), "hangs")
	if err := os.WriteFile(hangs, []byte(sealsAndHangs), 0o700); err != nil {
		t.Fatal(err)
	}
	u.become(t, hangs)
	u.upgrade()
	successor := u.await(`the successor (\d+) hangs`)[1]
	sw := u.must(http.MethodPost, "/v1/environments/shop/rollback?timeout=50s", `{"from": 2}`)
	if sw["status"] != "applied" || sw["degraded"] != false {
		t.Errorf("a rollback while the new process hangs: %v", sw)
	}
	u.wantPage(site, "blue")
	u.await("the upgrade has failed, this process goes on.*it took too long")
	if _, err := os.Stat("/proc/" + successor); err == nil {
		t.Errorf("process %s hangs on", successor)
	}
	if u.pid() != first {
		t.Errorf("the state folder belongs to process %d, want %d", u.pid(), first)
	}

	// The next one takes over as if nothing had been.
	u.become(t, good)
	u.upgrade()
	eventually(t, "a new process serves", func() bool { return u.pid() != first && u.pid() != 0 })
	u.await("taken over: this process serves")
	u.wantPage(site, "blue")
}

// TestServe_UpgradeOnFullDisk: a process that cannot leave true state files behind goes on, and keeps the folder to
// itself.
func TestServe_UpgradeOnFullDisk(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	folder := routertest.SmallDisk(t)
	u := startUpgradingIn(t, newPostgres(t), folder)
	first := u.pid()
	free := routertest.FillDisk(t, folder)
	if status, sw := u.call(http.MethodPost, "/v1/environments/shop/generations/2/promote?timeout=50ms", `{}`); status != http.StatusAccepted {
		t.Fatalf("a promote on a full disk: %d %v", status, sw)
	}
	eventually(t, "the traffic has moved", func() bool { return strings.HasPrefix(u.page(site), "green") })
	u.upgrade()
	u.await("the upgrade has failed, this process goes on")
	text, _ := u.out.now()
	for _, wrong := range []string{"the state folder is not this process's any more", "belongs to process " + fmt.Sprint(first)} {
		if strings.Contains(text, wrong) {
			t.Errorf("it says: %s", wrong)
		}
	}
	if second := start(t, nil, "serve", "--node-name", "n1", "--database-url", "postgres://nobody@127.0.0.1:1/none", "--state-dir", folder,
		"--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"); second.exit() != 1 {
		t.Error("two processes have a full state folder")
	}
	free()
	eventually(t, "the promote is applied", func() bool {
		return u.must(http.MethodGet, "/v1/environments/shop/switches/2", "")["status"] == "applied"
	})
	u.upgrade()
	eventually(t, "a new process serves", func() bool { return u.pid() != first && u.pid() != 0 })
	eventually(t, "the first process is gone", func() bool { return syscall.Kill(first, 0) != nil })
	u.wantPage(site, "green")
}
