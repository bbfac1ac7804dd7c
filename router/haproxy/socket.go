package haproxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxAnswer bounds what is read of one answer.
const maxAnswer = 32 << 20

// errNotSent is wrapped where it is certain that HAProxy was told nothing.
var errNotSent = errors.New("HAProxy was not reached")

// address is where HAProxy listens for us.
type address struct {
	network, target string
	tls             *tls.Config
}

// parseAddress reads "unix:/path", "tcp:host:port" or "tls:host:port".
func parseAddress(text string, config *tls.Config) (address, error) {
	network, target, _ := strings.Cut(text, ":")
	switch network {
	case "unix":
		if !strings.HasPrefix(target, "/") {
			return address{}, fmt.Errorf("%q has no absolute path; write it as unix:/run/haproxy/viridian.sock", text)
		}
		return address{network: "unix", target: target}, nil
	case "tcp", "tls":
		if _, _, err := net.SplitHostPort(target); err != nil {
			return address{}, fmt.Errorf("%q has no host and port; write it as %s:10.0.0.5:9999", text, network)
		}
		a := address{network: "tcp", target: target}
		if network == "tls" {
			a.tls = &tls.Config{MinVersion: tls.VersionTLS12}
			if config != nil {
				a.tls = config.Clone()
			}
			if a.tls.ServerName == "" {
				a.tls.ServerName, _, _ = net.SplitHostPort(target)
			}
		}
		return a, nil
	}
	return address{}, fmt.Errorf("%q must begin with unix:, tcp: or tls: to be an address", text)
}

// dial connects. The connection ends with ctx.
func (a address) dial(ctx context.Context) (net.Conn, func(), error) {
	conn, err := new(net.Dialer).DialContext(ctx, a.network, a.target)
	if err == nil && a.tls != nil {
		secured := tls.Client(conn, a.tls)
		if err = secured.HandshakeContext(ctx); err != nil {
			conn.Close()
		}
		conn = secured
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w%s", errNotSent, err, a.remedy(err))
	}
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) }) // an error means that it is closed already
	return conn, func() { stop(); conn.Close() }, nil
}

// remedy is what can be done about an address that cannot be connected to.
func (a address) remedy(err error) string {
	switch local := a.network == "unix"; {
	case local && errors.Is(err, os.ErrNotExist):
		return ": HAProxy does not run, or was given another path when its configuration was printed"
	case local && errors.Is(err, os.ErrPermission):
		return ": Viridian's user must be in the group of this socket, and be able to enter its folder"
	case errors.Is(err, syscall.ECONNREFUSED):
		return ": HAProxy does not run, or does not listen here"
	}
	return ""
}

// exchange sends one message on a connection of its own and returns the answer, read to its end.
//
// The order guards against a caller that is stopped and wakes up late: it connects, then looks whether its time is
// over, then writes. HAProxy drops a connection that stays silent for its "stats timeout", so that nothing written
// later than that after the look has any effect.
func (a address) exchange(ctx context.Context, message string) (string, error) {
	conn, end, err := a.dial(ctx)
	if err != nil {
		return "", err
	}
	defer end()
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("%w: %w", errNotSent, err)
	}
	if _, err := io.WriteString(conn, message); err != nil {
		return "", because(ctx, err)
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	switch {
	case err != nil:
		return "", because(ctx, err)
	case len(answer) > maxAnswer:
		return "", fmt.Errorf("the answer is longer than %d MiB", maxAnswer>>20)
	}
	return string(answer), nil
}

// because tells a deadline from a connection that broke.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("no whole answer in time: %w", context.Cause(ctx))
	}
	return err
}
