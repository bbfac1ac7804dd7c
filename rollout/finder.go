package rollout

import (
	"fmt"
	"slices"
)

// Finder says how a router that is not told where instances are finds those of a generation in Consul's catalog. What
// Viridian registered has its generation in its meta; what registered itself is found by the filter that it was
// adopted with, and not by the list.
type Finder string

// The finders.
const (
	FindsByFilter Finder = "filter" // by any filter, among the instances of the service that it switches
	FindsByMeta   Finder = "meta"   // by what a [Selection] has, of any service
)

// unfindable refuses to adopt what a router of the environment could not find or tell from another generation; nil when
// they all can.
func (e Environment) unfindable(groups []Group) *Refusal {
	var wrong []FieldError
	for i, group := range groups {
		if group.Consul == nil {
			continue
		}
		svc, _ := e.Spec.Service(group.Service)
		for _, router := range e.Spec.Routers {
			if pointer, detail := e.Finders[router].lacks(CatalogName(e.Name, svc), *group.Consul); detail != "" {
				wrong = append(wrong, FieldError{Pointer: fmt.Sprintf("/groups/%d/consul/%s", i, pointer), Detail: fmt.Sprintf("router %s: %s", router, detail)})
			}
		}
	}
	if len(wrong) > 0 {
		return &Refusal{Code: InvalidRequest, Detail: "a router of the environment would not find the instances: " + wrong[0].Detail,
			Fixes: []string{"change what errors names, or leave the router out of the environment"}, Errors: wrong, Revision: e.Revision}
	}
	return e.indistinct(groups)
}

// unfollowed refuses a router that comes into the spec and would not find the instances of a generation that is kept.
func (e Environment) unfollowed(spec Spec) *Refusal {
	for _, router := range spec.Routers {
		if slices.Contains(e.Spec.Routers, router) {
			continue
		}
		for _, g := range e.Generations {
			for _, svc := range spec.Services {
				a, adopted := g.Adopts[svc.Name]
				if _, detail := e.Finders[router].lacks(CatalogName(e.Name, svc), a); adopted && g.State.Holds() && detail != "" {
					return e.refuse(Conflict, "retire the generation first, or leave the router out", "router %s cannot follow generation %d: %s", router, g.Number, detail)
				}
			}
		}
	}
	return nil
}

// lacks says what of an adoption a finder could not use, and where; empty when it can.
func (f Finder) lacks(catalogName string, a Adoption) (pointer, detail string) {
	switch {
	case f == "":
	case a.Filter == "":
		return "filter", "without a filter nothing tells the instances from those of another generation"
	case f == FindsByFilter && a.Service != catalogName:
		return "service", fmt.Sprintf("it switches service %s of Consul, not %s: %s", catalogName, a.Service, renaming(a.Service))
	case f == FindsByMeta:
		if _, err := ParseSelection(a.Filter); err != nil {
			return "filter", fmt.Sprintf("%v; a prepared query follows %s", err, SelectionForms)
		}
	}
	return "", ""
}

// renaming says how a service comes to be known by the name that its instances have.
func renaming(service string) string {
	if !ValidName(service) {
		return "register them under a name of a-z, 0-9 and -, and give that as catalog_name of the service in the spec"
	}
	return fmt.Sprintf("give the service in the spec \"catalog_name\": %q", service)
}

// indistinct refuses an adoption that finds the instances of another generation, where a router goes by the filter.
func (e Environment) indistinct(groups []Group) *Refusal {
	if !slices.ContainsFunc(e.Spec.Routers, func(router string) bool { return e.Finders[router] != "" }) {
		return nil
	}
	for _, group := range groups {
		if group.Consul == nil {
			continue
		}
		for _, g := range e.Generations {
			if before, ok := g.Adopts[group.Service]; ok && g.State.Holds() && before.Overlaps(*group.Consul) {
				return e.refuse(Conflict, "give a filter by what this generation alone has, such as Service.Meta.build == \"1812\", or retire the other one",
					"the filter of service %s finds what that of generation %d finds (%s), and nothing else tells the two apart", group.Service, g.Number, before.Filter)
			}
		}
	}
	return nil
}
