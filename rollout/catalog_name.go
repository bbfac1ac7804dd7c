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

// CheckCatalogNames refuses, with [InvalidRequest], two services of one environment that would be known under one name.
func (s Spec) CheckCatalogNames(environment string) error {
	seen := &specErrors{seen: map[string]bool{}}
	names := map[string]string{}
	for i, svc := range s.Services {
		name, at := CatalogName(environment, svc), fmt.Sprintf("/services/%d", i)
		if first, taken := names[name]; taken {
			seen.invalid(at+"/catalog_name", "%q is the name of the service at %s already", name, first)
		}
		names[name] = at
	}
	if refusal := seen.refusal(); refusal != nil {
		return refusal
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
