package cli

import (
	"context"
	"fmt"
	"sync"
	"time"

	"viridian/migrations"
	"viridian/rollout/controller"
	"viridian/store"
)

// run serves until ctx ends, or until a part of the replica ends by itself, which is an error. Then it ends in order,
// the loops that others can take over first, and the proxy with what it is fed by last:
//
//	work is given back → API and proxy finish what they began → the node signs off → probing and the database
func (r *replica) run(ctx context.Context) error {
	follower, worker := controller.NewFollower(r.options()), controller.NewWorker(r.options())
	parts := newCrew(ctx)
	endProbes := parts.start("the router", r.router.Run)
	endFleets := parts.start("the fleets", r.runFleets)
	endProxy := parts.start("the proxy", served(r.proxy.serve))
	endAPI := parts.start("the API", served(r.api.serve))
	endSchema := parts.start("the schema", r.reachSchema)
	endFollower := parts.start("the follower", r.afterSchema(follower.Run))
	endWorker := parts.start("the worker", r.afterSchema(worker.Run))
	endHints := parts.start("the listener for hints", r.afterSchema(func(ctx context.Context) error {
		return r.store.Listen(ctx, func(environment string) {
			if environment != "" { // where any may have changed, the poll finds out
				r.hub.Hint(environment)
			}
		})
	}))

	var failure error
	select {
	case <-ctx.Done():
		r.log.Info("ending in order; a second signal ends at once", "shutdown_delay", r.config.ShutdownDelay, "drain_timeout", r.config.DrainTimeout)
	case failure = <-parts.failed:
		r.log.Error("ending, since a part has failed", "error", failure)
	}
	endWorker()
	var servers sync.WaitGroup
	servers.Go(func() { r.api.shutdown(r.config.ShutdownDelay) })
	servers.Go(func() { r.proxy.shutdown(r.config.ShutdownDelay, r.config.DrainTimeout) })
	servers.Wait()
	endAPI()
	endProxy()
	endHints()
	endSchema()
	endFollower()
	if closed(r.migrated) {
		if err := follower.SignOff(context.WithoutCancel(ctx)); err != nil {
			r.log.Warn("the node could not sign off; it counts as unreachable soon", "error", err)
		}
	}
	endProbes()
	endFleets()
	r.store.Close()
	r.log.Info("ended")
	return failure
}

// afterSchema holds a part back until the database is there.
func (r *replica) afterSchema(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-r.migrated:
			return run(ctx)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const (
	schemaFirstPause = 50 * time.Millisecond
	schemaLastPause  = 5 * time.Second
)

// reachSchema tries until the database is there with the schema that this binary wants, and then waits for ctx. A
// cause is logged when it is new.
func (r *replica) reachSchema(ctx context.Context) error {
	pause, cause := schemaFirstPause, ""
	for {
		err := r.prepareSchema(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if text := redactText(err.Error()); text != cause {
			cause = text
			r.log.Warn("the database is not ready, will go on trying; traffic is served from the last routes", "error", text)
		}
		timer := r.clock.NewTimer(pause)
		select {
		case <-timer.Chan():
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, schemaLastPause)
	}
	r.log.Info("the database is ready", "schema_version", migrations.Latest())
	close(r.migrated)
	<-ctx.Done()
	return ctx.Err()
}

// prepareSchema brings the schema up to date, or only looks when that is somebody else's work.
func (r *replica) prepareSchema(ctx context.Context) error {
	if r.config.Migrate {
		if err := migrations.Up(ctx, r.config.migrateURL()); err != nil {
			return err
		}
		if err := r.grantService(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.CallTimeout)
	defer cancel()
	version, dirty, err := migrations.Version(ctx, r.config.DatabaseURL)
	switch {
	case err != nil:
		return err
	case dirty:
		return &migrations.DirtyError{Version: version}
	case version < migrations.Latest():
		return fmt.Errorf("the schema is at version %d and this program wants %d: run viridian migrate up", version, migrations.Latest())
	}
	return r.store.Ping(ctx)
}

// grantService lets the service's role use what another role's migrations have made.
func (r *replica) grantService(ctx context.Context) error {
	service, err := store.RoleOf(r.config.DatabaseURL)
	if err != nil {
		return err
	}
	owner, err := store.RoleOf(r.config.migrateURL())
	if err != nil || owner == service {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.CallTimeout)
	defer cancel()
	return store.GrantService(ctx, r.config.migrateURL(), service)
}
