package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"viridian/rollout"
)

// configFile is viridian.yaml, flattened: proxy: {listen: x} is the entry proxy.listen.
type configFile struct {
	path    string
	entries map[string]fileEntry
	routers []routerConfig
}

type fileEntry struct {
	text string
	line int
}

func (f *configFile) at(line int) string {
	return fmt.Sprintf("%s line %d", filepath.Base(f.path), line)
}

// fixedParts are drivers that need no configuration and may be named all the same.
var fixedParts = map[string]string{"registries": "static"}

// unbuilt are keys that have their meaning, but not in this version.
var unbuilt = []string{"proxy.tls", "telemetry"}

// readConfigFile reads a file strictly. Everything wrong in it is reported at once.
func readConfigFile(path string) (*configFile, []failure) {
	file, err := os.Open(path)
	if err != nil {
		return nil, []failure{{what: "configuration file cannot be read", cause: err, usage: true,
			fix: "name an existing file with --config, or leave it out and set everything by flags and variables"}}
	}
	defer file.Close()
	f := &configFile{path: path, entries: map[string]fileEntry{}}
	var document yaml.Node
	decoder := yaml.NewDecoder(file)
	err = decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return f, nil
	}
	if err == nil && !errors.Is(decoder.Decode(&yaml.Node{}), io.EOF) {
		err = errors.New("there is more than one document in it")
	}
	if err != nil {
		return nil, []failure{{what: path + " is not valid YAML", cause: err, usage: true, fix: "correct the file; see viridian serve --help for an example"}}
	}
	return f, f.take("", document.Content[0])
}

// take flattens the mapping under the prefix.
func (f *configFile) take(prefix string, node *yaml.Node) []failure {
	if node.Kind != yaml.MappingNode {
		return []failure{f.wrong(node, strings.TrimSuffix("the value of "+prefix, ".")+" is not a list of keys and values", "write key: value")}
	}
	var wrong []failure
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		key := prefix + name.Value
		if seen[key] {
			wrong = append(wrong, f.wrong(name, key+" is given twice", "keep one of them"))
			continue
		}
		seen[key] = true
		wrong = append(wrong, f.takeEntry(key, name, value)...)
	}
	return wrong
}

func (f *configFile) takeEntry(key string, name, value *yaml.Node) []failure {
	known := knownKeys()
	part, isPart := fixedParts[key]
	switch {
	case key == "routers":
		return f.takeRouters(value)
	case isPart:
		return f.takePart(key, part, value)
	case slices.Contains(unbuilt, key):
		return []failure{f.wrong(name, key+" is not supported in this version", "leave it out")}
	case slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key+".") }):
		return f.take(key+".", value)
	case !slices.Contains(known, key):
		fix := "see viridian serve --help for the keys"
		if near := rollout.Nearest(key, known); near != "" {
			fix = "did you mean " + near + "?"
		}
		return []failure{f.wrong(name, "unknown key "+key, fix)}
	case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
		return []failure{f.wrong(value, key+" has no single value", "write "+key+": VALUE, or leave it out")}
	}
	f.entries[key] = fileEntry{text: value.Value, line: value.Line}
	return nil
}

// takePart accepts a map of drivers that holds at most the one that is built in, without settings of its own.
func (f *configFile) takePart(key, allowed string, value *yaml.Node) []failure {
	if value.Tag == "!!null" {
		return nil
	}
	if value.Kind != yaml.MappingNode {
		return []failure{f.wrong(value, key+" is not a list of keys and values", "leave it out: "+allowed+" needs no configuration")}
	}
	var wrong []failure
	for i := 0; i+1 < len(value.Content); i += 2 {
		name, settings := value.Content[i], value.Content[i+1]
		if name.Value != allowed || len(settings.Content) > 0 {
			fix := "leave it out: " + allowed + " is there and needs no configuration"
			if name.Value == "consul" {
				fix = "write consul: {address: …} at the top; the registry consul is there when that is set"
			}
			wrong = append(wrong, f.wrong(name, key+"."+name.Value+" has no place here", fix))
		}
	}
	return wrong
}

func (f *configFile) wrong(node *yaml.Node, what, fix string) failure {
	return failure{what: f.at(node.Line) + ": " + what, fix: fix, usage: true}
}

func knownKeys() []string {
	keys := []string{"routers", "registries"}
	for _, s := range settings() {
		keys = append(keys, s.key)
	}
	return keys
}
