package consul

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// nobody is the subset that no instance belongs to: where traffic goes while no generation has weight.
const nobody = "nobody"

// errRaced is a compare-and-set that was lost again and again.
var errRaced = errors.New("somebody else writes the same entry again and again")

// tries bounds how often a lost compare-and-set is tried again, each time on what was read anew.
const tries = 20

// change reads a config entry and writes what edit makes of it, by compare and set, until nobody came in between. edit is
// given nil where there is none, and says by false that nothing is to be written.
func (n node) change(ctx context.Context, kind, name string, edit func(api.ConfigEntry) (api.ConfigEntry, bool, error)) error {
	for range tries {
		entry, err := n.entry(ctx, kind, name)
		if err != nil {
			return err
		}
		var index uint64
		if entry != nil {
			index = entry.GetModifyIndex()
		}
		next, wanted, err := edit(entry)
		if err != nil || !wanted {
			return err
		}
		won, _, err := n.Client.ConfigEntries().CAS(next, index, write(ctx))
		if err != nil {
			return explain(ctx, "write "+kind+" "+name, err)
		}
		if won {
			return nil
		}
	}
	return fmt.Errorf("write %s %s in Consul: %w", kind, name, errRaced)
}

// entry reads a config entry by a consistent read; nil where there is none.
func (n node) entry(ctx context.Context, kind, name string) (api.ConfigEntry, error) {
	entry, _, err := n.Client.ConfigEntries().Get(kind, name, consistent(ctx))
	if absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, explain(ctx, "read "+kind+" "+name, err)
	}
	return entry, nil
}

// drop deletes what edit would have changed, if it is ours and was not changed in between.
func (n node) drop(ctx context.Context, kind, name, environment string) error {
	for range tries {
		entry, err := n.entry(ctx, kind, name)
		if err != nil || entry == nil || entry.GetMeta()[rollout.MetaEnvironment] != environment {
			return err
		}
		won, _, err := n.Client.ConfigEntries().DeleteCAS(kind, name, entry.GetModifyIndex(), write(ctx))
		if err != nil {
			return explain(ctx, "delete "+kind+" "+name, err)
		}
		if won {
			return nil
		}
	}
	return fmt.Errorf("delete %s %s in Consul: %w", kind, name, errRaced)
}

// list reads all entries of a kind that belong to the environment.
func (n node) list(ctx context.Context, kind, environment string) ([]api.ConfigEntry, error) {
	all, _, err := n.Client.ConfigEntries().List(kind, consistent(ctx))
	if err != nil && !absent(err) {
		return nil, explain(ctx, "list "+kind, err)
	}
	var out []api.ConfigEntry
	for _, entry := range all {
		if entry.GetMeta()[rollout.MetaEnvironment] == environment {
			out = append(out, entry)
		}
	}
	return out, nil
}
