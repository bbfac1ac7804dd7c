package consul

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/consul/api"

	"viridian/registry"
	"viridian/rollout"
)

// What the meta of an adopted instance says of where it is registered.
const (
	metaNode      = "consul-node"
	metaServiceID = "consul-service-id"
)

var _ registry.Adopter = (*Registry)(nil)

// Find lists the instances of a service that match and pass all of their checks, those of their node among them, by a
// consistent read. What is told over HTTP is not asked for here: a watch does that.
func (r *Registry) Find(ctx context.Context, a rollout.Adoption, digest string) (registry.Found, error) {
	found, meta, err := r.client.Health().Service(a.Service, "", false, (&api.QueryOptions{RequireConsistent: true, Filter: a.Filter}).WithContext(ctx))
	if err == nil && meta.ResultsFilteredByACLs {
		err = errHidden
	}
	if err != nil {
		return registry.Found{}, explainFilter(ctx, a, err)
	}
	slices.SortFunc(found, byName)
	told := newDigests(r.clock, rollout.Adoption{DigestMeta: a.DigestMeta}, digest)
	var out registry.Found
	ids := map[string]bool{}
	for _, f := range found {
		if f.Checks.AggregatedStatus() != api.HealthPassing {
			out.Others++
			continue
		}
		in, err := instanceOf(f)
		if err != nil {
			return registry.Found{}, &registry.AdoptionError{Detail: err.Error()}
		}
		in.ID = nameOf(f)
		if says, _ := told.of(in, f); says != "" {
			out.Wrong = append(out.Wrong, says)
			continue
		}
		in.ID = freeID(f, ids)
		ids[in.ID] = true
		out.Passing = append(out.Passing, in)
	}
	return out, nil
}

// byName orders what was found, so that the same answer gives the same ids.
func byName(x, y *api.ServiceEntry) int {
	return cmp.Or(cmp.Compare(x.Service.ID, y.Service.ID), cmp.Compare(x.Node.Node, y.Node.Node))
}

// explainFilter is explain for a query whose filter may be at fault.
func explainFilter(ctx context.Context, a rollout.Adoption, err error) error {
	var status api.StatusError
	// Consul 1.22 answers a filter that it cannot read with 500.
	if errors.As(err, &status) && (status.Code == http.StatusBadRequest || strings.Contains(status.Body, "boolean expression")) {
		return &registry.AdoptionError{Detail: fmt.Sprintf("the filter %q is none that Consul understands: %s", a.Filter, firstLine(status.Body))}
	}
	return explain(ctx, "read the instances of service "+a.Service, err)
}

// longestName bounds names in Consul, which itself sets no limit.
const longestName = 512

// instanceOf is a service of the catalog as an instance. Without an address of its own a service is at its node's.
func instanceOf(f *api.ServiceEntry) (rollout.Instance, error) {
	for _, name := range []string{f.Service.ID, f.Node.Node} {
		if len(name) > longestName || strings.ContainsFunc(name, unicode.IsControl) {
			return rollout.Instance{}, fmt.Errorf("instance %.100q on node %.100q has a name that cannot be used", f.Service.ID, f.Node.Node)
		}
	}
	text := cmp.Or(f.Service.Address, f.Node.Address)
	address, ok := rollout.CanonicalAddress(text)
	if !ok || f.Service.Port < 1 || f.Service.Port > 65535 {
		return rollout.Instance{}, fmt.Errorf("instance %s on node %s has no address and port that can be used: %q, %d", f.Service.ID, f.Node.Node, text, f.Service.Port)
	}
	return rollout.Instance{ID: f.Service.ID, Address: address, Port: f.Service.Port,
		Meta: map[string]string{metaNode: f.Node.Node, metaServiceID: f.Service.ID}}, nil
}

// freeID is the id of an instance that has none yet: its own, unless that is none that we take, or is taken.
func freeID(f *api.ServiceEntry, taken map[string]bool) string {
	if rollout.ValidInstanceID(f.Service.ID) && !taken[f.Service.ID] {
		return f.Service.ID
	}
	return derivedID(f)
}

// derivedID makes an id for an instance whose own is none that we take, or is another node's as well.
func derivedID(f *api.ServiceEntry) string {
	plain := strings.Trim(strings.Map(func(r rune) rune {
		if r == '.' || r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, f.Service.ID), "._-")
	sum := sha256.Sum256([]byte(place(f.Node.Node, f.Service.ID)))
	return strings.TrimLeft(plain[:min(len(plain), 100)]+"-"+hex.EncodeToString(sum[:4]), "-")
}

// place names one service of the catalog.
func place(node, id string) string { return node + "\x00" + id }

func placeOf(in rollout.Instance) string { return place(in.Meta[metaNode], in.Meta[metaServiceID]) }
