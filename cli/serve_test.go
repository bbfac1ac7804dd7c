package cli_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"viridian/store/pglocal"
	"viridian/store/storetest"
)

const database = "viridian"

// startServe runs serve with its state in the folder, and waits until both ports are open.
func startServe(t *testing.T, postgres *pglocal.Server, folder string, flags ...string) (*process, *caller) {
	t.Helper()
	env := []string{"VIRIDIAN_DATABASE_URL=" + postgres.URL(database), "VIRIDIAN_STATE_DIR=" + folder}
	p := start(t, env, append([]string{"serve", "--node-name", "n1", "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0"}, flags...)...)
	c := newCaller(t, "http://"+p.await(`msg="the API is served" address=(\S+)`)[1], "http://"+p.await(`msg="traffic is served" address=(\S+)`)[1], "")
	return p, c
}

// setUp makes a token and an environment with a live and a ready generation.
func setUp(t *testing.T, postgres *pglocal.Server, c *caller) {
	t.Helper()
	eventually(t, "the API is ready", func() bool { return c.status("/readyz") == http.StatusOK })
	c.token = strings.TrimSpace(run(t, []string{"VIRIDIAN_DATABASE_URL=" + postgres.URL(database)}, "token", "create", "--name", "root", "--role", "admin"))
	c.must(http.MethodPost, "/v1/environments", shop)
	c.must(http.MethodPost, "/v1/environments/shop/generations", instance(t, "blue"))
	c.awaitState("shop", 1, "ready")
	c.must(http.MethodPost, "/v1/environments/shop/generations/1/promote", `{}`)
	c.must(http.MethodPost, "/v1/environments/shop/generations", instance(t, "green"))
	c.awaitState("shop", 2, "ready")
	c.wantPage(site, "blue")
}

func newPostgres(t *testing.T) *pglocal.Server {
	t.Helper()
	postgres := storetest.Server(t)
	if err := postgres.CreateDatabase(within(t), database); err != nil {
		t.Fatal(err)
	}
	return postgres
}

// TestServe_WithoutPostgres: the state file is enough to serve, and what was missed is caught up with.
func TestServe_WithoutPostgres(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	postgres, folder := newPostgres(t), t.TempDir()
	p, c := startServe(t, postgres, folder, "--shutdown-delay", "0s")
	setUp(t, postgres, c)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
	postgres.Kill()

	p, again := startServe(t, postgres, folder, "--shutdown-delay", "0s")
	again.token = c.token
	again.wantPage(site, "blue")
	if ready, proxyReady := again.status("/readyz"), again.status("/readyz/proxy"); ready != 503 || proxyReady != 200 {
		t.Fatalf("without Postgres: /readyz %d, /readyz/proxy %d", ready, proxyReady)
	}
	if status, problem := again.call(http.MethodGet, "/v1/whoami", ""); status != 503 || problem["code"] != "unavailable" {
		t.Fatalf("without Postgres: %d %v", status, problem)
	}
	p.await("the database is not ready, will go on trying")
	if err := postgres.Restart(within(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the API is ready again", func() bool { return again.status("/readyz") == http.StatusOK })
	eventually(t, "generation 2 can be promoted", func() bool {
		status, _ := again.call(http.MethodPost, "/v1/environments/shop/generations/2/promote", `{}`)
		return status == http.StatusOK
	})
	again.wantPage(site, "green")
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d after SIGTERM", code)
	}
}

// TestServe_EndsInOrder: on SIGTERM every request that was begun is answered, whether its connection was kept, new,
// or is slow to be answered.
func TestServe_EndsInOrder(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	postgres := newPostgres(t)
	p, c := startServe(t, postgres, t.TempDir(), "--shutdown-delay", "300ms")
	setUp(t, postgres, c)
	var all sync.WaitGroup
	var answered atomic.Int64
	enough := make(chan struct{})
	for i := range 8 {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		all.Go(func() {
			defer client.CloseIdleConnections()
			for {
				status, err := get(client, c.proxy, "/")
				if errors.Is(err, syscall.ECONNREFUSED) {
					return
				}
				if err != nil || status != http.StatusOK {
					t.Errorf("a request was lost: %d %v", status, err)
					return
				}
				if answered.Add(1) == 1000 {
					close(enough)
				}
			}
		})
	}
	all.Go(func() {
		client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
		if status, err := get(client, c.proxy, "/?ms=1500"); err != nil || status != http.StatusOK {
			t.Errorf("the slow request: %d %v", status, err)
		}
	})
	<-enough
	p.signal(syscall.SIGTERM)
	eventually(t, "/readyz/proxy fails", func() bool { return c.status("/readyz/proxy") != http.StatusOK })
	if code := p.exit(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	all.Wait()
}

func get(client *http.Client, base, path string) (int, error) {
	request, err := http.NewRequest(http.MethodGet, base+path, nil)
	if err != nil {
		return 0, err
	}
	request.Host = site
	answer, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	drain(answer.Body)
	return answer.StatusCode, nil
}

// TestServe_SaysWhatIsWrong: what cannot work ends the process before it does harm.
func TestServe_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	common := []string{"serve", "--node-name", "n1", "--database-url", "postgres://nobody@127.0.0.1:1/none", "--listen", "127.0.0.1:0"}
	for want, more := range map[string][]string{
		`the state folder \S+ cannot be written.*\n  fix: let user \d+ write it, or choose another one with state_dir`: {"--state-dir", file + "/state", "--proxy-listen", "127.0.0.1:0"},
		`is in use by another program\n  fix: stop it .* proxy.listen`:                                                 {"--state-dir", t.TempDir(), "--proxy-listen", l.Addr().String()},
	} {
		p := start(t, nil, append(common[:len(common):len(common)], more...)...)
		if code := p.exit(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		p.await(want)
	}
	p := start(t, []string{"VIRIDIAN_FAILPOINTS=nonsense"}, append(common[:len(common):len(common)], "--state-dir", t.TempDir(), "--proxy-listen", "127.0.0.1:0")...)
	if code := p.exit(); code != 2 {
		t.Errorf("bad failpoints: exit code %d", code)
	}
	armed := start(t, []string{"VIRIDIAN_FAILPOINTS=lease.claimed=error"}, append(common[:len(common):len(common)], "--state-dir", t.TempDir(), "--proxy-listen", "127.0.0.1:0")...)
	armed.await("FAILPOINTS ARE ARMED")
	armed.signal(syscall.SIGTERM)
	if code := armed.exit(); code != 0 {
		t.Errorf("SIGTERM while the database is away: exit code %d", code)
	}
}

// TestServe_MigratesByAnotherRole: the schema is its owner's, and the service's own role is given what it needs.
func TestServe_MigratesByAnotherRole(t *testing.T) {
	t.Parallel()
	needPostgres(t)
	const role = "viridian_serve_only"
	owner := storetest.EmptyDatabase(t)
	conn, err := pgx.Connect(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := conn.Exec(ctx, "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
		conn.Close(ctx)
	})
	service, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	service.User = url.User(role)
	p := start(t, []string{"VIRIDIAN_DATABASE_URL=" + service.String(), "VIRIDIAN_MIGRATE_DATABASE_URL=" + owner, "VIRIDIAN_STATE_DIR=" + t.TempDir()},
		"serve", "--node-name", "n1", "--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0", "--shutdown-delay", "0s")
	c := newCaller(t, "http://"+p.await(`msg="the API is served" address=(\S+)`)[1], "", "")
	eventually(t, "the API is ready", func() bool { return c.status("/readyz") == http.StatusOK })
	c.token = strings.TrimSpace(run(t, []string{"VIRIDIAN_DATABASE_URL=" + service.String()}, "token", "create", "--name", "root", "--role", "admin"))
	c.must(http.MethodPost, "/v1/environments", shop)
	c.must(http.MethodPost, "/v1/environments/shop/generations", instance(t, "blue"))
	c.awaitState("shop", 1, "ready")
	c.must(http.MethodPost, "/v1/environments/shop/generations/1/promote", `{}`)
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
