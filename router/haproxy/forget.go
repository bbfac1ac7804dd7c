package haproxy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"viridian/router"
)

// Forget drops the environment: its entry, then its hosts, and both from the map file. It is ErrInUse while a
// generation has a slot.
func (n *Node) Forget(ctx context.Context, f router.Fence, name string) error {
	if err := checkNames(name, nil); err != nil {
		return err
	}
	if err := n.forgetEntry(ctx, f, name); err != nil {
		return fmt.Errorf("environment %s: %w", name, err)
	}
	err := n.put(ctx, func(v view) map[string]string {
		wanted := map[string]string{}
		for host := range v.sites(name) {
			wanted[siteKey+host] = absent
		}
		for key := range v.entries {
			if strings.HasPrefix(key, previewKey+name+"/") {
				wanted[key] = absent
			}
		}
		return wanted
	})
	if err != nil {
		return err
	}
	return n.keep(ctx, name, func(view, map[string]string) error { return nil })
}

func (n *Node) forgetEntry(ctx context.Context, f router.Fence, name string) error {
	env := n.environment(name)
	if err := env.lock(ctx); err != nil {
		return err
	}
	defer env.unlock()
	var err error
	for range tries {
		var v view
		if v, err = n.look(ctx, name); err != nil {
			return err
		}
		if _, there := v.entries[envKey+name]; !there {
			env.entry = ""
			return nil
		}
		e, err := n.present(ctx, env, v, name)
		if err != nil {
			return err
		}
		if err := e.forgettable(f); err != nil {
			return err
		}
		err = n.swap(ctx, v, envKey+name, absent)
		switch {
		case err == nil:
			env.entry = ""
			return nil
		case errors.Is(err, errChanged):
			n.layout.CompareAndSwap(v.layout, nil)
		case !errors.Is(err, errOvertaken):
			return err
		}
	}
	return err
}

func (e entry) forgettable(f router.Fence) error {
	if err := e.checkFence(f); err != nil {
		return err
	}
	for _, s := range e.slots {
		if s.generation != 0 {
			return router.ErrInUse
		}
	}
	if e.weights().Sum() > 0 {
		return router.ErrInUse
	}
	return nil
}
