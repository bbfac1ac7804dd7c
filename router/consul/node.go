package consul

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/rollout"
)

// Options are what a router by Consul needs from outside.
type Options struct {
	Router string      // its name in the configuration
	Node   string      // the name of its one node, such as the datacenter's
	Client *api.Client // with address, token, namespace and the rest
	// Failpoints may be nil.
	Failpoints *failpoint.Set
	Clock      clockwork.Clock // nil for the real one
	Logger     *slog.Logger    // nil for none
}

// node is what both kinds of router have in common.
type node struct {
	Options
}

func newNode(o Options) node {
	if o.Clock == nil {
		o.Clock = clockwork.NewRealClock()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return node{o}
}

// identityKey holds a random word that is written once: it is gone when Consul has lost what it knew.
const identityKey = "viridian/incarnation"

// Pulse reads which Consul this is. One that has forgotten everything is given a new identity, and so is another
// incarnation.
func (n node) Pulse(ctx context.Context) (string, error) {
	for {
		pair, _, err := n.Client.KV().Get(identityKey, consistent(ctx))
		if err != nil {
			return "", explain(ctx, "read "+identityKey, err)
		}
		if pair != nil {
			return string(pair.Value), nil
		}
		fresh := &api.KVPair{Key: identityKey, Value: []byte(rand.Text())} // ModifyIndex 0: only when there is none
		if _, _, err := n.Client.KV().CAS(fresh, write(ctx)); err != nil {
			return "", explain(ctx, "write "+identityKey, err)
		}
	}
}

func consistent(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func write(ctx context.Context) *api.WriteOptions { return (&api.WriteOptions{}).WithContext(ctx) }

// receipt is what a read of the environment is told in.
func (n node) receipt(ctx context.Context, grade rollout.Grade) (rollout.Receipt, error) {
	incarnation, err := n.Pulse(ctx)
	return rollout.Receipt{Router: n.Router, Node: n.Node, Incarnation: incarnation, At: n.Clock.Now(), Grade: grade,
		Hash: rollout.Route{}.Hash()}, err
}

// explain says what could not be done and, where Consul refused, what is missing. The error of an ended context is
// returned as such.
func explain(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var status api.StatusError
	if errors.As(err, &status) && status.Code == http.StatusForbidden {
		line, _, _ := strings.Cut(strings.TrimSpace(status.Body), "\n")
		return fmt.Errorf("%s in Consul: %s: %s", what, line,
			`give the token key_prefix "viridian/", service_prefix "" and query_prefix "" with policy "write"`)
	}
	return fmt.Errorf("%s in Consul: %w", what, err)
}

func absent(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}
