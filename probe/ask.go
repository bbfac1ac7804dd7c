package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"viridian/rollout"
)

const (
	maxBody   = 64 << 10 // bytes of an answer that are read
	maxHeader = 64 << 10
	maxReason = 200 // bytes of a failure's text; it may quote the instance
)

// client keeps nothing between questions: every one opens a connection of its
// own, as a new user would, and goes only where it was sent.
var client = &http.Client{
	Transport: &http.Transport{
		Proxy:                  nil, // not even the environment's
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Ask asks one instance once and returns nil when it passed. A tcp question
// passes when the connection is accepted; an http one when a GET of
// health.Path answers with an expected status, and its body ends, or reaches
// 64 KiB. The whole takes at most health.Timeout. The error is a short reason
// for people; when ctx ended it is ctx's error and says nothing about the
// instance.
func Ask(ctx context.Context, health rollout.Health, address string, port int) error {
	within, cancel := context.WithTimeout(ctx, health.Timeout.Std())
	defer cancel()
	target := net.JoinHostPort(address, strconv.Itoa(port))
	var err error
	switch health.Type {
	case rollout.HealthTCP:
		err = askTCP(within, target)
	case rollout.HealthHTTP:
		err = askHTTP(within, health, target)
	default:
		return fmt.Errorf("unknown type of health question %q", health.Type)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case within.Err() != nil:
		return fmt.Errorf("no whole answer within %s", health.Timeout)
	}
	return reason(err)
}

func askTCP(ctx context.Context, target string) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", target)
	if err != nil {
		return err
	}
	return conn.Close()
}

func askHTTP(ctx context.Context, health rollout.Health, target string) error {
	// Parsed apart from the target, no path can lead to another host.
	address, err := url.ParseRequestURI(health.Path)
	if err != nil {
		return err
	}
	address.Scheme, address.Host, address.User = "http", target, nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "viridian-probe")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if !expected(health.ExpectStatus, res.StatusCode) {
		return fmt.Errorf("answered with status %d", res.StatusCode)
	}
	_, err = io.CopyN(io.Discard, res.Body, maxBody)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("answer broke off: %w", err)
	}
	return nil
}

func expected(ranges []rollout.StatusRange, status int) bool {
	for _, r := range ranges {
		if r.Contains(status) {
			return true
		}
	}
	return false
}

// reason makes a short, printable line of an error that may quote the instance.
func reason(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return errors.New("connection refused")
	}
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	text := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, err.Error())
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return errors.New(text)
}
