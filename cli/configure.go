package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"viridian/rollout"
)

const configEnv = "VIRIDIAN_CONFIG"

// otherVariables are the variables of ours that are no settings.
var otherVariables = []string{configEnv, "VIRIDIAN_FAILPOINTS", handoverEnv, "VIRIDIAN_PG_BIN", "VIRIDIAN_SERVER", "VIRIDIAN_TOKEN"}

// configFlags are --config and a flag for each of the settings, all of them when none is named.
func configFlags(keys ...string) []cli.Flag {
	flags := []cli.Flag{&cli.StringFlag{Name: "config", Usage: "`FILE` with settings in YAML; env " + configEnv, HideDefault: true}}
	for _, s := range settings() {
		if len(keys) > 0 && !slices.Contains(keys, s.key) {
			continue
		}
		usage := s.usage + "; env " + s.env() + ", key " + s.key
		if s.preset != nil {
			usage += fmt.Sprintf(" (default: %s)", s.preset())
		}
		if s.key == "migrate" {
			flags = append(flags, &cli.BoolFlag{Name: s.flag(), Usage: usage, HideDefault: true})
			continue
		}
		flags = append(flags, &cli.StringFlag{Name: s.flag(), Usage: usage, HideDefault: true})
	}
	return flags
}

// configure resolves the configuration for a command. The failures list everything that is wrong.
func (p *program) configure(c *cli.Command) (config, []settingValue, []failure) {
	from := sources{env: p.lookup, flag: func(name string) (string, bool) {
		return fmt.Sprint(c.Value(name)), c.IsSet(name)
	}}
	path := c.String("config")
	if path == "" {
		path, _ = p.lookup(configEnv)
	}
	var wrong []failure
	if path != "" {
		from.file, wrong = readConfigFile(path)
	}
	cfg, values, more := resolve(from)
	return cfg, values, append(wrong, more...)
}

// configured is configure for commands that need what is named in required.
func (p *program) configured(c *cli.Command, required ...string) (config, error) {
	cfg, values, wrong := p.configure(c)
	wrong = append(wrong, missing(values, required)...)
	return cfg, joined(wrong)
}

// missing says which of the required settings have no value.
func missing(values []settingValue, required []string) []failure {
	var wrong []failure
	for _, v := range values {
		if v.Text == "" && slices.Contains(required, v.key) {
			wrong = append(wrong, failure{what: v.key + " is not set", usage: true,
				fix: fmt.Sprintf("set %s in the configuration file, %s, or --%s: %s", v.key, v.env(), v.flag(), v.usage)})
		}
	}
	return wrong
}

// joined makes one failure of many: the first one's words, and the others' below.
func joined(all []failure) error {
	switch len(all) {
	case 0:
		return nil
	case 1:
		return &all[0]
	}
	var rest []string
	for _, f := range all[1:] {
		rest = append(rest, f.lines())
	}
	first := all[0]
	first.fix = strings.Join(append([]string{first.fix}, rest...), "\n")
	return &first
}

// mistyped lists variables that look like a setting and are none, for a warning. Other VIRIDIAN_… variables may be
// somebody else's: orchestrators make such names from the names of services.
func mistyped(environ []string) []string {
	known := slices.Clone(otherVariables)
	for _, s := range settings() {
		known = append(known, s.env())
	}
	var out []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, "VIRIDIAN_") || slices.Contains(known, name) {
			continue
		}
		if near := rollout.Nearest(name, known); near != "" {
			out = append(out, fmt.Sprintf("%s is set and means nothing: did you mean %s?", name, near))
		}
	}
	return out
}

func environ() []string { return os.Environ() }
