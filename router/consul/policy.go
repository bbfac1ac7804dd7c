package consul

import (
	_ "embed" // the policies are files, for people to use as they are
	"strings"
)

// The smallest ACL policies of the drivers.
var (
	//go:embed splitter.hcl
	splitterPolicy string
	//go:embed query.hcl
	queryPolicy string
	//go:embed kv.hcl
	pointerPolicy string
)

// rules is a policy on one line, without its comments.
func rules(policy string) string {
	var out []string
	for line := range strings.Lines(policy) {
		if !strings.HasPrefix(line, "#") {
			out = append(out, strings.Fields(line)...)
		}
	}
	return strings.Join(out, " ")
}
