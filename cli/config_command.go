package cli

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"
)

func (p *program) configCommand() *cli.Command {
	return &cli.Command{
		Name:   "config",
		Usage:  "look at the configuration",
		Action: group,
		Commands: []*cli.Command{{
			Name:  "check",
			Usage: "print the effective configuration and where each value comes from",
			Description: "Passwords are not shown. The exit code is 2 when something is wrong.\n\n" +
				"   viridian config check --config viridian.yaml\n" +
				"   VIRIDIAN_LISTEN=127.0.0.1:7171 viridian config check",
			Flags:  configFlags(),
			Action: alone(p.checkConfig),
		}},
	}
}

func (p *program) checkConfig(_ context.Context, c *cli.Command) error {
	_, values, wrong := p.configure(c)
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	for _, v := range values {
		shown := v.redacted()
		if shown == "" {
			shown = "-"
		}
		row(table, v.key, shown, v.Origin)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, warning := range mistyped(environ()) {
		p.say("viridian: warning: %s", warning)
	}
	return joined(append(wrong, missing(values, serveNeeds)...))
}

// row writes one row of a table; Flush tells of errors.
func row(table *tabwriter.Writer, cells ...string) {
	_, _ = fmt.Fprintln(table, strings.Join(cells, "\t"))
}
