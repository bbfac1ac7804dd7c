package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"viridian/cli"
	"viridian/rollout"
	"viridian/store"
)

// patience bounds each wait for the product.
const patience = 30 * time.Second

// playViridian runs the whole program with the arguments of the task. Its log goes to a file, as it would in
// production; the file also says where the API is.
func playViridian(ctx context.Context, t task, in *json.Decoder, out *json.Encoder) error {
	contract, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		return err
	}
	path := filepath.Join(t.Dir, "log")
	log, err := os.Create(path)
	if err != nil {
		return err
	}
	defer log.Close()
	stderr := os.Stderr
	os.Stderr = log
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- cli.Run(ctx, t.Args, contract, "bench"); stop() }()
	address, err := loggedAddress(ctx, path)
	if err == nil {
		err = greet(out, address)
	}
	if err == nil {
		err = awaitEnd(in)
	}
	stop()
	if code := <-ended; code != 0 && err == nil {
		err = fmt.Errorf("exit code %d", code)
	}
	if err != nil {
		text, _ := os.ReadFile(path) // as much as there is
		_, _ = stderr.Write(text)
	}
	return err
}

// loggedAddress waits for the line of the log that says where the API is.
func loggedAddress(ctx context.Context, path string) (string, error) {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		for line := range bytes.Lines(text) {
			var entry struct{ Msg, Address string }
			if json.Unmarshal(line, &entry) == nil && entry.Msg == "the API is served" {
				return entry.Address, nil
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return "", errors.New("it ended before it served")
		}
	}
}

// caller is a client of the product or of the floor that keeps its connection.
type caller struct {
	*http.Client
	base, token string
}

// switched is the part of a switch that is looked at.
type switched struct {
	Revision    int64     `json:"revision"`
	CommittedAt time.Time `json:"committed_at"`
	AppliedAt   time.Time `json:"applied_at"`
}

// do sends a request with a JSON body and decodes the answer into out unless that is nil. Any status but want is an
// error with what the answer says. took is the time from the request to the end of its answer.
func (c *caller) do(ctx context.Context, method, path, body string, want int, out any) (took time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return 0, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	begin := time.Now()
	res, err := c.Do(r)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	took = time.Since(begin)
	switch {
	case err != nil:
		return took, err
	case res.StatusCode != want:
		return took, fmt.Errorf("%s %s: %d, not %d: %s", method, path, res.StatusCode, want, text)
	case out == nil:
		return took, nil
	}
	return took, json.Unmarshal(text, out)
}

// must is do for the steps between measurements.
func (c *caller) must(t *testing.T, method, path, body string, want int, out any) {
	t.Helper()
	if _, err := c.do(t.Context(), method, path, body, want, out); err != nil {
		t.Fatal(err)
	}
}

// product is a running Viridian with the environment bench, of which generation 1 is live and 2 is ready.
type product struct {
	*caller
	stateDir string
}

func startProduct(t *testing.T, database string) *product {
	t.Helper()
	p := &product{stateDir: t.TempDir()}
	c := start(t, "viridian", "", task{Dir: t.TempDir(), Args: []string{"serve", "--database-url", database,
		"--listen", "127.0.0.1:0", "--proxy-listen", "127.0.0.1:0", "--node-name", "bench", "--state-dir", p.stateDir,
		"--log-format", "json", "--shutdown-delay", "0s", "--drain-timeout", "1s"}})
	p.caller = newCaller(t, c.Address)
	p.poll(t, "the API", func() bool {
		_, err := p.do(t.Context(), http.MethodGet, "/readyz", "", http.StatusOK, nil)
		return err == nil
	})
	p.token = adminToken(t, database)
	p.must(t, http.MethodPost, "/v1/environments", `{"name": "bench", "services": [{"name": "web",
		"health": {"type": "tcp", "interval": "500ms", "healthy_after": 1}}], "retention": {"keep_for": "24h"}}`, http.StatusCreated, nil)
	for number := 1; number <= 2; number++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go serveBackend(l)
		p.must(t, http.MethodPost, "/v1/environments/bench/generations", fmt.Sprintf(`{"version": "v%d", "groups": [{"service": "web",
			"instances": [{"id": "web-1", "address": "127.0.0.1", "port": %d}]}]}`, number, l.Addr().(*net.TCPAddr).Port), http.StatusCreated, nil)
		p.awaitReady(t, number)
	}
	p.must(t, http.MethodPost, "/v1/environments/bench/generations/1/promote", `{}`, http.StatusOK, nil)
	return p
}

// adminToken makes a token past the API, as viridian token create does.
func adminToken(t *testing.T, database string) string {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: database})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id, token, err := rollout.NewToken(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.CreateToken(t.Context(), store.NewToken{Actor: rollout.System, ID: id, Name: "bench", Role: "admin",
		Environments: []string{"*"}, Hash: rollout.TokenHash(token)}, nil); err != nil {
		t.Fatal(err)
	}
	return token
}

func newCaller(t *testing.T, address string) *caller {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{Client: &http.Client{Transport: transport, Timeout: patience}, base: "http://" + address}
}

func (p *product) awaitReady(t *testing.T, number int) {
	t.Helper()
	var raw json.RawMessage
	defer func() {
		if t.Failed() {
			t.Logf("as it was last seen: %s", raw)
		}
	}()
	p.poll(t, fmt.Sprintf("generation %d", number), func() bool {
		p.must(t, http.MethodGet, fmt.Sprintf("/v1/environments/bench/generations/%d", number), "", http.StatusOK, &raw)
		var g struct {
			State  string
			Health map[string]struct {
				Healthy, Total int
				At             time.Time
			}
			Validation struct {
				Started time.Time `json:"started_at"`
			}
		}
		if err := json.Unmarshal(raw, &g); err != nil || g.State == "failed" {
			t.Fatalf("generation %d is not what it should be (%v)", number, err)
		}
		web := g.Health["web"]
		return g.State == "ready" && web.Healthy == web.Total && web.At.After(g.Validation.Started)
	})
}

func (p *product) poll(t *testing.T, what string, done func() bool) {
	t.Helper()
	late := time.After(patience)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-late:
			t.Fatalf("%s is not ready after %s", what, patience)
		}
	}
}

// promote makes generation 2 live. The cycle that brings the next one is rollback, then revalidate.
func (p *product) promote(t *testing.T) (took, applied time.Duration) {
	t.Helper()
	return p.timed(t, "/v1/environments/bench/generations/2/promote?wait=applied", `{"reason": "bench"}`)
}

func (p *product) rollback(t *testing.T) (took, applied time.Duration) {
	t.Helper()
	return p.timed(t, "/v1/environments/bench/rollback?wait=applied", `{"from": 2, "reason": "bench"}`)
}

func (p *product) revalidate(t *testing.T) {
	t.Helper()
	p.must(t, http.MethodPost, "/v1/environments/bench/generations/2/validate", "", http.StatusAccepted, nil)
	p.awaitReady(t, 2)
}

// timed sends a command and returns how long the whole of it took, and how long after its commit it was applied, by
// the database's clock.
func (c *caller) timed(t *testing.T, path, body string) (took, applied time.Duration) {
	t.Helper()
	var s switched
	took, err := c.do(t.Context(), http.MethodPost, path, body, http.StatusOK, &s)
	if err != nil {
		t.Fatal(err)
	}
	if s.AppliedAt.IsZero() {
		t.Fatalf("%s: answered before it was applied", path)
	}
	return took, s.AppliedAt.Sub(s.CommittedAt)
}
