package cli

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"viridian/rollout"
)

// routerConfig is a router of viridian.yaml whose nodes are processes of their own.
type routerConfig struct {
	name     string
	driver   string
	required rollout.Required
	nodes    []nodeConfig
	values   []settingValue // as they are shown
}

// nodeConfig is one node of such a router: its name, and its driver's settings by key, a dot for one level of nesting.
type nodeConfig struct {
	router, name string
	settings     map[string]string
}

// maxNodes bounds a router; each node costs every replica a few requests a second.
const maxNodes = 64

// takeRouters reads the map of routers. The builtin one may be named, without settings.
func (f *configFile) takeRouters(value *yaml.Node) []failure {
	if value.Tag == "!!null" {
		return nil
	}
	members, wrong := f.members("routers", value)
	places := map[string]string{} // what a node has for itself, to that node
	for _, m := range members {
		switch {
		case m.name == rollout.Builtin:
			if len(m.value.Content) > 0 || m.value.Value != "" {
				wrong = append(wrong, f.wrong(m.key, "routers.builtin has settings", "write builtin: {}, or leave it out: it is there and needs no configuration"))
			}
		case !rollout.ValidName(m.name):
			wrong = append(wrong, f.wrong(m.key, fmt.Sprintf("routers.%s is not a name", m.name), "name it with 1 to 63 of a-z, 0-9 and inner hyphens, such as edge"))
		default:
			wrong = append(wrong, f.takeRouter(m, places)...)
		}
	}
	return wrong
}

func (f *configFile) takeRouter(m member, places map[string]string) []failure {
	at := "routers." + m.name
	r := routerConfig{name: m.name, required: rollout.RequiredAll}
	fields, wrong := f.members(at, m.value)
	var nodes *yaml.Node
	requiredFrom := "default"
	for _, field := range fields {
		switch field.name {
		case "driver":
			r.driver = field.value.Value
			r.show(at+".driver", r.driver, f.at(field.value.Line))
		case "required":
			r.required, requiredFrom = rollout.Required(field.value.Value), f.at(field.value.Line)
		case "nodes":
			nodes = field.value
		default:
			wrong = append(wrong, f.unknown(field.key, at, field.name, []string{"driver", "required", "nodes"}))
		}
	}
	r.show(at+".required", string(r.required), requiredFrom)
	if r.required != rollout.RequiredAll && r.required != rollout.RequiredQuorum {
		wrong = append(wrong, f.wrong(m.key, fmt.Sprintf("%s.required %s is not one of all, quorum", at, r.required),
			"all: a switch counts as applied when every node follows; quorum: when more than half of them do"))
	}
	driver, known := routerDrivers[r.driver]
	switch {
	case !known:
		wrong = append(wrong, f.wrong(m.key, fmt.Sprintf("%s.driver %q is not known", at, r.driver),
			"use one of: "+strings.Join(slices.Sorted(maps.Keys(routerDrivers)), ", ")))
	case nodes == nil || nodes.Kind != yaml.SequenceNode || len(nodes.Content) == 0:
		wrong = append(wrong, f.wrong(m.key, at+".nodes is not a list of at least one node", "write nodes: [{name: "+driver.called+", "+driver.example+"}]"))
	case len(nodes.Content) > maxNodes:
		wrong = append(wrong, f.wrong(nodes, fmt.Sprintf("%s has %d nodes; at most %d are possible", at, len(nodes.Content), maxNodes), "make several routers of it"))
	default:
		wrong = append(wrong, f.takeNodes(&r, driver, nodes, places)...)
	}
	f.routers = append(f.routers, r)
	return wrong
}

func (f *configFile) takeNodes(r *routerConfig, driver routerDriver, nodes *yaml.Node, places map[string]string) []failure {
	var wrong []failure
	names := map[string]bool{}
	for i, value := range nodes.Content {
		n := nodeConfig{router: r.name, settings: map[string]string{}}
		at := fmt.Sprintf("routers.%s.nodes[%d]", r.name, i)
		lines := map[string]int{}
		found := f.flatten(at, "", value, driver, &n, lines)
		switch {
		case len(found) > 0:
		case !nodeNameForm.MatchString(n.name):
			found = append(found, f.wrong(value, fmt.Sprintf("%s.name %q is not a name that fits", at, n.name), "name it with letters, digits, dots and dashes, such as lb-1"))
		case names[n.name]:
			found = append(found, f.wrong(value, fmt.Sprintf("router %s has two nodes with the name %s", r.name, n.name), "give each its own name"))
		default:
			found = f.checkNode(at, value, r.driver, n, places)
		}
		names[n.name] = true
		wrong = append(wrong, found...)
		for _, key := range slices.Sorted(maps.Keys(n.settings)) {
			r.show("routers."+r.name+"."+n.name+"."+key, n.settings[key], f.at(lines[key]))
		}
		r.nodes = append(r.nodes, n)
	}
	return wrong
}

// checkNode holds what one node is given against what its driver needs.
func (f *configFile) checkNode(at string, value *yaml.Node, name string, n nodeConfig, places map[string]string) []failure {
	var wrong []failure
	driver := routerDrivers[name]
	for _, s := range driver.settings {
		if s.required && n.settings[s.key] == "" {
			wrong = append(wrong, f.wrong(value, at+"."+s.key+" is not set", s.usage))
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	if err := driver.check(n, nil); err != nil {
		return []failure{f.wrong(value, at+": "+err.Error(), driver.example+"; see viridian serve --help")}
	}
	me := "node " + n.name + " of router " + n.router
	for _, own := range driver.owned(name, n) {
		if other, taken := places[own.place]; taken {
			what := fmt.Sprintf("%s has the %s of %s", me, own.what, other)
			if other == me {
				what = me + " has one place for two things, as its " + own.what + " too"
			}
			wrong = append(wrong, f.wrong(value, what, own.fix))
			continue
		}
		places[own.place] = me
	}
	return wrong
}

// placeOf is an address or a path in one way of writing it. (A symbolic link shows only where the file is.)
func placeOf(text string) string {
	network, rest, isAddress := strings.Cut(text, ":")
	switch {
	case network == "unix" && isAddress:
		return "unix:" + path.Clean(rest)
	case isAddress:
		return strings.ToLower(rest) // tcp or tls: it is one listener
	case text == "":
		return ""
	}
	return path.Clean(text)
}

// flatten takes the settings of a node.
func (f *configFile) flatten(at, prefix string, value *yaml.Node, driver routerDriver, n *nodeConfig, lines map[string]int) []failure {
	fields, wrong := f.members(at, value)
	for _, field := range fields {
		key := prefix + field.name
		switch {
		case key == "name":
			n.name = field.value.Value
		case driver.has(key) && field.value.Kind == yaml.ScalarNode && field.value.Tag != "!!null":
			n.settings[key], lines[key] = field.value.Value, field.value.Line
		case driver.has(key):
			wrong = append(wrong, f.wrong(field.key, at+"."+field.name+" has no single value", "write "+field.name+": VALUE, or leave it out"))
		case driver.hasBelow(key):
			wrong = append(wrong, f.flatten(at+"."+field.name, key+".", field.value, driver, n, lines)...)
		default:
			wrong = append(wrong, f.unknown(field.key, at, field.name, driver.keys(prefix)))
		}
	}
	return wrong
}

// checkNodes holds what nodes leave to the installation's Consul against that.
func checkNodes(routers []routerConfig, installation *consulConfig) (wrong []failure) {
	for _, r := range routers {
		for _, n := range r.nodes {
			if driver, known := routerDrivers[r.driver]; known && driver.family == "consul" {
				if err := driver.check(n, installation); err != nil {
					wrong = append(wrong, failure{what: "node " + n.name + " of router " + r.name, cause: err, usage: true,
						fix: "set consul.address, or give the node an address; see viridian serve --help"})
				}
			}
		}
	}
	return wrong
}

// member is one key of a mapping with its value.
type member struct {
	name       string
	key, value *yaml.Node
}

// members are those of a mapping; what is given twice is left out.
func (f *configFile) members(at string, value *yaml.Node) (out []member, wrong []failure) {
	if value.Kind != yaml.MappingNode {
		return nil, []failure{f.wrong(value, at+" is not a list of keys and values", "write key: value")}
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(value.Content); i += 2 {
		name := value.Content[i].Value
		if seen[name] {
			wrong = append(wrong, f.wrong(value.Content[i], at+"."+name+" is given twice", "keep one of them"))
			continue
		}
		seen[name] = true
		out = append(out, member{name: name, key: value.Content[i], value: value.Content[i+1]})
	}
	return out, wrong
}

func (f *configFile) unknown(key *yaml.Node, at, name string, known []string) failure {
	fix := "known here: " + strings.Join(known, ", ")
	if near := rollout.Nearest(name, known); near != "" {
		fix = "did you mean " + near + "?"
	}
	return f.wrong(key, "unknown key "+at+"."+name, fix)
}

// show keeps a value for those who ask what the configuration is.
func (r *routerConfig) show(key, text, origin string) {
	r.values = append(r.values, settingValue{setting: setting{key: key}, Text: text, Origin: origin})
}
