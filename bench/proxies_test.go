package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"viridian/rollout"
	"viridian/router"
	"viridian/router/builtin"
	"viridian/router/routertest"
)

const host = "bench.localhost"

// playBuiltin serves as a replica does: the builtin router behind its own server, probing its instance.
func playBuiltin(ctx context.Context, t task, in *json.Decoder, out *json.Encoder) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	r, err := builtin.New(builtin.Options{Node: "bench", Incarnation: "1", StateDir: t.Dir, Logger: log})
	if err != nil {
		return err
	}
	defer r.Close()
	instance, err := instanceAt(t.Backend)
	if err != nil {
		return err
	}
	service := rollout.Service{Name: "web", Protocol: "http", Health: rollout.Health{Type: rollout.HealthTCP,
		Interval: rollout.Duration(2 * time.Second), Timeout: rollout.Duration(time.Second), HealthyAfter: 2, UnhealthyAfter: 3}}
	route := rollout.Route{Environment: "bench", SpecVersion: 1, Drain: rollout.Duration(30 * time.Second),
		Services: []rollout.RouteService{{Service: service, Hosts: []string{host}}}}
	g := rollout.Generation{Environment: "bench", Number: 1,
		Groups: []rollout.Group{{Service: "web", Instances: []rollout.Instance{instance}}}}
	if err := r.Stage(ctx, router.Fence{}, route, g); err != nil {
		return err
	}
	route.Revision, route.Live, route.Weights = 1, 1, rollout.Weights{1: 100}
	if err := r.Apply(ctx, router.Fence{Revision: 1}, route); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { _ = r.Run(ctx) }()
	return serve(builtin.NewServer(r, log), in, out)
}

func instanceAt(address string) (rollout.Instance, error) {
	address, number, err := net.SplitHostPort(address)
	if err != nil {
		return rollout.Instance{}, err
	}
	port, err := strconv.Atoi(number)
	return rollout.Instance{ID: "web-1", Address: address, Port: port}, err
}

// playPlain is what one would write in half an hour: httputil.ReverseProxy as its documentation has it. The one
// setting that is not the default keeps idle connections: with 2 for each host, as Go has it, nearly every request
// would make a connection, and whoever measures that would look at the network.
func playPlain(_ context.Context, t task, in *json.Decoder, out *json.Encoder) error {
	backend := &url.URL{Scheme: "http", Host: t.Backend}
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * connections}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(backend)
		r.SetXForwarded()
	}}
	return serve(&http.Server{Handler: proxy, ReadHeaderTimeout: 5 * time.Second}, in, out)
}

func serve(server *http.Server, in *json.Decoder, out *json.Encoder) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	if err := greet(out, l.Addr().String()); err != nil {
		return err
	}
	if err := errors.Join(awaitEnd(in), server.Close()); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// haproxyConfig makes HAProxy do what the others do. fd@3 is the listener that it inherits.
const haproxyConfig = `global
	nbthread 1
	maxconn 1000
defaults
	mode http
	option forwardfor
	http-reuse always
	timeout connect 2s
	timeout client 60s
	timeout server 60s
	timeout http-keep-alive 60s
listen bench
	bind fd@3
	server web-1 %s
`

// playHAProxy looks after a HAProxy, which would otherwise outlive a test that is killed.
func playHAProxy(_ context.Context, t task, in *json.Decoder, out *json.Encoder) (err error) {
	path, err := routertest.FindHAProxy()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, socket.Close()) }()
	config := filepath.Join(t.Dir, "haproxy.cfg")
	if err := os.WriteFile(config, fmt.Appendf(nil, haproxyConfig, t.Backend), 0o600); err != nil {
		return err
	}
	cmd := exec.Command(path, "-db", "-f", config)
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	if err := out.Encode(hello{Address: l.Addr().String(), PID: cmd.Process.Pid}); err != nil {
		return err
	}
	err = errors.Join(awaitEnd(in), cmd.Process.Kill())
	_ = cmd.Wait() // killed
	return err
}
