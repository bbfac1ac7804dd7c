package consul

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/hashicorp/consul/api"
	"github.com/jonboulle/clockwork"

	"viridian/registry"
	"viridian/rollout"
)

// Registry announces and watches groups by one Consul agent or cluster. It keeps nothing between calls and is safe for
// concurrent use.
type Registry struct {
	client *api.Client
	agent  string // the node on whose agent groups are registered; empty for a node of their own
	clock  clockwork.Clock
	log    *slog.Logger
}

var _ registry.Registry = (*Registry)(nil)

// Options are what a Registry needs from outside.
type Options struct {
	Client *api.Client     // with address, token, namespace, deadlines and the rest
	Agent  string          // the node name of the agent that Client leads to, when groups are to be registered on it
	Clock  clockwork.Clock // nil for the real one
	Logger *slog.Logger    // nil for none
}

// New makes a registry. It starts nothing and asks nothing.
func New(o Options) *Registry {
	if o.Clock == nil {
		o.Clock = clockwork.NewRealClock()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Registry{client: o.Client, agent: o.Agent, clock: o.Clock, log: o.Logger}
}

// Register announces all groups of the generation as one node, with every check critical until the instance was asked;
// or on the agent, which asks them.
// What was announced before keeps its checks. When a large group is cut off in the middle, the error says so, nothing
// of it passes its checks, and the next call completes it.
func (r *Registry) Register(ctx context.Context, spec rollout.Spec, generation rollout.Generation) error {
	entries, err := r.entriesOf(spec, generation)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(entries) == 0 { // everything was adopted
		return nil
	}
	if r.agent != "" {
		return r.registerOnAgent(ctx, generation, entries)
	}
	known, err := r.known(ctx, generation)
	if err != nil {
		return err
	}
	return r.write(ctx, missing(generation, entries, known))
}

// Deregister takes the generation's node out of the catalog, with all of its services and checks, in one step.
func (r *Registry) Deregister(ctx context.Context, _ rollout.Spec, generation rollout.Generation) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.agent != "" {
		return r.deregisterFromAgent(ctx, generation)
	}
	known, err := r.known(ctx, generation)
	if err != nil || known == nil {
		return err
	}
	return r.write(ctx, nodeDelete(generation))
}

// errForeign is a node of our name that is not ours.
var errForeign = errors.New("a node of that name was made by somebody else")

// known reads what the catalog has of the generation's node, by a consistent read: the names of its services; nil when
// there is no such node.
func (r *Registry) known(ctx context.Context, generation rollout.Generation) (map[string]bool, error) {
	name := nodeName(generation)
	node, _, err := r.client.Catalog().Node(name, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
	switch {
	case err != nil:
		return nil, explain(ctx, "read node "+name, err)
	case node == nil:
		return nil, nil
	case node.Node.Meta[rollout.MetaEnvironment] != generation.Environment:
		return nil, fmt.Errorf("node %s in Consul: %w", name, errForeign)
	}
	out := map[string]bool{}
	for id := range node.Services {
		out[id] = true
	}
	return out, nil
}
