package cli

import (
	"context"

	"golang.org/x/sync/errgroup"

	"viridian/rollout"
	"viridian/rollout/controller"
)

// openFleets makes what drives the nodes of the configured routers. Nothing is connected to yet.
func (r *replica) openFleets() error {
	r.fleets = map[string]controller.Fleet{}
	for _, c := range r.config.Routers {
		driver, known := routerDrivers[c.driver]
		if !known {
			return &failure{what: "router " + c.name + " has the unknown driver " + c.driver, fix: "see viridian serve --help", usage: true}
		}
		fleet := controller.Fleet{Driver: c.driver, Required: c.required, Grade: rollout.GradeFenced, Undivided: driver.undivided, Finds: driver.finds, Nodes: map[string]controller.Remote{}}
		for _, n := range c.nodes {
			node, grade, err := driver.open(n, driverParts{clock: r.clock, failpoints: r.failpoints, log: r.log, consul: &r.config.Consul})
			if err != nil {
				return &failure{what: "router " + c.name, cause: err, fix: driver.example + "; see viridian serve --help", usage: true}
			}
			if grade != rollout.GradeFenced {
				fleet.Grade = grade
				r.log.Warn("node has no fence: a replica that was stopped for long may undo a switch there, until it is seen",
					"router", n.router, "node", n.name)
			}
			fleet.Nodes[n.name] = node
		}
		r.fleets[c.name] = fleet
	}
	return nil
}

// required are the policies of the configured routers.
func (r *replica) required() map[string]rollout.Required {
	out := map[string]rollout.Required{}
	for name, fleet := range r.fleets {
		out[name] = fleet.Required
	}
	return out
}

// undivided are the configured routers that take no shares.
func (r *replica) undivided() (names []string) {
	for name, fleet := range r.fleets {
		if fleet.Undivided {
			names = append(names, name)
		}
	}
	return names
}

// finders are the configured routers that find instances in Consul's catalog.
func (r *replica) finders() map[string]rollout.Finder {
	out := map[string]rollout.Finder{}
	for name, fleet := range r.fleets {
		if fleet.Finds != "" {
			out[name] = fleet.Finds
		}
	}
	return out
}

// runFleets runs what drivers do beside being asked, such as counting traffic, and closes them at the end.
func (r *replica) runFleets(ctx context.Context) error {
	all, running := errgroup.WithContext(ctx)
	for _, fleet := range r.fleets {
		for _, node := range fleet.Nodes {
			if runner, ok := node.(interface{ Run(context.Context) error }); ok {
				all.Go(func() error { return runner.Run(running) })
			}
			if closer, ok := node.(interface{ Close() }); ok {
				defer closer.Close()
			}
		}
	}
	all.Go(func() error {
		<-running.Done()
		return running.Err()
	})
	return all.Wait()
}
