package consul

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"
)

// permissionError is what Consul refuses for want of a permission.
type permissionError struct{ text string }

func (e *permissionError) Error() string { return e.text }

func missesPermission(err error) bool {
	var missing *permissionError
	return errors.As(err, &missing) || errors.Is(err, errHidden)
}

// What a token needs, as errors say it; policy.hcl and its like say it in full.
const (
	writeFix = `give it node_prefix "viridian-" and service_prefix "" with policy "write"`
	readFix  = `give it node_prefix "" and service_prefix "" with policy "read"`
	agentFix = `give it agent_prefix "" and node_prefix "" with policy "read"`
)

// explain says what could not be done and, where Consul refused, what is missing. The error of an ended context is
// returned as such.
func explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var status api.StatusError
	if errors.As(err, &status) && status.Code == http.StatusForbidden {
		return fmt.Errorf("%s in Consul: %w", what, denied(firstLine(status.Body)))
	}
	return fmt.Errorf("%s in Consul: %w", what, brief(err))
}

// brief is an error without the path and query of the request, which are long and say no more than what was to be done.
func brief(err error) error {
	var call *url.Error
	var dial *net.OpError
	switch {
	case errors.As(err, &dial): // it has the address
		return dial
	case errors.As(err, &call):
		address, _, _ := strings.Cut(call.URL, "/v1/")
		return fmt.Errorf("%s: %w", address, call.Err)
	}
	return err
}

// denied names what is missing. A token that Consul does not know was revoked, or never made.
func denied(text string) error {
	fix := "the token lacks a permission: " + writeFix
	switch {
	case strings.Contains(text, "'agent:read'"):
		fix = "the token lacks a permission: " + agentFix
	case strings.Contains(text, ":read'"):
		fix = "the token lacks a permission: " + readFix
	case strings.Contains(text, "ACL not found"):
		fix = "Consul does not know the token; put a new one into consul.token_file, and " + writeFix
	}
	return &permissionError{text + ": " + fix}
}

// refused is a transaction of which nothing was done.
func refused(problems api.TxnErrors) error {
	if len(problems) == 0 {
		return errors.New("write to the catalog in Consul: the transaction was refused without a reason")
	}
	text := firstLine(problems[0].What)
	if strings.Contains(text, "Permission denied") || strings.Contains(text, "ACL not found") {
		return fmt.Errorf("write to the catalog in Consul: %w", denied(text))
	}
	return fmt.Errorf("write to the catalog in Consul: %s", text)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
