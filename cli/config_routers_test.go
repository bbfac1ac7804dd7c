package cli

import (
	"fmt"
	"strings"
	"testing"
)

// fleetOf is a configuration with router edge of these nodes and fields.
func fleetOf(fields string, nodes ...string) string {
	return enough + "routers:\n  edge:\n    " + fields + "\n    nodes: [" + strings.Join(nodes, ", ") + "]\n"
}

const (
	one = "{name: lb-1, socket: \"unix:/run/one.sock\"}"
	two = "{name: lb-2, socket: \"tcp:10.0.0.2:9999\", fence: \"tls:10.0.0.2:9998\", map_file: /mnt/two/viridian.map, timeout: 500ms, slot_rest: 20s, tls: {server_name: lb-2}}"
)

func TestConfigRouters_Accepted(t *testing.T) {
	t.Parallel()
	got := command(t, nil, "config", "check", "--config", file(t, fleetOf("driver: haproxy", one, two)+"  inner: {driver: haproxy, required: quorum, nodes: [{name: lb-1, socket: \"unix:/run/inner.sock\"}]}\n  builtin: {}\n"))
	if got.code != 0 {
		t.Fatal(got.stderr)
	}
	for key, want := range map[string]string{
		"routers.edge.driver":               "haproxy viridian.yaml line 5",
		"routers.edge.required":             "all default",
		"routers.edge.lb-1.socket":          "unix:/run/one.sock viridian.yaml line 6",
		"routers.edge.lb-2.tls.server_name": "lb-2 viridian.yaml line 6",
		"routers.inner.required":            "quorum viridian.yaml line 7",
	} {
		if line := lineOf(got.stdout, key); line != key+" "+want {
			t.Errorf("%s: %q, want %q", key, line, want)
		}
	}
}

// TestConfigRouters_Mistakes: each is exit code 2, names the place, and says what to do.
func TestConfigRouters_Mistakes(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range maxNodes + 1 {
		many = append(many, fmt.Sprintf("{name: lb-%d, socket: \"unix:/run/%d.sock\"}", i, i))
	}
	for text, want := range map[string]string{
		enough + "routers: [edge]\n":                                                                             "routers is not a list of keys and values",
		enough + "routers: {edge: haproxy}\n":                                                                    "routers.edge is not a list of keys and values",
		enough + "routers: {builtin: {driver: haproxy}}\n":                                                       "routers.builtin has settings",
		enough + "routers: {Edge: {driver: haproxy}}\n":                                                          "routers.Edge is not a name",
		enough + "routers:\n  edge: {driver: haproxy}\n  edge: {}\n":                                             "routers.edge is given twice",
		fleetOf("driver: nginx", one):                                                                            "line 4: routers.edge.driver \"nginx\" is not known\n  fix: use one of: consul-kv,",
		fleetOf("required: all", one):                                                                            "routers.edge.driver \"\" is not known",
		fleetOf("{}", one):                                                                                       "is not valid YAML",
		fleetOf("driver: haproxy"):                                                                               "routers.edge.nodes is not a list of at least one node\n  fix: write nodes: [{name: lb-1, socket:",
		enough + "routers: {edge: {driver: haproxy, nodes: {name: a}}}\n":                                        "routers.edge.nodes is not a list",
		fleetOf("driver: haproxy\n    required: most", one):                                                      "routers.edge.required most is not one of all, quorum",
		fleetOf("driver: haproxy\n    requird: all", one):                                                        "line 6: unknown key routers.edge.requird\n  fix: did you mean required?",
		fleetOf("driver: haproxy\n    driver: haproxy", one):                                                     "routers.edge.driver is given twice",
		fleetOf("driver: haproxy", many...):                                                                      "has 65 nodes; at most 64 are possible",
		fleetOf("driver: haproxy", "lb-1"):                                                                       "routers.edge.nodes[0] is not a list of keys and values",
		fleetOf("driver: haproxy", "{name: lb-1}"):                                                               "routers.edge.nodes[0].socket is not set\n  fix: the runtime socket",
		fleetOf("driver: haproxy", "{socket: \"unix:/a\"}"):                                                      "routers.edge.nodes[0].name \"\" is not a name that fits",
		fleetOf("driver: haproxy", "{name: lb_1/x, socket: \"unix:/a\"}"):                                        "is not a name that fits",
		fleetOf("driver: haproxy", one, "{name: lb-1, socket: \"unix:/b\"}"):                                     "router edge has two nodes with the name lb-1",
		fleetOf("driver: haproxy", one, "{name: lb-2, socket: \"unix:/run/one.sock\"}"):                          "node lb-2 of router edge has the socket of node lb-1 of router edge",
		fleetOf("driver: haproxy", one, "{name: lb-2, socket: \"unix:/run/./x/..//one.sock\"}"):                  "has the socket of node lb-1 of router edge",
		fleetOf("driver: haproxy", "{name: lb-1, socket: \"tcp:LB:99\"}", "{name: lb-2, socket: \"tls:lb:99\"}"): "has the socket of node lb-1 of router edge",
		fleetOf("driver: haproxy", with("map_file: /m/viridian.map"), "{name: lb-2, socket: \"unix:/b\", map_file: /m/../m/viridian.map}"): "node lb-2 of router edge has the map_file of node lb-1 of router edge\n  fix: give each HAProxy a folder of its own",
		fleetOf("driver: haproxy", with("fence: \"unix:/run/f\""), "{name: lb-2, socket: \"unix:/b\", fence: \"unix:/run/f\"}"):            "has the fence of node lb-1 of router edge\n  fix: give the fence of each",
		fleetOf("driver: haproxy", with("fence: \"unix:/run/one.sock\"")):                                                                  "has one place for two things, as its fence too",
		fleetOf("driver: haproxy", one) + "  inner: {driver: haproxy, nodes: [{name: lb-1, socket: \"unix:/run/one.sock\"}]}\n":            "node lb-1 of router inner has the socket of node lb-1 of router edge",
		fleetOf("driver: haproxy", "{name: lb-1, soket: \"unix:/a\"}"):                                                                     "unknown key routers.edge.nodes[0].soket\n  fix: did you mean socket?",
		fleetOf("driver: haproxy", "{name: lb-1, weight: 1}"):                                                                              "fix: known here: name, socket, fence, map_file, timeout, slot_rest, tls",
		fleetOf("driver: haproxy", "{name: lb-1, socket: [a]}"):                                                                            "routers.edge.nodes[0].socket has no single value",
		fleetOf("driver: haproxy", "{name: lb-1, socket: /run/h.sock}"):                                                                    "\"/run/h.sock\" must begin with unix:, tcp: or tls:",
		fleetOf("driver: haproxy", "{name: lb-1, socket: \"unix:run.sock\"}"):                                                              "has no absolute path",
		fleetOf("driver: haproxy", "{name: lb-1, socket: \"tcp:10.0.0.1\"}"):                                                               "has no host and port",
		fleetOf("driver: haproxy", with("fence: \"9999\"")):                                                                                "fence: \"9999\" must begin with unix:",
		fleetOf("driver: haproxy", with("map_file: viridian.map")):                                                                         "must be an absolute path",
		fleetOf("driver: haproxy", with("timeout: soon")):                                                                                  "timeout soon is not a duration",
		fleetOf("driver: haproxy", with("timeout: 2h")):                                                                                    "timeout 2h is not between 10ms and 1m0s",
		fleetOf("driver: haproxy", with("slot_rest: 1ms")):                                                                                 "slot_rest 1ms is not between",
		fleetOf("driver: haproxy", with("tls: {ca_file: /nowhere.pem}")):                                                                   "tls.ca_file: open /nowhere.pem",
		fleetOf("driver: haproxy", with("tls: {cert_file: /a}")):                                                                           "only of use together",
		fleetOf("driver: haproxy", with("tls: {cert_file: /a, key_file: /b}")):                                                             "tls.cert_file: open /a",
		fleetOf("driver: haproxy", with("tls: {ca_fil: /a}")):                                                                              "fix: did you mean ca_file?",
		fleetOf("driver: haproxy", with("tls: on")):                                                                                        "routers.edge.nodes[0].tls is not a list of keys and values",
	} {
		got := command(t, nil, "config", "check", "--config", file(t, text))
		if got.code != 2 || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "\n  fix: ") {
			t.Errorf("%q: code %d, want %q in\n%s", text, got.code, want, got.stderr)
		}
	}
}

// with is a node with one more setting.
func with(setting string) string { return strings.TrimSuffix(one, "}") + ", " + setting + "}" }
