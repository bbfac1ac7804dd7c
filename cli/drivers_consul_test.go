package cli

import (
	"strings"
	"testing"

	"viridian/rollout"
)

const ownConsul = "consul: {address: \"https://consul:8501\", token_file: TOKEN, datacenter: east}\n"

// consulRouter is a configuration with a router of the driver that has these nodes.
func consulRouter(top, driver, nodes string) string {
	return enough + top + "routers:\n  mesh:\n    driver: " + driver + "\n    nodes: " + nodes + "\n"
}

func TestConsulDrivers_Accepted(t *testing.T) {
	t.Parallel()
	token := file(t, "s3cret\n")
	top := strings.Replace(ownConsul, "TOKEN", token, 1)
	for _, text := range []string{
		consulRouter(top, "consul-splitter", "[{name: dc1}, {name: dc2, datacenter: west, timeout: 1s}]"),
		consulRouter(top, "consul-query", "[{name: dc1}]\n  mesh2: {driver: consul-kv, nodes: [{name: dc1}]}"),
		consulRouter("", "consul-kv", "[{name: dc1, address: \"http://10.0.0.1:8500\", token_file: "+token+"}]"),
		consulRouter("", "consul-kv", "[{name: dc1, address: \"https://10.0.0.1:8501\", tls: {server_name: consul}, namespace: shop, partition: one}]"),
		consulRouter(top, "consul-kv", "[{name: dc1, tls: {server_name: consul}}]"),
	} {
		if got := command(t, nil, "config", "check", "--config", file(t, text)); got.code != 0 {
			t.Errorf("%s: %s", text, got.stderr)
		}
	}
}

func TestConsulDrivers_Mistakes(t *testing.T) {
	t.Parallel()
	top := strings.Replace(ownConsul, "TOKEN", file(t, "s3cret\n"), 1)
	for text, want := range map[string]string{
		consulRouter("", "consul-splitter", "[{name: dc1}]"):                                                "node dc1 of router mesh: it has no address, and consul.address is not set\n  fix: set consul.address, or give the node an address",
		consulRouter(top, "consul-mesh", "[{name: dc1}]"):                                                   "fix: use one of: consul-kv, consul-query, consul-splitter, haproxy",
		consulRouter(top, "consul-kv", "[]"):                                                                "fix: write nodes: [{name: dc1, address: http://127.0.0.1:8500}]",
		consulRouter(top, "consul-kv", "[{name: dc1}, {name: dc2}]"):                                        "node dc2 of router mesh has the datacenter of node dc1 of router mesh",
		consulRouter(top, "consul-kv", "[{name: dc1}]\n  two: {driver: consul-kv, nodes: [{name: dc1}]}"):   "node dc1 of router two has the datacenter of node dc1 of router mesh",
		consulRouter(top, "consul-kv", "[{name: dc1, token: abc}]"):                                         "unknown key routers.mesh.nodes[0].token",
		consulRouter(top, "consul-kv", "[{name: dc1, token_fil: abc}]"):                                     "fix: did you mean token_file?",
		consulRouter(top, "consul-kv", "[{name: dc1, token_file: /nowhere}]"):                               "token_file: open /nowhere",
		consulRouter(top, "consul-kv", "[{name: dc1, address: \"ftp://consul:1\"}]"):                        "not HOST:PORT, http://HOST:PORT",
		consulRouter(top, "consul-kv", "[{name: dc1, timeout: 2h}]"):                                        "timeout 2h is not between 50ms and 1m0s",
		consulRouter("", "consul-kv", "[{name: dc1, address: \"http://consul:1\", tls: {server_name: a}}]"): "counts only where",
		consulRouter(top, "consul-kv", "[{name: dc1, tls: {ca_file: /nowhere.pem}}]"):                       "tls.ca_file: open /nowhere.pem",
	} {
		got := command(t, nil, "config", "check", "--config", file(t, text))
		if got.code != 2 || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "\n  fix: ") {
			t.Errorf("%q: code %d, want %q in\n%s", text, got.code, want, got.stderr)
		}
	}
}

// What a node does not say is the installation's, unless it has an address of its own.
func TestConsulOf(t *testing.T) {
	t.Parallel()
	installation := consulConfig{Address: "consul:8500", TokenFile: "/token", Datacenter: "east", Timeout: 7}
	for name, c := range map[string]struct {
		settings map[string]string
		want     consulConfig
	}{
		"nothing":    {nil, installation},
		"other":      {map[string]string{"datacenter": "west", "token_file": "/other"}, consulConfig{Address: "consul:8500", TokenFile: "/other", Datacenter: "west", Timeout: 7}},
		"on its own": {map[string]string{"address": "far:8500", "timeout": "1s"}, consulConfig{Address: "far:8500", Timeout: 1e9}},
	} {
		got, err := consulOf(nodeConfig{settings: c.settings}, &installation)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v %v, want %+v", name, got, err, c.want)
		}
	}
}

// Each driver says what it is, and GET /v1/routers shows it.
func TestConsulDrivers_Grades(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]struct {
		grade     rollout.Grade
		undivided bool
		finds     rollout.Finder
	}{
		"consul-splitter": {rollout.GradeFenced, false, rollout.FindsByFilter}, "consul-query": {rollout.GradeReadBack, true, rollout.FindsByMeta},
		"consul-kv": {rollout.GradeFenced, false, ""},
	} {
		driver := routerDrivers[name]
		_, grade, err := driver.open(nodeConfig{router: "r", name: "dc1", settings: map[string]string{"address": "127.0.0.1:8500"}}, driverParts{})
		if err != nil || grade != want.grade || driver.undivided != want.undivided || driver.finds != want.finds {
			t.Errorf("%s: %s %v %v", name, grade, driver.undivided, err)
		}
		if !strings.Contains(routersHelp(), "Driver "+name+": ") {
			t.Errorf("the help does not tell of %s", name)
		}
	}
}
