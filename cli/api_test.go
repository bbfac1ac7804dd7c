package cli_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"viridian/store/pglocal"
)

// caller talks to one running viridian.
type caller struct {
	t                 *testing.T
	api, proxy, token string
	client            *http.Client
}

func newCaller(t *testing.T, api, proxy, token string) *caller {
	return &caller{t: t, api: api, proxy: proxy, token: token,
		client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}}
}

// call returns the status and the decoded answer.
func (c *caller) call(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.api+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.client.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	text := drain(answer.Body)
	var out map[string]any
	if strings.HasPrefix(text, "{") {
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return answer.StatusCode, out
}

// must is call for what has to succeed.
func (c *caller) must(method, path, body string) map[string]any {
	c.t.Helper()
	status, out := c.call(method, path, body)
	if status >= 300 {
		c.t.Fatalf("%s %s: %d %v", method, path, status, out)
	}
	return out
}

// page is what a customer of the host sees.
func (c *caller) page(host string) string {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.proxy, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Host = host
	answer, err := c.client.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	return drain(answer.Body)
}

func (c *caller) wantPage(host, want string) {
	c.t.Helper()
	if got := c.page(host); !strings.HasPrefix(got, want) {
		c.t.Fatalf("the page is %q, want %s", got, want)
	}
}

func (c *caller) awaitState(environment string, number int, want string) {
	c.t.Helper()
	path := fmt.Sprintf("/v1/environments/%s/generations/%d", environment, number)
	eventually(c.t, fmt.Sprintf("generation %d is %s", number, want), func() bool {
		return c.must(http.MethodGet, path, "")["state"] == want
	})
}

// status asks without a token.
func (c *caller) status(path string) int {
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.api+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// metrics returns the page of numbers.
func (c *caller) metrics() (int, string) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.api+"/metrics", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	answer, err := c.client.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode, drain(answer.Body)
}

// holds are what requests wait for that ask for /?hold=NAME: by name, a channel that is closed to let them go.
var holds sync.Map

// hold returns the path of a request that is answered when it is let go, at the latest with the end of the test.
func hold(t *testing.T) (path string, release func()) {
	t.Helper()
	name, wait := rand.Text(), make(chan struct{})
	holds.Store(name, wait)
	release = sync.OnceFunc(func() { close(wait) })
	t.Cleanup(release)
	return "/?hold=" + name, release
}

// instance is a backend in the test's own process, and its registration.
func instance(t *testing.T, version string) string {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ms, err := strconv.Atoi(r.URL.Query().Get("ms")); err == nil {
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		if wait, ok := holds.Load(r.URL.Query().Get("hold")); ok {
			select {
			case <-wait.(chan struct{}):
			case <-r.Context().Done():
			}
		}
		w.Write([]byte(version + "\n"))
	}))
	t.Cleanup(backend.Close)
	_, port, err := net.SplitHostPort(backend.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"version": %q, "groups": [{"service": "web", "instances": [{"id": "a", "address": "127.0.0.1", "port": %s}]}]}`, version, port)
}

const shop = `{"name": "shop", "services": [{"name": "web", "health": {"type": "http", "interval": "200ms"}}]}`

func needPostgres(t *testing.T) {
	t.Helper()
	_, err := pglocal.Find()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
