package cli

import (
	"viridian/registry"
	"viridian/registry/consul"
	"viridian/registry/static"
)

// openConsul makes the client of the configured Consul, if there is one. Nothing is connected to yet.
func (r *replica) openConsul() (err error) {
	if r.consul, err = r.config.Consul.client(); err != nil {
		return &failure{what: "consul", cause: err, fix: "see viridian serve --help for the settings of consul", usage: true}
	}
	return nil
}

// registries are the drivers by the names that specs give them.
func (r *replica) registries() map[string]registry.Registry {
	out := map[string]registry.Registry{"static": static.New(static.Options{Clock: r.clock, Logger: r.log})}
	if r.consul != nil {
		out["consul"] = consul.New(consul.Options{Client: r.consul, Agent: r.config.Consul.Agent, Clock: r.clock, Logger: r.log})
	}
	return out
}
