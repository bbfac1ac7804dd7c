package haproxy

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"viridian/rollout"
)

// hostKey is the host as the printed rules look it up: lower case, without port and final dot.
func hostKey(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// sitesOf maps the hosts of the environment to the names of its sites. A tcp service has a listener instead of hosts.
func sitesOf(environment string, services []rollout.RouteService) map[string]string {
	out := map[string]string{}
	for _, svc := range services {
		if svc.Protocol == protocolTCP {
			continue
		}
		for _, host := range svc.Hosts {
			out[hostKey(host)] = siteName(environment, svc.Name)
		}
	}
	return out
}

const protocolTCP = "tcp"

// sumOfSites is what entry.sites says of them.
func sumOfSites(sites map[string]string) string {
	words := []string{"sites"}
	for _, host := range slices.Sorted(maps.Keys(sites)) {
		words = append(words, host+"="+sites[host])
	}
	return sum(words...)
}

// sites lists the hosts that lead to the environment in the view.
func (v view) sites(environment string) map[string]string {
	out := map[string]string{}
	for key, value := range v.entries {
		host, isSite := strings.CutPrefix(key, siteKey)
		if isSite && strings.HasPrefix(value, environment+".") {
			out[host] = value
		}
	}
	return out
}

// adopt takes spec, hosts and drain from the route, unless the node knows a newer version. It returns the hosts to
// serve, or nil to leave them.
func (e entry) adopt(route rollout.Route) (entry, map[string]string) {
	if route.SpecVersion < e.spec {
		return e, nil
	}
	sites := sitesOf(route.Environment, route.Services)
	e.spec, e.sites, e.drain = route.SpecVersion, sumOfSites(sites), route.Drain.Std().Milliseconds()
	return e, sites
}

// putSites makes exactly these hosts lead to the environment. A host that leads to another one is taken over: by the
// order of specs it is ours now, and the other node's change is on its way.
func (n *Node) putSites(ctx context.Context, environment string, sites map[string]string) error {
	return n.put(ctx, func(v view) map[string]string { return v.wantedSites(environment, sites) })
}

func (v view) wantedSites(environment string, sites map[string]string) map[string]string {
	wanted := map[string]string{}
	for host := range v.sites(environment) {
		wanted[siteKey+host] = absent
	}
	for host, site := range sites {
		wanted[siteKey+host] = site
	}
	return wanted
}

// putRest makes the entries beside the environment's own what they should be: its hosts, and a preview for each
// generation that is staged. What is there twice is taken out.
func (n *Node) putRest(ctx context.Context, environment string, sites map[string]string) error {
	if err := n.putOnceOnly(ctx, environment); err != nil {
		return err
	}
	return n.put(ctx, func(v view) map[string]string {
		wanted := map[string]string{}
		for _, m := range v.lines {
			if strings.HasPrefix(m.key, previewKey+environment+"/") {
				wanted[m.key] = absent
			}
		}
		e, _ := parseEntry(v.entries[envKey+environment])
		for _, s := range e.slots {
			switch key := previewKeyOf(environment, s.generation); {
			case s.state == slotStaged:
				wanted[key] = strconv.Itoa(s.number)
			case s.generation != 0: // on its way in or out
				delete(wanted, key)
			}
		}
		if sites != nil {
			maps.Copy(wanted, v.wantedSites(environment, sites))
		}
		return wanted
	})
}

// putOnceOnly takes out what is in the map a second time. Requests never see it: of two, HAProxy uses the first.
func (n *Node) putOnceOnly(ctx context.Context, environment string) error {
	v, err := n.look(ctx, "")
	if err != nil {
		return err
	}
	for _, m := range v.twice {
		if v.concerns(environment, m) {
			if err := n.runtime.do(ctx, "del", "map", v.mapFile, "#"+m.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// put makes entries other than an environment's what wanted says of the view; absent deletes.
func (n *Node) put(ctx context.Context, wanted func(view) map[string]string) error {
	var err error
	for range tries {
		var v view
		if v, err = n.look(ctx, ""); err != nil {
			return err
		}
		if err = n.putOnce(ctx, v, wanted(v)); !errors.Is(err, errOvertaken) && !errors.Is(err, errChanged) {
			return err
		}
		if errors.Is(err, errChanged) {
			n.layout.CompareAndSwap(v.layout, nil)
		}
	}
	return err
}

func (n *Node) putOnce(ctx context.Context, v view, wanted map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(wanted)) {
		held, there := v.entries[key]
		if value := wanted[key]; there != (value != absent) || (there && held != value) {
			if err := n.swap(ctx, v, key, value); err != nil {
				return err
			}
		}
	}
	return nil
}
