package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/urfave/cli/v3"

	"viridian/migrations"
	"viridian/store"
)

func (p *program) migrateCommand() *cli.Command {
	flags := func() []cli.Flag { return configFlags("database_url", "migrate_database_url") }
	return &cli.Command{
		Name:  "migrate",
		Usage: "bring the database schema up to date, or look at it",
		Description: "serve does this at its start, unless migrate is false. The role needs to own the schema; serve can\n" +
			"use another one, which is let in again after each migration:\n\n" +
			"   viridian migrate up --database-url postgres://owner@db/viridian --grant-to viridian\n" +
			"   viridian migrate version --config viridian.yaml",
		Action: group,
		Commands: []*cli.Command{
			{
				Name: "up", Usage: "apply every migration that is missing",
				Flags:  append(flags(), &cli.StringFlag{Name: "grant-to", Usage: "then let this database `ROLE` run the service"}),
				Action: alone(p.migrateUp),
			},
			{Name: "version", Usage: "print the version of the schema and the newest one", Flags: flags(), Action: alone(p.migrateVersion)},
			{
				Name: "force", Usage: "record that the schema is at a version, changing nothing else", ArgsUsage: "VERSION",
				Flags: flags(), Action: p.migrateForce,
			},
		},
	}
}

func (p *program) migrateUp(ctx context.Context, c *cli.Command) error {
	cfg, err := p.configured(c, "database_url")
	if err != nil {
		return err
	}
	if err := migrateUp(ctx, cfg); err != nil {
		return databaseFailure(err)
	}
	if role := c.String("grant-to"); role != "" {
		if err := store.GrantService(ctx, cfg.migrateURL(), role); err != nil {
			return databaseFailure(err)
		}
		p.say("role %s may run the service", role)
	}
	return p.printVersion(ctx, cfg)
}

func (p *program) migrateVersion(ctx context.Context, c *cli.Command) error {
	cfg, err := p.configured(c, "database_url")
	if err != nil {
		return err
	}
	return p.printVersion(ctx, cfg)
}

func (p *program) printVersion(ctx context.Context, cfg config) error {
	version, dirty, err := migrations.Version(ctx, cfg.migrateURL())
	if err != nil {
		return databaseFailure(err)
	}
	state := ""
	if dirty {
		state = ", dirty"
	}
	_, err = fmt.Fprintf(p.stdout, "schema version %d of %d%s\n", version, migrations.Latest(), state)
	return err
}

func (p *program) migrateForce(ctx context.Context, c *cli.Command) error {
	version, err := strconv.ParseUint(c.Args().First(), 10, 31)
	if err != nil || c.Args().Len() != 1 || version > uint64(migrations.Latest()) {
		return &failure{what: "force needs one version", usage: true,
			fix: fmt.Sprintf("give a number from 0 to %d, as in: viridian migrate force %[1]d", migrations.Latest())}
	}
	cfg, err := p.configured(c, "database_url")
	if err != nil {
		return err
	}
	if err := migrations.Force(ctx, cfg.migrateURL(), uint(version)); err != nil {
		return databaseFailure(err)
	}
	return p.printVersion(ctx, cfg)
}

// databaseFailure adds what to do to an error of the database.
func databaseFailure(err error) error {
	f := &failure{what: "the database", cause: err, fix: "look whether it runs, and whether database_url is right: viridian config check"}
	var dirty *migrations.DirtyError
	var pooler *migrations.PoolerError
	var rights *migrations.RightsError
	if errors.As(err, &dirty) || errors.As(err, &pooler) || errors.As(err, &rights) || errors.Is(err, store.ErrPooler) || errors.Is(err, store.ErrNoRights) {
		f.fix = "" // it says what to do
	}
	return f
}
