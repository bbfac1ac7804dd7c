package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"viridian/migrations"
	"viridian/store"
)

const (
	schemaFirstPause = 50 * time.Millisecond
	schemaLastPause  = 5 * time.Second
)

// reachSchema tries until the database is there with the schema that this binary wants, and then waits for ctx. A
// cause is logged when it is new.
func (r *replica) reachSchema(ctx context.Context) error {
	if closed(r.migrated) { // before this process took over
		<-ctx.Done()
		return ctx.Err()
	}
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

// trySchema tries for that long, and returns why it has failed. A schema that only a person can mend is no reason to
// wait.
func (r *replica) trySchema(ctx context.Context, patience time.Duration) error {
	over := r.clock.NewTimer(patience)
	defer over.Stop()
	for {
		err := r.prepareSchema(ctx)
		var dirty *migrations.DirtyError
		if err == nil || errors.As(err, &dirty) {
			return err
		}
		pause := r.clock.NewTimer(schemaFirstPause)
		select {
		case <-pause.Chan():
		case <-over.Chan():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// prepareSchema brings the schema up to date, or only looks when that is somebody else's work.
func (r *replica) prepareSchema(ctx context.Context) error {
	if r.config.Migrate {
		if err := migrateUp(ctx, r.config); err != nil {
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

// migrateUp applies what is missing. A connection that is said to be for this is not asked whether it is direct.
func migrateUp(ctx context.Context, cfg config) error {
	if cfg.MigrateDatabaseURL == "" {
		if err := migrations.CheckDirect(ctx, cfg.DatabaseURL); err != nil {
			return err
		}
	}
	return migrations.Up(ctx, cfg.migrateURL())
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
