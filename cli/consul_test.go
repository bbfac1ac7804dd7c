package cli

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	consulapi "github.com/hashicorp/consul/api"
)

func TestConsul_Mistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"consul: {address: nowhere}\n":                              "consul.address nowhere (viridian.yaml line 3): not HOST:PORT",
		"consul: {address: \"ftp://h:1\"}\n":                        "not HOST:PORT",
		"consul: {address: \"unix://consul.sock\"}\n":               "not HOST:PORT",
		"consul: {address: \"h:1\", tokn: x}\n":                     "unknown key consul.tokn",
		"consul: {address: \"http://me:hidden@h:1\"}\n":             "a token goes into consul.token_file",
		"consul: {address: \"h:1\", timeout: 1h}\n":                 "consul.timeout 1h (viridian.yaml line 3): out of range",
		"consul: {address: \"h:1\", token_file: /nowhere/t}\n":      "consul.token_file: open /nowhere/t: no such file",
		"consul: {address: \"h:1\", token_file: /dev/null}\n":       "/dev/null does not hold one token",
		"consul: {address: \"https://h:1\", tls: {ca_file: /no}}\n": "consul.tls.ca_file: open /no: no such file",
		"consul: {address: \"https://h:1\", tls: {key_file: k}}\n":  "are only of use together",
		"consul: {address: \"h:1\", tls: {server_name: n}}\n":       "consul.tls counts only where consul.address begins with https://",
		"consul: {namespace: team}\n":                               "settings of consul without consul.address",
	} {
		got := command(t, nil, "config", "check", "--config", file(t, enough+text))
		if got.code != 2 || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "\n  fix: ") {
			t.Errorf("%q: code %d, want %q in\n%s", text, got.code, want, got.stderr)
		}
		if strings.Contains(got.stderr+got.stdout, "hidden") {
			t.Errorf("%q: the password is shown", text)
		}
	}
	for _, address := range []string{"127.0.0.1:8500", "http://consul:8500", "https://consul:8501/proxied", "unix:///run/consul.sock"} {
		if got := command(t, nil, "config", "check", "--config", file(t, enough+"consul: {address: \""+address+"\", datacenter: dc2}\n")); got.code != 0 {
			t.Errorf("%s: %s", address, got.stderr)
		}
	}
}

// asked is what a request to Consul said.
type asked struct{ path, token, namespace, datacenter string }

// pretendConsul answers every request with an empty list, and tells what it was asked. A request with an index waits.
func pretendConsul(t *testing.T) (address string, requests chan asked) {
	t.Helper()
	requests = make(chan asked, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests <- asked{r.URL.Path, r.Header.Get("X-Consul-Token"), r.URL.Query().Get("ns"), r.URL.Query().Get("dc")}
		if r.URL.Query().Get("index") != "" {
			<-r.Context().Done()
			return
		}
		_, _ = w.Write([]byte("[]"))
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func TestConsul_EveryRequestHasTokenPlaceAndDeadline(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "of-somebody-else")
	t.Setenv("CONSUL_NAMESPACE", "of-somebody-else")
	address, requests := pretendConsul(t)
	path := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	c := consulConfig{Address: address + "/prefix/", TokenFile: path, Datacenter: "dc2", Timeout: 10 * time.Second}
	client, err := c.client()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(token, namespace string) {
		t.Helper()
		if _, _, err := client.Health().Node("n", nil); err != nil {
			t.Fatal(err)
		}
		if got, want := <-requests, (asked{"/prefix/v1/health/node/n", token, namespace, "dc2"}); got != want {
			t.Errorf("asked %+v, want %+v", got, want)
		}
	}
	ask("first", "")
	write("second") // as when it was rotated
	ask("second", "")
	c.TokenFile, c.Namespace, c.Timeout = "", "team", 50*time.Millisecond
	if client, err = c.client(); err != nil {
		t.Fatal(err)
	}
	ask("", "team")
	_, _, err = client.Health().Node("n", &consulapi.QueryOptions{WaitIndex: 7, WaitTime: 32 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "no answer within 84ms") {
		t.Errorf("a request that is never answered ends with %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err = client.Health().Node("n", (&consulapi.QueryOptions{}).WithContext(ctx)); !errors.Is(err, context.Canceled) {
		t.Errorf("a request of an ended context ends with %v", err)
	}
}
