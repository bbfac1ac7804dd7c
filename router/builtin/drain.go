package builtin

import (
	"context"

	"github.com/jonboulle/clockwork"
)

// startDrain gives what is open on the generation the route's drain time. env.mu is held.
func (r *Router) startDrain(env *environment, g *generation) {
	var timer clockwork.Timer
	timer = r.clock.AfterFunc(env.route.Drain.Std(), func() {
		env.mu.Lock()
		defer env.mu.Unlock()
		r.drainOver(g, timer)
	})
	g.drain = timer
}

// drainOver cuts what outlasted the drain that the timer was for. environment.mu is held.
func (r *Router) drainOver(g *generation, timer clockwork.Timer) {
	if g.drain != timer { // weight came back while this call was on its way
		return
	}
	g.drain = nil
	if n := g.cutOpen(); n > 0 {
		r.logger.Info("drain is over, cut what was still open",
			"environment", g.environment, "generation", g.number, "cut", n)
	}
	g.closeIdle()
}

// stopDrain lets what is open go on, and new requests in. environment.mu is held.
func (g *generation) stopDrain() {
	if g.drain != nil {
		g.drain.Stop()
		g.drain = nil
	}
	g.cutting.Store(false)
}

// InFlight counts the requests and upgraded connections that are open on the generation; 0 for an unknown one.
func (r *Router) InFlight(_ context.Context, environment string, generation int) (int, error) {
	if g := r.generation(environment, generation); g != nil {
		return int(g.open.Load()), nil
	}
	return 0, nil
}

// Cut counts the requests and connections that were ended because they outlasted a drain of the generation, since it
// was staged or the process began.
func (r *Router) Cut(environment string, generation int) int64 {
	if g := r.generation(environment, generation); g != nil {
		return g.cut.Load()
	}
	return 0
}

func (r *Router) generation(environment string, number int) *generation {
	env := r.known(environment)
	if env == nil {
		return nil
	}
	env.mu.Lock()
	defer env.mu.Unlock()
	return env.generations[number]
}
