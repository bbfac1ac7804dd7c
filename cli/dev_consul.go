package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	consulapi "github.com/hashicorp/consul/api"
)

// devConsul is the Consul that dev uses: somebody's own, or an agent that it runs itself and that forgets everything.
type devConsul struct {
	address string // empty for none
	token   string // a file with the token for somebody's own; empty for none
	program string // of the agent to run; empty for none
	log     string // file
	ports   []int
}

// noConsul is what --consul-addr says for none at all.
const noConsul = "none"

// findConsul looks where the person says, and else on PATH.
func findConsul(given, token, data string) (*devConsul, error) {
	if token != "" && (given == "" || given == noConsul) {
		return nil, &failure{what: "--consul-token-file without --consul-addr", fix: "name the Consul that the token is for", usage: true}
	}
	switch given {
	case noConsul:
		return &devConsul{}, nil
	case "":
	default:
		if _, err := consulAddress(given); err != nil {
			return nil, &failure{what: "--consul-addr " + given, cause: err, fix: "give " + consulAddressForm + ", or " + noConsul, usage: true}
		}
		c := consulConfig{Address: given, TokenFile: token}
		if _, err := c.client(); err != nil {
			return nil, &failure{what: "--consul-token-file " + token, cause: err, fix: "put the token alone into that file", usage: true}
		}
		return &devConsul{address: given, token: token}, nil
	}
	path, err := exec.LookPath("consul")
	if err != nil {
		return &devConsul{}, nil
	}
	c := &devConsul{program: path, log: filepath.Join(data, "consul.log")}
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()                                         // together, so that they differ
		c.ports = append(c.ports, l.Addr().(*net.TCPAddr).Port) //nolint:forcetypeassert // it was asked for tcp
	}
	c.address = "127.0.0.1:" + strconv.Itoa(c.ports[0])
	return c, nil
}

// run runs the agent, if there is one to run, until ctx ends. It keeps nothing, so it may be killed.
func (c *devConsul) run(ctx context.Context) error {
	if c.program == "" {
		<-ctx.Done()
		return nil
	}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	var args = []string{"agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-node=viridian-dev", "-log-level=warn", "-disable-host-node-id",
		"-grpc-port=-1", "-grpc-tls-port=-1"}
	for i, name := range []string{"http", "dns", "server", "serf-lan", "serf-wan"} {
		args = append(args, fmt.Sprintf("-%s-port=%d", name, c.ports[i]))
	}
	cmd := exec.CommandContext(ctx, c.program, args...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = out, out, childAttributes()
	runtime.LockOSThread() // a child told to die with its parent dies with the thread that started it
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	return &failure{what: "the Consul agent ended by itself", cause: err, fix: "look at " + c.log + ", or start without one: --consul-addr=" + noConsul}
}

// await waits until Consul takes writes, which a started agent does after a second.
func (c *devConsul) await(ctx context.Context) error {
	if c.address == "" {
		return nil
	}
	client, err := consulConfig{Address: c.address, TokenFile: c.token, Timeout: time.Second}.client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		leader, err := client.Status().LeaderWithQueryOptions((&consulapi.QueryOptions{}).WithContext(ctx))
		if err == nil && leader != "" {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return &failure{what: "the Consul at " + c.address + " is not ready", cause: err,
				fix: "look whether it runs and has a leader, or start without one: --consul-addr=" + noConsul}
		}
	}
}

// troubleError is why the demo is not registered in Consul.
type troubleError struct{ detail string }

// Error is what the registry's trouble is.
func (e *troubleError) Error() string { return e.detail }

// fix is what helps a demo that cannot be set up.
func (c *devConsul) fix(err error) string {
	if trouble := (*troubleError)(nil); errors.As(err, &trouble) && c.program == "" {
		return "give a token that may do that, --consul-token-file=FILE, or start without that Consul: --consul-addr=" + noConsul
	}
	return "start again; or begin anew with another --data, or without the demo by --empty"
}

// told is how the guide says which Consul is used.
func (c *devConsul) told() string {
	switch {
	case c.address == "":
		return "none: groups are known to Viridian alone; a consul on PATH or --consul-addr changes that"
	case c.program == "":
		return c.address + "   yours; groups are registered there as services such as " + demoEnvironment + "-" + demoService
	}
	return "http://" + c.address + "   started from " + c.program + ", and ended with this; it forgets, and is told again"
}

// registry is the registry of the demo's environment.
func (c *devConsul) registry() string {
	if c.address == "" {
		return "static"
	}
	return "consul"
}
