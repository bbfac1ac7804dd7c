package consul

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/hashicorp/consul/api"

	"viridian/rollout"
)

// What the meta of an entry says besides, see rollout.MetaEnvironment.
const (
	metaService = "viridian-service"
	metaVersion = "viridian-version"
	metaDigest  = "viridian-digest"
)

// notAsked is the output of a check that nobody has asked yet.
const notAsked = "viridian: not asked yet"

// entry is one instance as the catalog has it.
type entry struct {
	service  rollout.Service
	instance rollout.Instance
	catalog  api.AgentService
}

// nodeName is the external node of a generation. It cannot be that of another one: the number is what follows the last
// "-g".
func nodeName(g rollout.Generation) string {
	return "viridian-" + g.Environment + "-g" + strconv.Itoa(g.Number)
}

// servicesOf lists the services of the spec that the generation has a group of. One without a group is one that the
// spec got later.
func servicesOf(spec rollout.Spec, g rollout.Generation) (out []string) {
	for _, svc := range spec.Services {
		if slices.ContainsFunc(g.Groups, func(group rollout.Group) bool { return group.Service == svc.Name }) {
			out = append(out, svc.Name)
		}
	}
	return out
}

// entriesOf lists the instances of those services that we register.
func (r *Registry) entriesOf(spec rollout.Spec, g rollout.Generation) ([]entry, error) {
	if g.Environment == "" || g.Number < 1 {
		return nil, errors.New("a generation has an environment and a number of 1 or more")
	}
	if len(servicesOf(spec, g)) == 0 {
		return nil, fmt.Errorf("generation %d has no group of any service in the spec", g.Number)
	}
	var out []entry
	for _, svc := range spec.Services {
		for _, group := range g.Groups {
			if group.Service != svc.Name || group.Consul != nil { // others registered what was adopted
				continue
			}
			if len(group.Instances) == 0 {
				return nil, fmt.Errorf("generation %d has no instances of service %q", g.Number, svc.Name)
			}
			for _, in := range group.Instances {
				e := entry{service: svc, instance: in, catalog: serviceOf(g, svc, in)}
				if r.agent != "" {
					e.catalog.ID = agentID(g, e.catalog.Service, in)
				}
				out = append(out, e)
			}
		}
	}
	return out, nil
}

func serviceOf(g rollout.Generation, svc rollout.Service, in rollout.Instance) api.AgentService {
	meta := map[string]string{}
	for key, value := range in.Meta {
		meta[key] = value
	}
	meta[rollout.MetaEnvironment], meta[rollout.MetaGeneration] = g.Environment, strconv.Itoa(g.Number)
	meta[metaService], meta[metaVersion] = svc.Name, g.Version
	if g.Artifact != nil && g.Artifact.Digest != "" {
		meta[metaDigest] = g.Artifact.Digest
	}
	return api.AgentService{
		ID: svc.Name + "/" + in.ID, Service: rollout.CatalogName(g.Environment, svc), Address: in.Address, Port: in.Port,
		Tags: []string{"g" + strconv.Itoa(g.Number), g.Version, string(g.Colour)}, Meta: meta,
		Weights: api.AgentWeights{Passing: 1, Warning: 1},
	}
}

// checkOf is the check of an entry, in that state.
func checkOf(g rollout.Generation, e entry, status, output string) api.HealthCheck {
	return api.HealthCheck{Node: nodeName(g), CheckID: e.catalog.ID, Name: "viridian asks " + e.instance.ID, Status: status,
		Output: output, ServiceID: e.catalog.ID, ServiceName: e.catalog.Service}
}
