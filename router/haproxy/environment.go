package haproxy

import (
	"context"
	"fmt"
)

// environment is what this process remembers of one environment.
type environment struct {
	// changing has capacity 1: whoever put something in may change the entry, or cut what is open, so that no flip
	// falls in between. It guards what follows.
	changing chan struct{}
	// The last entry that this process wrote, with the run it was of. It repairs one that was edited by hand.
	incarnation, entry string
}

// placeKey names a slot of an environment.
type placeKey struct {
	environment string
	slot        int
}

// environment returns what is remembered; name was checked.
func (n *Node) environment(name string) *environment {
	n.mu.Lock()
	defer n.mu.Unlock()
	env := n.environments[name]
	if env == nil {
		env = &environment{changing: make(chan struct{}, 1)}
		n.environments[name] = env
	}
	return env
}

func (env *environment) lock(ctx context.Context) error { return take(ctx, env.changing) }

func (env *environment) unlock() { <-env.changing }

// take waits for the only place in the channel, no longer than ctx.
func take(ctx context.Context, place chan struct{}) error {
	select {
	case place <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("another change of the node is under way: %w", context.Cause(ctx))
	}
}

// remember notes what this process fills a slot with; remembered tells it, if it is what the slot still should hold.
func (n *Node) remember(environment string, s slot, p placement) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.placed[placeKey{environment, s.number}] = p
}

func (n *Node) remembered(environment string, s slot) (placement, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.placed[placeKey{environment, s.number}]
	return p, ok && p.sum() == s.sum
}
