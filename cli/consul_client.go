package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	consul "github.com/hashicorp/consul/api"
)

// consulSettings are how a Consul is reached, alike for whatever talks to one.
var consulSettings = []nodeSetting{
	{key: "address", required: true, usage: "the Consul agent: http://HOST:PORT or https://HOST:PORT"},
	{key: "token_file", usage: "a file with the ACL token; it is read for every request, so that a new token needs no restart"},
	{key: "timeout", usage: "100ms to 1m: how long one request may take, besides what a blocking query waits for (default: 3s)"},
	{key: "datacenter", usage: "the datacenter that is meant (default: the agent's own)"},
	{key: "namespace", usage: "the namespace that is meant, in Consul Enterprise"},
	{key: "partition", usage: "the admin partition that is meant, in Consul Enterprise"},
	{key: "tls.ca_file", usage: "certificates that vouch for Consul's, where the address begins with https: (default: the machine's)"},
	{key: "tls.cert_file", usage: "a certificate to show to Consul, with tls.key_file"},
	{key: "tls.key_file", usage: "its key"},
	{key: "tls.server_name", usage: "the name that Consul's certificate must have (default: the host of the address)"},
}

const consulTimeout = 3 * time.Second

// consulClient makes a client from settings by the keys of consulSettings. It asks nothing yet. Only these settings
// count: the variables CONSUL_HTTP_… of the environment give it neither an address nor a token.
func consulClient(settings map[string]string) (*consul.Client, error) {
	n := nodeConfig{settings: settings}
	at, err := url.Parse(settings["address"])
	if err != nil || (at.Scheme != "http" && at.Scheme != "https") || at.Host == "" || at.User != nil || at.RawQuery != "" || at.Fragment != "" {
		return nil, fmt.Errorf("address %q is not of the form http://HOST:PORT or https://HOST:PORT", settings["address"])
	}
	for key := range settings {
		if at.Scheme == "http" && strings.HasPrefix(key, "tls.") {
			return nil, fmt.Errorf("%s is of no use: the address begins with http:", key)
		}
	}
	exchange := &consulExchange{limit: consulTimeout, tokenFile: settings["token_file"]}
	if limit, err := spanOf(n, "timeout", 100*time.Millisecond, time.Minute); err != nil {
		return nil, err
	} else if limit > 0 {
		exchange.limit = limit
	}
	if _, err := exchange.token(); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	if transport.TLSClientConfig, err = tlsOf(n); err != nil {
		return nil, err
	}
	exchange.next = transport
	return consul.NewClient(&consul.Config{Address: strings.TrimSuffix(at.String(), "/"), HttpClient: &http.Client{Transport: exchange},
		Datacenter: settings["datacenter"], Namespace: settings["namespace"], Partition: settings["partition"]})
}

// consulExchange gives each request its token and its deadline.
type consulExchange struct {
	next      http.RoundTripper
	limit     time.Duration
	tokenFile string
}

func (x *consulExchange) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := x.token()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), x.limit+blocking(r), fmt.Errorf("Consul did not answer within %v", x.limit))
	r = r.Clone(ctx)
	r.Header.Del("X-Consul-Token")
	if token != "" {
		r.Header.Set("X-Consul-Token", token)
	}
	res, err := x.next.RoundTrip(r)
	if err != nil {
		if cause := context.Cause(ctx); ctx.Err() != nil && r.Context().Err() == nil {
			err = cause
		}
		cancel()
		return nil, err
	}
	res.Body = &cancelling{res.Body, cancel}
	return res, nil
}

// token reads the token; without a file it is empty.
func (x *consulExchange) token() (string, error) {
	if x.tokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(x.tokenFile)
	if err != nil {
		return "", fmt.Errorf("token_file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", errors.New("token_file: " + x.tokenFile + " does not hold a token")
	}
	return token, nil
}

// blocking is how long Consul may wait before it answers: what the request asks for, and the sixteenth that Consul adds.
func blocking(r *http.Request) time.Duration {
	query := r.URL.Query()
	if query.Get("index") == "" {
		return 0
	}
	wait, err := time.ParseDuration(query.Get("wait"))
	if err != nil || wait <= 0 || wait > 10*time.Minute {
		wait = 5 * time.Minute // Consul's own, when it is told none
	}
	return wait + wait/16
}

// cancelling is a body whose end ends the deadline of its request.
type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}
