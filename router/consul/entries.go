package consul

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// errRaced is a compare-and-set that was lost again and again.
var errRaced = errors.New("somebody else writes the same entry again and again")

// ErrForeign is of an entry or a query that somebody else made under a name of ours: it is neither taken over nor deleted.
var ErrForeign = errors.New("it was made by somebody else: delete it, or give the service another catalog_name")

// foreign is ErrForeign of something, and says whose it is where that is known.
func foreign(what, environment string) error {
	if environment != "" {
		what += ", of environment " + environment + ","
	}
	return fmt.Errorf("%s in Consul: %w", what, ErrForeign)
}

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
			return n.explain(ctx, "write "+kind+" "+name, err)
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
		return nil, n.explain(ctx, "read "+kind+" "+name, err)
	}
	return entry, nil
}

// drop deletes an entry if mine says that it is to go, and nobody changed it in between.
func (n node) drop(ctx context.Context, kind, name string, mine func(api.ConfigEntry) bool) error {
	for range tries {
		entry, err := n.entry(ctx, kind, name)
		if err != nil || entry == nil || !mine(entry) {
			return err
		}
		won, _, err := n.Client.ConfigEntries().DeleteCAS(kind, name, entry.GetModifyIndex(), write(ctx))
		if err != nil {
			return n.explain(ctx, "delete "+kind+" "+name, err)
		}
		if won {
			return nil
		}
	}
	return fmt.Errorf("delete %s %s in Consul: %w", kind, name, errRaced)
}

// list reads all entries of a kind, by name. Consul leaves out what the token may not read.
func (n node) list(ctx context.Context, kind string) (map[string]api.ConfigEntry, error) {
	all, _, err := n.Client.ConfigEntries().List(kind, consistent(ctx))
	if err != nil && !absent(err) {
		return nil, n.explain(ctx, "list "+kind, err)
	}
	entries := map[string]api.ConfigEntry{}
	for _, entry := range all {
		entries[entry.GetName()] = entry
	}
	return entries, nil
}
