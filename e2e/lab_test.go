package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"viridian/client"
	"viridian/store/storetest"
)

// lab is an installation: a database, and replicas of "viridian serve" on it.
type lab struct {
	testing.TB
	dir      string
	database string // URL
	token    string // of an admin; made when the first replica is ready
	timing   timing
	routers  string // of the configuration, as YAML; empty for the builtin one alone
	consul   string // the same of Consul
}

// timing is what a proof sets of the installation's times. They are shorter than the defaults, so that a proof does
// not wait for what it does not prove.
type timing struct{ leaseTTL, poll, callTimeout, shutdownDelay time.Duration }

// newLab makes an installation on a fresh database that other tests do not use.
func newLab(t testing.TB) *lab {
	t.Helper()
	return labOn(t, storetest.Database(t))
}

func labOn(t testing.TB, database string) *lab {
	t.Helper()
	return &lab{TB: t, dir: t.TempDir(), database: database,
		timing: timing{leaseTTL: time.Second, poll: 200 * time.Millisecond, callTimeout: 3 * time.Second}}
}

// eventually waits until the condition holds, and ends the test when that takes too long.
func (l *lab) eventually(what string, holds func() bool) {
	l.Helper()
	l.soon(what, patience, holds)
}

func (l *lab) soon(what string, limit time.Duration, holds func() bool) {
	l.Helper()
	if !within(limit, holds) {
		l.Fatalf("%s: not after %v", what, limit)
	}
}

// replica is one "viridian serve" with its own name, folder and ports, over all its runs.
type replica struct {
	*lab
	*process // the present run, or the last one
	name     string
	config   string // path of viridian.yaml
	log      string
	api      string // host:port
	proxy    string // host:port
	client   *client.ClientWithResponses
}

// replica describes a replica, which start then runs.
func (l *lab) replica(name string) *replica {
	l.Helper()
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		l.Fatal(err)
	}
	r := &replica{lab: l, name: name, config: filepath.Join(dir, "viridian.yaml"), log: filepath.Join(dir, "log"),
		api: address(l), proxy: address(l)}
	text := fmt.Sprintf("database_url: %q\nlisten: %q\nproxy:\n  listen: %q\nnode_name: %s\nstate_dir: %q\n"+
		"lease_ttl: %v\npoll: %v\ncall_timeout: %v\nshutdown_delay: %v\ndrain_timeout: 2s\n",
		l.database, r.api, r.proxy, name, filepath.Join(dir, "state"), l.timing.leaseTTL, l.timing.poll, l.timing.callTimeout, l.timing.shutdownDelay)
	if err := os.WriteFile(r.config, []byte(text+l.routers+l.consul), 0o600); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		if l.Failed() {
			l.Logf("replica %s wrote at the end:\n%s", name, tail(r.log, 60))
		}
	})
	return r
}

// start runs the replica; failpoints, when not empty, are armed in this run.
func (r *replica) start(failpoints string) {
	r.Helper()
	var env []string
	if failpoints != "" {
		env = append(env, "VIRIDIAN_FAILPOINTS="+failpoints)
	}
	r.process = start(r, r.log, env, "serve", "--config", r.config)
}

// ready waits until the replica's API serves. The first time, it makes the lab's token.
func (r *replica) ready() {
	r.Helper()
	r.eventually("replica "+r.name+" is ready", func() bool {
		if r.gone() {
			r.Fatalf("replica %s ended: %v", r.name, r.cmd.ProcessState)
		}
		return r.status("/readyz") == http.StatusOK
	})
	r.connect()
}

var tokenForm = regexp.MustCompile(`vir_[A-Za-z0-9_]+`)

// connect makes the client, and the token if there is none yet.
func (r *replica) connect() {
	r.Helper()
	if r.token == "" {
		path, err := program()
		if err != nil {
			r.Fatal(err)
		}
		cmd := exec.CommandContext(r.Context(), path, "token", "create", "--config", r.config, "--name", "root", "--role", "admin")
		out, err := cmd.Output()
		if r.token = tokenForm.FindString(string(out)); err != nil || r.token == "" {
			r.Fatalf("no token: %v, printed %q", err, out)
		}
	}
	if r.client != nil {
		return
	}
	// No connection is kept: a run that is killed would leave dead ones behind, and their errors prove nothing.
	doer := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	var err error
	r.client, err = client.NewClientWithResponses("http://"+r.api, client.WithHTTPClient(doer),
		client.WithRequestEditorFn(func(_ context.Context, q *http.Request) error {
			q.Header.Set("Authorization", "Bearer "+r.token)
			return nil
		}))
	if err != nil {
		r.Fatal(err)
	}
}

// status asks the API for an operational page; 0 when there is no answer.
func (r *replica) status(path string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.api+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	res, err := quiet.Do(q)
	if err != nil {
		return 0
	}
	_ = res.Body.Close()
	return res.StatusCode
}

var quiet = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// address finds a port that stays free while its replica is between two runs: one below the range from which the
// kernel takes ports for outgoing connections and for listeners on port 0.
func address(l *lab) string {
	l.Helper()
	for range 1000 {
		a := fmt.Sprintf("127.0.0.1:%d", 10240+rand.IntN(20000))
		if listener, err := net.Listen("tcp", a); err == nil {
			_ = listener.Close()
			return a
		}
	}
	l.Fatal("no free port")
	return ""
}
