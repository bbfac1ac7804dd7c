package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// agentOf is a Consul that answers every request by the function, with what there is at a key.
func agentOf(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return s.URL
}

func clientOf(t *testing.T, settings map[string]string) *consul.Client {
	t.Helper()
	c, err := consulClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A token that is written anew into its file is the next request's, and no other source of tokens counts.
func TestConsulClient_Token(t *testing.T) {
	t.Setenv("CONSUL_HTTP_TOKEN", "of-the-environment")
	got := make(chan string, 10)
	address := agentOf(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("X-Consul-Token")
		w.WriteHeader(http.StatusNotFound)
	})
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	with, without := clientOf(t, map[string]string{"address": address, "token_file": file}), clientOf(t, map[string]string{"address": address})
	for _, ask := range []func(){
		func() {}, func() { _ = os.WriteFile(file, []byte("two"), 0o600) }, func() { _ = os.Remove(file) },
	} {
		ask()
		_, _, err := with.KV().Get("k", nil)
		if _, there := os.Stat(file); (err == nil) != (there == nil) {
			t.Errorf("asked with the file %v: %v", there, err)
		}
	}
	if _, _, err := without.KV().Get("k", nil); err != nil {
		t.Error(err)
	}
	close(got)
	for _, want := range []string{"one", "two", ""} {
		if token := <-got; token != want {
			t.Errorf("a request with the token %q, want %q", token, want)
		}
	}
}

// A request that is not answered ends at its deadline; a blocking query is given the time that it asks for besides.
func TestConsulClient_Deadline(t *testing.T) {
	t.Parallel()
	address := agentOf(t, func(w http.ResponseWriter, r *http.Request) {
		wait := time.NewTimer(time.Minute)
		if r.URL.Query().Get("index") != "" {
			wait.Reset(300 * time.Millisecond)
		}
		select {
		case <-wait.C:
			_, _ = w.Write([]byte("[]"))
		case <-r.Context().Done():
		}
	})
	c := clientOf(t, map[string]string{"address": address, "timeout": "100ms"})
	if _, _, err := c.KV().Get("k", nil); err == nil || !strings.Contains(err.Error(), "Consul did not answer within 100ms") {
		t.Errorf("no answer: %v", err)
	}
	if _, _, err := c.KV().List("k", &consul.QueryOptions{WaitIndex: 1, WaitTime: 10 * time.Second}); err != nil {
		t.Errorf("a blocking query: %v", err)
	}
}

func TestConsulClient_Mistakes(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(empty, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, settings := range map[string]map[string]string{
		`address "127.0.0.1:8500" is not of the form`:        {"address": "127.0.0.1:8500"},
		`address "unix:///run/consul" is not of the form`:    {"address": "unix:///run/consul"},
		`address "http://me:pw@consul:8500" is not`:          {"address": "http://me:pw@consul:8500"},
		"tls.ca_file is of no use":                           {"address": "http://consul:8500", "tls.ca_file": "/ca.pem"},
		"tls.ca_file: open /nowhere.pem":                     {"address": "https://consul:8501", "tls.ca_file": "/nowhere.pem"},
		"token_file: open /nowhere":                          {"address": "http://consul:8500", "token_file": "/nowhere"},
		"token_file: " + empty + " does not hold a token":    {"address": "http://consul:8500", "token_file": empty},
		"timeout 1h is not between 100ms and 1m0s":           {"address": "http://consul:8500", "timeout": "1h"},
		"tls.cert_file and tls.key_file are only of use tog": {"address": "https://consul:8501", "tls.cert_file": "/a"},
	} {
		if _, err := consulClient(settings); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %s", settings, err, want)
		}
	}
}
