package rollout

import (
	"cmp"
	"fmt"
	"slices"
)

// CatalogName is the name under which a service of an environment is known outside, in a registry's catalog and in DNS:
// the one that the service says, else <environment>-<service>.
func CatalogName(environment string, svc Service) string {
	return cmp.Or(svc.CatalogName, environment+"-"+svc.Name)
}

// The meta keys by which an entry of a catalog says what it belongs to.
const (
	MetaEnvironment = "viridian-environment"
	MetaGeneration  = "viridian-generation"
)

// Neighbour is another environment, as it is declared.
type Neighbour struct {
	Name string
	Spec Spec
}

// checkCatalogNames refuses two services that would be known under one name: of this environment, or of two that have a
// router in common which goes by the name. Two specs that are written at the same moment do not see each other; then the
// router finds that the name is taken.
func (e Environment) checkCatalogNames(environment string, spec Spec) error {
	found := &specErrors{seen: map[string]bool{}}
	names := map[string]string{}
	for i, svc := range spec.Services {
		name, at := CatalogName(environment, svc), fmt.Sprintf("/services/%d", i)
		if first, taken := names[name]; taken {
			found.invalid(at+"/catalog_name", "%q is the name of the service at %s already", name, first)
		}
		names[name] = at
	}
	if refusal := found.refusal(); refusal != nil {
		return refusal
	}
	for _, n := range e.Neighbours {
		for _, svc := range n.Spec.Services {
			name := CatalogName(n.Name, svc)
			at, taken := names[name]
			router := e.shared(spec.Routers, n.Spec.Routers)
			if !taken || router == "" {
				continue
			}
			r := e.refuse(Conflict, "give the service another catalog_name, or leave the router out of one of the two",
				"router %s switches %s for service %s of environment %s already", router, name, svc.Name, n.Name)
			r.Errors = []FieldError{{Pointer: at + "/catalog_name", Detail: fmt.Sprintf("%q is the name of service %s of environment %s", name, svc.Name, n.Name)}}
			return r
		}
	}
	return nil
}

// shared names a router of both that goes by names in the catalog; empty for none.
func (e Environment) shared(routers, others []string) string {
	for _, router := range routers {
		if e.Finders[router] != "" && slices.Contains(others, router) {
			return router
		}
	}
	return ""
}

// checkFound refuses a spec by which what is kept would not be found any more, or by which two would have one name.
func (e Environment) checkFound(spec Spec) error {
	if err := e.checkCatalogNames(e.Name, spec); err != nil {
		return err
	}
	if svc, generation := e.renamed(spec); generation != 0 {
		return e.refuse(Conflict, "keep the name: another one can be given while no generation is kept, or to an environment that is created anew",
			"service %s is known as %s in the catalog, and generation %d has instances under that name", svc.Name, CatalogName(e.Name, svc), generation)
	}
	if r := e.unfollowed(spec); r != nil {
		return r
	}
	return nil
}

// renamed finds a service that would be known under another name by the other spec, with a generation that has
// instances of it. Those are announced and staged under the name that it has now.
func (e Environment) renamed(spec Spec) (svc Service, generation int) {
	for _, svc := range spec.Services {
		before, ok := e.Spec.Service(svc.Name)
		if !ok || CatalogName(e.Name, before) == CatalogName(e.Name, svc) {
			continue
		}
		i := slices.IndexFunc(e.Generations, func(g Generation) bool { return g.State != Retired && g.Sizes[svc.Name] > 0 })
		if i >= 0 {
			return before, e.Generations[i].Number
		}
	}
	return Service{}, 0
}
