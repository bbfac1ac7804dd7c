package cli

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/failpoint"
	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/router/consul"
	"viridian/router/haproxy"
)

// routerDriver is one kind of router whose nodes are processes of their own.
type routerDriver struct {
	family    string // of drivers with the same settings
	about     string // what it switches
	settings  []nodeSetting
	called    string // what a node may be named
	example   string // of a node's settings
	undivided bool   // it gives all traffic to one generation, and takes no shares
	finds     rollout.Finder
	// own is what no two nodes of the installation may have in common, besides the settings that say so of themselves.
	own func(driver string, n nodeConfig) ownPlace
	// open makes what drives a node; it connects to nothing.
	open func(n nodeConfig, with driverParts) (controller.Remote, rollout.Grade, error)
}

// nodeSetting is one thing to set of a node; a dot in its key stands for one level of nesting.
type nodeSetting struct {
	key      string
	usage    string
	required bool
	own      string // why no two nodes may have the same; "" where they may
}

// driverParts are what every driver gets from the replica.
type driverParts struct {
	clock      clockwork.Clock
	failpoints *failpoint.Set
	log        *slog.Logger
	consul     *consulConfig // the installation's; nil while it is not known yet
}

// routerDrivers are all that a router in viridian.yaml may name as its driver.
var routerDrivers = map[string]routerDriver{
	"haproxy": {family: "haproxy", about: "an HAProxy of yours; viridian haproxy-config prints the other side of the settings",
		called: "lb-1", example: "socket: unix:" + haproxy.DefaultSocket, open: openHAProxy,
		settings: []nodeSetting{
			{key: "socket", required: true, usage: "the runtime socket of the HAProxy: unix:/PATH, tcp:HOST:PORT or tls:HOST:PORT",
				own: "give each node its own: one process cannot be two nodes"},
			{key: "fence", usage: "the socket of the fence frontend, written in the same way; without it the node is read back, not fenced",
				own: "give the fence of each HAProxy, which is another socket than its runtime socket"},
			{key: "map_file", own: "give each HAProxy a folder of its own: two would overwrite each other's map, and come up with it after a restart", usage: "viridian.map as this replica reaches it; without it a restarted HAProxy answers 503 until it is driven again"},
			{key: "timeout", usage: "10ms to 1m: how long one exchange with the HAProxy may take (default: 1s)"},
			{key: "slot_rest", usage: "1s to 10m: how long a place stays empty before another generation gets it; longer than the HAProxy's stats timeout (default: 12s)"},
			{key: "tls.ca_file", usage: "certificates that vouch for the HAProxy's, where an address begins with tls: (default: the machine's)"},
			{key: "tls.cert_file", usage: "a certificate to show to the HAProxy, with tls.key_file"},
			{key: "tls.key_file", usage: "its key"},
			{key: "tls.server_name", usage: "the name that the HAProxy's certificate must have (default: the host of the address)"},
		}},
	"consul-splitter": consulDriver("the traffic of Consul's service mesh: a splitter for each service", rollout.GradeFenced, false, rollout.FindsByFilter,
		func(o consul.Options) controller.Remote { return consul.NewSplitter(o) }),
	"consul-query": consulDriver("what Consul's DNS answers: a prepared query for each service, which names one generation at a time", rollout.GradeReadBack, true, rollout.FindsByMeta,
		func(o consul.Options) controller.Remote { return consul.NewQuery(o) }),
	"consul-kv": consulDriver("a key in Consul's KV with the route, for consul-template, Fabio and scripts to follow", rollout.GradeFenced, false, "",
		func(o consul.Options) controller.Remote { return consul.NewPointer(o) }),
}

// ownPlace is something that only one node can have.
type ownPlace struct{ what, place, fix string }

// owned are the places that a node has for itself.
func (d routerDriver) owned(driver string, n nodeConfig) (out []ownPlace) {
	for _, s := range d.settings {
		if place := placeOf(n.settings[s.key]); s.own != "" && place != "" {
			out = append(out, ownPlace{s.key, place, s.own})
		}
	}
	if d.own != nil {
		out = append(out, d.own(driver, n))
	}
	return out
}

// routersHelp tells how routers are configured, with every setting of every driver.
func routersHelp() string {
	var b strings.Builder
	b.WriteString("Load balancers of your own are routers with a name, in the file only, alike on every replica; the routers of an\n" +
		"environment's spec name them. required is all (the default: a switch counts as applied when every node follows) or\n" +
		"quorum (when more than half of them do):\n\n" +
		"   routers:\n" +
		"     edge:\n" +
		"       driver: haproxy\n" +
		"       required: all\n" +
		"       nodes:\n" +
		"         - name: lb-1\n" +
		"           socket: unix:" + haproxy.DefaultSocket + "\n" +
		"           fence: unix:" + haproxy.DefaultFence + "\n" +
		"           map_file: " + haproxy.DefaultFolder + "/viridian.map\n" +
		"     mesh:\n" +
		"       driver: consul-splitter\n" +
		"       nodes:\n" +
		"         - name: dc1\n")
	for _, family := range []string{"haproxy", "consul"} {
		var settings []nodeSetting
		b.WriteString("\n")
		for _, name := range slices.Sorted(maps.Keys(routerDrivers)) {
			if d := routerDrivers[name]; d.family == family {
				fmt.Fprintf(&b, "Driver %s: %s\n", name, d.about)
				settings = d.settings
			}
		}
		b.WriteString("Settings of a node:\n\n")
		for _, s := range settings {
			fmt.Fprintf(&b, "   %-16s %s\n", s.key, s.usage)
		}
	}
	return strings.TrimRight(b.String(), "\n")
}

func (d routerDriver) has(key string) bool {
	return slices.ContainsFunc(d.settings, func(s nodeSetting) bool { return s.key == key })
}

func (d routerDriver) hasBelow(key string) bool {
	return slices.ContainsFunc(d.settings, func(s nodeSetting) bool { return strings.HasPrefix(s.key, key+".") })
}

// keys are what may be written at a level of nesting.
func (d routerDriver) keys(prefix string) []string {
	var out []string
	if prefix == "" {
		out = []string{"name"}
	}
	for _, s := range d.settings {
		rest, below := strings.CutPrefix(s.key, prefix)
		if name, _, _ := strings.Cut(rest, "."); below && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// check says what is wrong with the settings of a node; nil when nothing is. While the installation's Consul is not
// known, only what the node itself says is looked at.
func (d routerDriver) check(n nodeConfig, installation *consulConfig) error {
	_, _, err := d.open(n, driverParts{clock: clockwork.NewRealClock(), log: slog.New(slog.DiscardHandler), consul: installation})
	return err
}

func openHAProxy(n nodeConfig, with driverParts) (controller.Remote, rollout.Grade, error) {
	o := haproxy.Options{Router: n.router, Node: n.name, Socket: n.settings["socket"], Fence: n.settings["fence"], MapFile: n.settings["map_file"],
		Clock: with.clock, Failpoints: with.failpoints, Logger: with.log}
	var err error
	if o.Timeout, err = spanOf(n, "timeout", 10*time.Millisecond, time.Minute); err != nil {
		return nil, "", err
	}
	if o.SlotRest, err = spanOf(n, "slot_rest", time.Second, 10*time.Minute); err != nil {
		return nil, "", err
	}
	if o.TLS, err = tlsOf(n); err != nil {
		return nil, "", err
	}
	node, err := haproxy.New(o)
	if err != nil {
		return nil, "", err
	}
	if o.Fence == "" {
		return node, rollout.GradeReadBack, nil
	}
	return node, rollout.GradeFenced, nil
}

// spanOf is a duration among the settings; 0 when it is not there.
func spanOf(n nodeConfig, key string, low, high time.Duration) (time.Duration, error) {
	text := n.settings[key]
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, fmt.Errorf(`%s %s is not a duration such as "500ms" or "30s"`, key, text)
	case d < low || d > high:
		return 0, fmt.Errorf("%s %s is not between %s and %s", key, text, low, high)
	}
	return d, nil
}

// tlsOf is how the node is spoken to where its address begins with tls:.
func tlsOf(n nodeConfig) (*tls.Config, error) {
	return tlsFiles{CA: n.settings["tls.ca_file"], Cert: n.settings["tls.cert_file"], Key: n.settings["tls.key_file"],
		ServerName: n.settings["tls.server_name"]}.config("")
}
