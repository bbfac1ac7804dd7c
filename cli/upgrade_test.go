package cli_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"viridian/store/pglocal"
)

// upgrading is a serve that is replaced by new processes, as an installation does it: the program is found by a
// symbolic link.
type upgrading struct {
	*process // the first one; the others write to its output
	*caller
	folder, link string
}

func startUpgrading(t *testing.T, postgres *pglocal.Server) *upgrading {
	t.Helper()
	return startUpgradingIn(t, postgres, t.TempDir())
}

// startUpgradingIn is startUpgrading with that state folder.
func startUpgradingIn(t *testing.T, postgres *pglocal.Server, folder string) *upgrading {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	u := &upgrading{folder: folder, link: filepath.Join(t.TempDir(), "viridian")}
	u.become(t, path)
	// A file that the first process has put aside already is no reason not to take over from it.
	if err := os.WriteFile(filepath.Join(u.folder, "gone.json.bad"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"VIRIDIAN_DATABASE_URL=" + postgres.URL(database), "VIRIDIAN_STATE_DIR=" + u.folder}
	u.process = startProgram(t, u.link, env, "serve", "--node-name", "n1", "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0",
		"--shutdown-delay", "0s", "--drain-timeout", "20s", "--poll", "200ms")
	u.caller = newCaller(t, "http://"+u.await(`msg="the API is served" address=(\S+)`)[1], "http://"+u.await(`msg="traffic is served" address=(\S+)`)[1], "")
	setUp(t, postgres, u.caller)
	return u
}

// become makes the link lead to another program.
func (u *upgrading) become(t *testing.T, program string) {
	t.Helper()
	if err := os.Symlink(program, u.link+".new"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(u.link+".new", u.link); err != nil {
		t.Fatal(err)
	}
}

// pid is the process that the state folder belongs to.
func (u *upgrading) pid() int {
	text, err := os.ReadFile(filepath.Join(u.folder, "serve.pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

// upgrade asks the present process for a successor.
func (u *upgrading) upgrade() {
	u.process.t.Helper()
	if err := syscall.Kill(u.pid(), syscall.SIGUSR2); err != nil {
		u.process.t.Fatal(err)
	}
}

func TestServe_Upgrade(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	u := startUpgrading(t, newPostgres(t))
	slow := make(chan string, 1)
	client := &http.Client{Timeout: patience}
	path, release := hold(t)
	go func() {
		status, err := get(client, u.proxy, path)
		slow <- fmt.Sprint(status, err)
	}()
	late, err := net.Dial("tcp", strings.TrimPrefix(u.proxy, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	lateSince := time.Now()
	_, _ = fmt.Fprintf(late, "GET / HTTP/1.1\r\nHost: %s\r\n", site) // its end comes when the route has changed
	eventually(t, "the slow request is under way", func() bool { return u.openOn(1) == 1 })
	u.upgrade()
	taken := u.await(`msg="taken over: this process serves" from=(\d+)`)
	if first := strconv.Itoa(u.cmd.Process.Pid); taken[1] != first {
		t.Errorf("taken over from process %s, want %s", taken[1], first)
	}
	if u.pid() == u.cmd.Process.Pid {
		t.Error("the state folder still belongs to the first process")
	}
	second := u.pid()
	u.upgrade() // too early: it waits
	u.await("upgrading when the process before this one has ended")
	u.promotes(2)
	u.wantPage(site, "green")
	_, _ = fmt.Fprint(late, "Connection: close\r\n\r\n")
	const headTime = 5 * time.Second // that a request's head may take
	if text := drain(late); !strings.HasSuffix(text, "green\n") && (text != "" || time.Since(lateSince) < headTime) {
		t.Errorf("a request that the first process read is answered from before the flip: %q, %v after its begin", text, time.Since(lateSince))
	}
	if sw := u.must(http.MethodGet, "/v1/environments/shop/switches/2?wait=drained&timeout=200ms", ""); sw["drained_at"] != nil {
		t.Errorf("switch 2 counts as drained while the first process has a request open: %v", sw)
	}
	release()
	if got := <-slow; got != "200 <nil>" {
		t.Errorf("a request of before the upgrade: %s", got)
	}
	if code := u.exit(); code != 0 {
		t.Errorf("the first process ends with %d", code)
	}
	eventually(t, "switch 2 is drained", func() bool {
		return u.must(http.MethodGet, "/v1/environments/shop/switches/2", "")["drained_at"] != nil
	})
	if events := u.must(http.MethodGet, "/v1/events?kind=node.removed", "")["items"].([]any); len(events) != 0 {
		t.Errorf("the node was signed off: %v", events)
	}

	eventually(t, "a third process serves", func() bool { return u.pid() != second && u.pid() != 0 })
	eventually(t, "the second process is gone", func() bool { return syscall.Kill(second, 0) != nil })
	u.wantPage(site, "green")
	third := u.pid()
	_ = syscall.Kill(third, syscall.SIGTERM)
	eventually(t, "the third process is gone", func() bool { return syscall.Kill(third, 0) != nil })
	if _, err := get(client, u.proxy, "/"); err == nil {
		t.Error("after the last process somebody still serves")
	}
}

// openOn counts what is open on a generation, by the receipts.
func (u *upgrading) openOn(generation int) int {
	status, text := u.metrics()
	if status != http.StatusOK {
		return 0
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "viridian_proxy_in_flight") && strings.Contains(line, fmt.Sprintf("generation=%q", strconv.Itoa(generation))) {
			n, _ := strconv.Atoi(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]))
			return n
		}
	}
	return 0
}

// promotes promotes the generation as soon as nothing is in the way.
func (c *caller) promotes(generation int) {
	c.t.Helper()
	path := fmt.Sprintf("/v1/environments/shop/generations/%d/promote", generation)
	var status int
	var answer map[string]any
	eventually(c.t, fmt.Sprintf("generation %d is promoted", generation), func() bool {
		status, answer = c.call(http.MethodPost, path, `{}`)
		if status >= 500 {
			c.t.Fatalf("promote: %d %v", status, answer)
		}
		return status == http.StatusOK
	})
}

func TestServe_UpgradeFails(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	postgres := newPostgres(t)
	u := startUpgrading(t, postgres)
	first := u.pid()
	good, _ := binary()
	goesOn := func(why string, number, want int) {
		t.Helper()
		u.await(`(?s)(msg="the upgrade has failed, this process goes on".*){` + strconv.Itoa(number) + `}`)
		if u.pid() != first {
			t.Fatalf("%s: the state folder belongs to process %d, want %d", why, u.pid(), first)
		}
		u.wantPage(site, map[int]string{1: "blue", 2: "green"}[want])
	}

	// A program that ends at once.
	u.become(t, "/bin/false")
	u.upgrade()
	goesOn("a program that fails", 1, 1)
	// No program at all.
	u.become(t, filepath.Join(u.folder, "nothing"))
	u.upgrade()
	goesOn("no program", 2, 1)
	u.promotes(2)
	u.wantPage(site, "green")

	// One that fails after it was given the state files.
	u.become(t, good)
	path := filepath.Join(u.folder, "shop.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.upgrade()
	goesOn("a bad state file", 3, 2)
	u.await("1 state files cannot be read")
	eventually(t, "the state file is whole again", func() bool { text, err := os.ReadFile(path); return err == nil && len(text) > 100 })
	u.must(http.MethodPost, "/v1/environments/shop/rollback", `{"from": 2}`)
	u.wantPage(site, "blue")

	// One that finds the schema half migrated: the message has the command that repairs it.
	conn, err := pgx.Connect(t.Context(), postgres.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(within(t))
	if _, err := conn.Exec(t.Context(), "UPDATE schema_migrations SET dirty = true"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	u.upgrade()
	goesOn("a dirty schema", 4, 1)
	u.await(`viridian migrate force`)
	if took := time.Since(began); took > patience/2 {
		t.Errorf("a dirty schema was waited for: %v", took)
	}
	if _, err := conn.Exec(t.Context(), "UPDATE schema_migrations SET dirty = false"); err != nil {
		t.Fatal(err)
	}
	u.upgrade()
	eventually(t, "a new process serves", func() bool { return u.pid() != first && u.pid() != 0 })
	u.await("taken over: this process serves")
	u.wantPage(site, "blue")
}

// TestServe_OneOfAStateFolder: two processes that write the same files would undo each other's routes.
func TestServe_OneOfAStateFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	flags := []string{"serve", "--node-name", "n1", "--database-url", "postgres://nobody@127.0.0.1:1/none", "--state-dir", folder,
		"--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0", "--shutdown-delay", "0s"}
	first := start(t, nil, flags...)
	first.await("the API is served")
	second := start(t, nil, flags...)
	if code := second.exit(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	second.await(fmt.Sprintf(`the state folder %s belongs to process %d\n  fix: `, folder, first.cmd.Process.Pid))
}

// TestServe_EndsDuringAnUpgrade: who is told to end leaves nobody behind, however far the new process has come.
func TestServe_EndsDuringAnUpgrade(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	u := startUpgrading(t, newPostgres(t))
	u.upgrade()
	u.await("upgrading: a new process gets ready to take over")
	_ = syscall.Kill(-u.cmd.Process.Pid, syscall.SIGTERM) // as systemd does, to all that are there
	if code := u.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	eventually(t, "no process is left", func() bool { return len(users(t, u.link)) == 0 })
	if conn, err := net.Dial("tcp", strings.TrimPrefix(u.proxy, "http://")); err == nil {
		_ = conn.Close()
		t.Error("somebody still listens")
	}
}
