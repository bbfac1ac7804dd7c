package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
)

// explain says what could not be done and, where Consul refused, what is missing. The error of an ended context is
// returned as such.
func explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var status api.StatusError
	if errors.As(err, &status) && status.Code == http.StatusForbidden {
		return fmt.Errorf("%s in Consul: %s: %s", what, firstLine(status.Body), permissionFix)
	}
	return fmt.Errorf("%s in Consul: %w", what, err)
}

const permissionFix = `give the token node_prefix "viridian-" and service_prefix "" with policy "write"`

// refused is a transaction of which nothing was done.
func refused(problems api.TxnErrors) error {
	if len(problems) == 0 {
		return errors.New("write to the catalog in Consul: the transaction was refused without a reason")
	}
	text := firstLine(problems[0].What)
	if strings.Contains(text, "Permission denied") {
		text += ": " + permissionFix
	}
	return fmt.Errorf("write to the catalog in Consul: %s", text)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
