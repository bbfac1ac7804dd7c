package haproxy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"viridian/router"
)

// Preview tells how a staged generation is reached before it has weight: the printed rules look at the header and at
// hosts of the form g42.<host>, and let in only the networks that they were printed with.
func (n *Node) Preview(ctx context.Context, environment string, generation int) (router.Preview, error) {
	p := router.Preview{Header: PreviewHeader, Value: strconv.Itoa(generation)}
	if err := checkNames(environment, nil); err != nil {
		return p, err
	}
	v, err := n.look(ctx, environment)
	if err != nil {
		return p, err
	}
	if _, there := v.entries[previewKeyOf(environment, generation)]; !there {
		return p, fmt.Errorf("environment %s, generation %d: %w", environment, generation, router.ErrNotStaged)
	}
	for _, host := range slices.Sorted(maps.Keys(v.sites(environment))) {
		p.Hosts = append(p.Hosts, "g"+p.Value+"."+host)
	}
	return p, nil
}

// PreviewHeader names, in a request to a host of the environment, the generation that shall answer it.
const PreviewHeader = "X-Viridian-Generation"
