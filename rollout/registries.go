package rollout

import (
	"fmt"
	"slices"
	"strings"
)

// registries are the drivers that there are.
var registries = []string{"static", "consul"}

// CheckRegistry refuses, with [InvalidRequest], a specification that names a registry which the installation does not
// have. Known are the names of those that it has.
func (s Spec) CheckRegistry(known []string) error {
	if slices.Contains(known, s.Registry) {
		return nil
	}
	known = slices.Sorted(slices.Values(known))
	detail := fmt.Sprintf("no registry %q is configured; there are: %s", s.Registry, strings.Join(known, ", "))
	r := Refuse(InvalidRequest, "the specification names a registry that this installation does not have: "+detail,
		"name another one, or configure it in viridian.yaml, on every replica (consul.address for \"consul\")")
	r.Errors = []FieldError{{Pointer: "/registry", Detail: detail}}
	return r
}
