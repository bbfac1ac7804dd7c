package cli_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"viridian/store/storetest"
)

const site = "shop.localhost"

// startDev runs dev on the folder, at free ports when none are given, and waits until its customers are served.
func startDev(t *testing.T, folder string, flags ...string) (*process, *caller) {
	t.Helper()
	args := append([]string{"dev", "--data", folder, "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"}, flags...)
	p := start(t, nil, args...)
	token := p.await(`export TOKEN=(\S+)`)[1]
	c := newCaller(t, p.await(`API +(http://\S+)`)[1], p.await(`traffic +(http://\S+)`)[1], token)
	return p, c
}

// demos is held by who runs a demo and starts it again: its instances want the ports that they had.
var demos sync.Mutex

// alone keeps the ports of demos for the test until its end.
func alone(t *testing.T) {
	t.Helper()
	demos.Lock()
	t.Cleanup(demos.Unlock)
}

// TestDev is the first quarter of an hour of a newcomer.
func TestDev(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	alone(t)
	folder := storetest.Folder(t)
	p, c := startDev(t, folder)
	p.await("traffic: the customers see blue")
	c.wantPage(site, "blue  version 1.1.0  instance web-1-")
	checkTokenFile(t, folder, c.token)

	if got := c.must(http.MethodPost, "/v1/environments/shop/generations/2/promote", `{}`); got["status"] != "applied" {
		t.Fatalf("promote: %v", got)
	}
	c.wantPage(site, "green")
	if got := c.must(http.MethodPost, "/v1/environments/shop/rollback", `{"from": 2}`); got["status"] != "applied" {
		t.Fatalf("rollback: %v", got)
	}
	c.wantPage(site, "blue")

	// Word for word what dev says to try.
	text, _ := p.out.now()
	body := regexp.MustCompile(`(?s)/generations -d '(\{.*?\})'\n`).FindStringSubmatch(text)
	if body == nil {
		t.Fatal("dev does not say how to register the third build")
	}
	if got := c.must(http.MethodPost, "/v1/environments/shop/generations", body[1]); got["number"] != 3.0 {
		t.Fatalf("register: %v", got)
	}
	c.awaitState("shop", 3, "ready")
	c.must(http.MethodPost, "/v1/environments/shop/generations/3/promote", `{}`)
	c.wantPage(site, "viridian")
	p.await("the customers see viridian instead of")
	before := generations(c)

	p.interrupt()
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d after Ctrl-C", code)
	}
	wantNobody(t, folder)
	if text, _ := p.out.now(); strings.Contains(text, "a request failed") {
		t.Fatal("a customer was turned away")
	}

	p, again := startDev(t, folder)
	if again.token != c.token {
		t.Fatal("another token")
	}
	again.wantPage(site, "viridian")
	if after := generations(again); after != before {
		t.Fatalf("generations before and after:\n%s\n%s", before, after)
	}
	again.must(http.MethodPost, "/v1/environments/shop/rollback", `{"from": 3}`)
	again.wantPage(site, "blue")
	p.signal(syscall.SIGKILL)
	p.exit()
	wantNobody(t, folder)
}

func checkTokenFile(t *testing.T, folder, token string) {
	t.Helper()
	path := filepath.Join(folder, "token")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != token+"\n" || info.Mode().Perm() != 0o600 {
		t.Fatalf("token file: %q, mode %v", text, info.Mode())
	}
}

// generations is the list, without what changes by itself.
func generations(c *caller) string {
	c.t.Helper()
	var lines []string
	for _, item := range c.must(http.MethodGet, "/v1/environments/shop/generations", "")["items"].([]any) {
		g := item.(map[string]any)
		lines = append(lines, fmt.Sprint(g["number"], g["version"], g["state"], g["colour"], g["created_at"]))
	}
	return strings.Join(lines, "\n")
}

// wantNobody waits until no process uses the folder any more.
func wantNobody(t *testing.T, folder string) {
	t.Helper()
	var left []string
	defer func() {
		if len(left) > 0 {
			t.Logf("left: %q", left)
		}
	}()
	eventually(t, "no process is left", func() bool {
		left = users(t, folder)
		return len(left) == 0
	})
}

// TestDev_Empty has no environment, and the next start with the demo makes one.
func TestDev_Empty(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	folder := storetest.Folder(t)
	p, c := startDev(t, folder, "--empty")
	if items := c.must(http.MethodGet, "/v1/environments", "")["items"].([]any); len(items) != 0 {
		t.Fatalf("environments: %v", items)
	}

	second := start(t, nil, "dev", "--data", folder, "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0")
	if code := second.exit(); code != 1 {
		t.Fatalf("a second dev on the same data: exit code %d", code)
	}
	second.await("is in use by process")

	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	wantNobody(t, folder)
}

func TestDev_PortTaken(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	folder := storetest.Folder(t)
	p := start(t, nil, "dev", "--data", folder, "--listen", "127.0.0.1:0", "--proxy-listen", l.Addr().String())
	if code := p.exit(); code != 1 {
		t.Fatalf("exit code %d", code)
	}
	p.await(regexp.QuoteMeta(l.Addr().String()) + ` is in use by another program\n  fix: stop it .*--proxy-listen`)
	wantNobody(t, folder)
}
