package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	consulapi "github.com/hashicorp/consul/api"
)

// consulConfig is the Consul that registries and routers of an installation use. Without an address there is none.
type consulConfig struct {
	Address    string
	TokenFile  string
	TLS        tlsFiles
	Namespace  string
	Partition  string
	Datacenter string
	Agent      string // the node on whose agent groups are registered; empty for a node of their own
	Timeout    time.Duration
}

// consulHelp tells how Consul is configured.
const consulHelp = "With a Consul, alike on every replica, a spec may say registry: consul; groups are then announced there:\n\n" +
	"   consul:\n" +
	"     address: http://127.0.0.1:8500\n" +
	"     token_file: /etc/viridian/consul.token"

// consulAddressForm tells how consul.address is written.
const consulAddressForm = "HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:///PATH"

// consulAddress takes apart an address that is written in that form.
func consulAddress(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("not " + consulAddressForm)
	}
	switch {
	case u.User != nil:
		return nil, errors.New("an address has no user in it; a token goes into consul.token_file")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("not " + consulAddressForm)
	case u.Scheme == "unix" && u.Host == "" && len(u.Path) > 1:
		return u, nil
	case (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Port() != "":
		return u, checkAddress(u.Host)
	}
	return nil, errors.New("not " + consulAddressForm)
}

// client makes a client of the configured Consul; nil when there is none. It connects to nothing, and looks at every
// file that the configuration names. CONSUL_… variables mean nothing to it.
func (c consulConfig) client() (*consulapi.Client, error) {
	if c.Address == "" {
		return nil, nil
	}
	at, err := consulAddress(c.Address)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := c.TLS.config("consul.")
	if err != nil {
		return nil, err
	}
	if at.Scheme != "https" && c.TLS != (tlsFiles{}) {
		return nil, errors.New("consul.tls counts only where consul.address begins with https://")
	}
	where := &consulTransport{consulConfig: c}
	if _, err := where.token(); err != nil {
		return nil, err
	}
	host, dialer := at.Host, &net.Dialer{}
	transport := &http.Transport{TLSClientConfig: tlsConfig, ForceAttemptHTTP2: true, DialContext: dialer.DialContext,
		MaxIdleConnsPerHost: 64, // each generation that is watched has a query open
		IdleConnTimeout:     90 * time.Second}
	if at.Scheme == "unix" {
		host = "unix"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", at.Path)
		}
	}
	where.next = transport
	config := &consulapi.Config{Address: host, Scheme: at.Scheme, Datacenter: c.Datacenter, HttpClient: &http.Client{Transport: where}}
	if at.Scheme == "unix" {
		config.Scheme = "http"
	} else {
		config.PathPrefix = strings.TrimSuffix(at.Path, "/")
	}
	return consulapi.NewClient(config)
}

// consulTransport gives every request to Consul its token, its place and its deadline. The token is read for each
// request, so that a new one in the file is used at once.
type consulTransport struct {
	consulConfig
	next http.RoundTripper
}

// RoundTrip bounds a request by the configured timeout, on top of what a blocking query asks to wait for (and the
// sixteenth that Consul adds to that).
func (t *consulTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	query := r.URL.Query()
	wait, err := time.ParseDuration(query.Get("wait"))
	if err != nil || query.Get("index") == "" {
		wait = 0
	}
	bound, caller := t.Timeout+wait+wait/16, r.Context()
	ctx, cancel := context.WithTimeout(caller, bound)
	r = r.Clone(ctx)
	for key, value := range map[string]string{"ns": t.Namespace, "partition": t.Partition} {
		query.Del(key)
		if value != "" {
			query.Set(key, value)
		}
	}
	r.URL.RawQuery = query.Encode()
	r.Header.Del("X-Consul-Token")
	token, err := t.token()
	if err != nil {
		cancel()
		return nil, err
	}
	if token != "" {
		r.Header.Set("X-Consul-Token", token)
	}
	res, err := t.next.RoundTrip(r)
	if err != nil {
		late := ctx.Err() != nil && caller.Err() == nil
		cancel()
		if late {
			err = fmt.Errorf("no answer within %v", bound)
		}
		return nil, err
	}
	res.Body = &endingBody{res.Body, cancel}
	return res, nil
}

func (t *consulTransport) token() (string, error) {
	if t.TokenFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(t.TokenFile)
	if err != nil {
		return "", fmt.Errorf("consul.token_file: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("consul.token_file: %s does not hold one token", t.TokenFile)
	}
	return token, nil
}

// endingBody ends what bounds a request when its answer was read.
type endingBody struct {
	io.ReadCloser
	end func()
}

// Close closes the body.
func (b *endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// consulSettings declares what can be set of the Consul that is used.
func consulSettings() []setting {
	field := func(get func(*consulConfig) *string) func(*config) *string {
		return func(c *config) *string { return get(&c.Consul) }
	}
	return []setting{
		{key: "consul.address", take: func(c *config, value string) error {
			c.Consul.Address = value
			_, err := consulAddress(value)
			return err
		}, usage: consulAddressForm + " of a Consul agent: then specs may say registry: consul, and be registered there"},
		{key: "consul.token_file", take: text(field(func(c *consulConfig) *string { return &c.TokenFile })),
			usage: "a file with the ACL token for it, which is read for each request; registry/consul/policy.hcl is what it must be allowed"},
		{key: "consul.tls.ca_file", take: text(field(func(c *consulConfig) *string { return &c.TLS.CA })),
			usage: "certificates that vouch for Consul's, where consul.address begins with https:// (default: the machine's)"},
		{key: "consul.tls.cert_file", take: text(field(func(c *consulConfig) *string { return &c.TLS.Cert })),
			usage: "a certificate to show to Consul, with consul.tls.key_file"},
		{key: "consul.tls.key_file", take: text(field(func(c *consulConfig) *string { return &c.TLS.Key })),
			usage: "its key"},
		{key: "consul.tls.server_name", take: text(field(func(c *consulConfig) *string { return &c.TLS.ServerName })),
			usage: "the name that Consul's certificate must have (default: the host of consul.address)"},
		{key: "consul.namespace", take: text(field(func(c *consulConfig) *string { return &c.Namespace })),
			usage: "the namespace to work in; Consul Enterprise alone has any"},
		{key: "consul.partition", take: text(field(func(c *consulConfig) *string { return &c.Partition })),
			usage: "the admin partition to work in; Consul Enterprise alone has any"},
		{key: "consul.datacenter", take: text(field(func(c *consulConfig) *string { return &c.Datacenter })),
			usage: "the datacenter to work in (default: the agent's)"},
		{key: "consul.agent", take: func(c *config, value string) error {
			c.Consul.Agent = value
			if !nodeNameForm.MatchString(value) {
				return errors.New("not a name that fits")
			}
			return nil
		}, usage: "the node name of the agent at consul.address, when groups are to be registered on it, and asked by it; without it each " +
			"generation is a node of its own, and asked by Viridian"},
		{key: "consul.timeout", preset: is("3s"),
			take:  within(func(c *config) *time.Duration { return &c.Consul.Timeout }, 50*time.Millisecond, time.Minute),
			usage: "50ms to 1m: bounds one request to Consul; of one that waits for news, the time after that"},
	}
}

// check says what is wrong with the settings of Consul as a whole.
func (c consulConfig) check() *failure {
	if c.Address == "" {
		c.Timeout = 0
		if c != (consulConfig{}) {
			return &failure{what: "settings of consul without consul.address", fix: "set consul.address, or leave the others out", usage: true}
		}
		return nil
	}
	if _, err := c.client(); err != nil {
		return &failure{what: "consul", cause: err, fix: "see viridian serve --help for the settings of consul", usage: true}
	}
	return nil
}
