package builtin

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"viridian/rollout"
	"viridian/router"
)

// environment is what this node knows of one environment.
type environment struct {
	name  string
	file  chan struct{}    // capacity 1: whoever put something in may write the state file
	sites map[string]*site // by host; guarded by Router.mu
	told  bool             // somebody spoke of it in this run, not only a state file; guarded by Router.mu

	mu          sync.Mutex    // guards what follows; never held during I/O, so that a slow disk delays no flip
	route       rollout.Route // what the table does
	generations map[int]*generation
	forgotten   bool // taken out of Router.environments

	persisted      state  // what the state file says
	persistedState []byte // the same, encoded
	fileError      error  // why the last write failed; nil when the file is up to date
}

func newEnvironment(name string) *environment {
	return &environment{name: name, file: make(chan struct{}, 1), route: rollout.Route{Environment: name},
		generations: map[int]*generation{}}
}

// lock returns the environment with its mutex held, made when it is new. The caller unlocks it.
func (r *Router) lock(name string) (*environment, error) {
	if !rollout.ValidName(name) { // it becomes part of a file name
		return nil, fmt.Errorf("%q is not the name of an environment", name)
	}
	for {
		r.mu.Lock()
		env := r.environments[name]
		if env == nil {
			env = newEnvironment(name)
			r.environments[name] = env
		}
		r.mu.Unlock()
		env.mu.Lock()
		if !env.forgotten {
			return env, nil
		}
		env.mu.Unlock()
	}
}

// publish makes the environment's route and generations what the proxy does. env.mu is held.
func (r *Router) publish(env *environment) {
	sites := env.build()
	r.mu.Lock()
	defer r.mu.Unlock()
	env.sites, env.told = sites, true
	delete(r.bad, env.name)
	r.swapLocked()
}

// build makes the sites of the environment. A service without a weighted generation has one that answers 503.
func (env *environment) build() map[string]*site {
	sites := map[string]*site{}
	numbers := env.route.Weights.Numbers()
	for _, svc := range env.route.Services {
		s := &site{environment: env.name}
		below := 0
		for _, n := range numbers {
			below += env.route.Weights[n]
			s.choices = append(s.choices, choice{below: below, pool: env.generations[n].pools[svc.Name]})
		}
		if len(s.choices) == 1 {
			s.single, s.choices = s.choices[0].pool, nil
		}
		for _, host := range svc.Hosts {
			sites[hostKey(host)] = s
		}
	}
	return sites
}

// adoptSpec takes hosts, health questions and drain from the route unless what is known is newer.
func (env *environment) adoptSpec(route rollout.Route) {
	if route.SpecVersion < env.route.SpecVersion {
		return
	}
	env.route.SpecVersion = route.SpecVersion
	env.route.Services = slices.Clone(route.Services)
	env.route.Drain = route.Drain
}

// inUse says whether the generation has weight or is one that traffic may return to at once.
func (env *environment) inUse(number int) bool {
	return env.route.Weights.Carries(number) || (number != 0 && (number == env.route.Live || number == env.route.Previous))
}

// asks says whether the service's instances are asked for their health.
func (env *environment) asks(service string) bool {
	return slices.ContainsFunc(env.route.Services, func(svc rollout.RouteService) bool {
		return svc.Name == service && svc.Health.Interval > 0
	})
}

// numbers lists the generations that are known, in order.
func (env *environment) numbers() []int { return slices.Sorted(maps.Keys(env.generations)) }

// checkServices refuses what this router would have to ignore.
func checkServices(services []rollout.RouteService) error {
	for _, svc := range services {
		if svc.Protocol != "" && svc.Protocol != "http" {
			return fmt.Errorf("service %q: the builtin router does not speak protocol %q", svc.Name, svc.Protocol)
		}
		if svc.UpstreamTLS {
			return fmt.Errorf("service %q: the builtin router does not speak TLS to instances", svc.Name)
		}
	}
	return nil
}

func stale(env *environment, revision int64) error {
	return fmt.Errorf("environment %s, revision %d after %d: %w", env.name, revision, env.route.Revision, router.ErrStale)
}
