package consul

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/router"
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

// node is what all routers by Consul have in common.
type node struct {
	Options
	policy string // the ACL rules that a token needs
	memory *memory
}

func newNode(o Options, policy string) node {
	if o.Clock == nil {
		o.Clock = clockwork.NewRealClock()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return node{Options: o, policy: policy, memory: &memory{}}
}

// identityKey holds a random word that is written once: it is gone when Consul has lost what it knew. It is the
// installation's, and stays when an environment goes.
const identityKey = "viridian/incarnation"

// Pulse reads which Consul this is. One that has forgotten everything is given a new identity, and so is another
// incarnation.
func (n node) Pulse(ctx context.Context) (string, error) {
	for range tries {
		pair, _, err := n.Client.KV().Get(identityKey, consistent(ctx))
		if err != nil {
			return "", n.explain(ctx, "read key "+identityKey, err)
		}
		if pair != nil && len(pair.Value) > 0 {
			return string(pair.Value), nil
		}
		fresh := &api.KVPair{Key: identityKey, Value: []byte(rand.Text())} // ModifyIndex 0: only when there is none
		if pair != nil {
			fresh.ModifyIndex = pair.ModifyIndex
		}
		if _, _, err := n.Client.KV().CAS(fresh, write(ctx)); err != nil {
			return "", n.explain(ctx, "write key "+identityKey, err)
		}
	}
	return "", fmt.Errorf("write key %s in Consul: %w", identityKey, errRaced)
}

func consistent(ctx context.Context) *api.QueryOptions {
	return (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx)
}

func write(ctx context.Context) *api.WriteOptions { return (&api.WriteOptions{}).WithContext(ctx) }

// observation is the empty one of the present incarnation.
func (n node) observation(ctx context.Context, grade rollout.Grade) (router.Observation, error) {
	incarnation, err := n.Pulse(ctx)
	return router.Observation{Receipt: rollout.Receipt{Router: n.Router, Node: n.Node, Incarnation: incarnation, At: n.Clock.Now(),
		Grade: grade, Hash: rollout.Route{}.Hash()}}, err
}

// recall completes what was found by what this process saw a moment ago, and remembers it.
func (n node) recall(environment string, o router.Observation, found []held) []held {
	found = n.memory.recall(environment, o.Incarnation, o.At, found)
	n.memory.note(environment, o.Incarnation, o.At, found)
	return found
}

// explain says what could not be done and, where Consul refused, what is missing. The error of an ended context is
// kept.
func (n node) explain(ctx context.Context, what string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%s in Consul: no answer in time: %w", what, ctx.Err())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var status api.StatusError
	if errors.As(err, &status) && status.Code == http.StatusForbidden {
		return fmt.Errorf("%s in Consul: %s; the token needs: %s", what, firstLine(status.Body), rules(n.policy))
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

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

func absent(err error) bool {
	var status api.StatusError
	return errors.As(err, &status) && status.Code == http.StatusNotFound
}
