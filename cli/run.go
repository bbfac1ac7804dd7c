package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"viridian/rollout"
)

// Exit codes of the program.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// program is what every command gets from the outside.
type program struct {
	stdout, stderr io.Writer
	lookup         func(name string) (string, bool) // an environment variable
	openapi        []byte
	version        string
	self           self
}

// Run runs the command that args (without the program's name) asks for and returns the exit code: 0, 1 for a failure,
// 2 for a mistake in the arguments or the configuration. openapi is the API contract to serve. When ctx ends, a
// running server shuts down in order.
func Run(ctx context.Context, args []string, openapi []byte, version string) int {
	p := &program{stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv, openapi: openapi, version: version, self: whoAmI(args)}
	return p.run(ctx, args)
}

func (p *program) run(ctx context.Context, args []string) int {
	err := p.root().Run(ctx, append([]string{"viridian"}, args...))
	var f *failure
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &f):
		p.say("%s", f.lines())
		if f.usage {
			return exitUsage
		}
	default:
		p.say("viridian: %v", err)
	}
	return exitFailure
}

// say tells the person at the terminal something that is not the command's result.
func (p *program) say(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stderr, format+"\n", args...) // without a terminal there is nobody to tell
}

func (p *program) root() *cli.Command {
	root := &cli.Command{
		Name:  "viridian",
		Usage: "switch production traffic between immutable generations",
		Description: "Try everything on this machine, with a demo:\n\n" +
			"   viridian dev\n\n" +
			"Run it for real, on your Postgres:\n\n" +
			"   viridian config check --config viridian.yaml\n" +
			"   viridian serve --config viridian.yaml\n" +
			"   viridian token create --config viridian.yaml --name root --role admin",
		Writer:          p.stdout,
		ErrWriter:       p.stderr,
		HideHelpCommand: true,
		HideVersion:     true,
		ExitErrHandler:  func(context.Context, *cli.Command, error) {}, // run decides
		Commands: []*cli.Command{
			p.devCommand(), p.serveCommand(), p.migrateCommand(), p.tokenCommand(), p.auditCommand(), p.configCommand(), p.haproxyConfigCommand(),
			p.readyCommand(), p.demoAppCommand(), p.versionCommand(),
		},
	}
	root.Action = group
	strict(root)
	return root
}

// strict makes every mistake in the flags a usage failure with a fix, for the command and all below it.
func strict(c *cli.Command) {
	c.OnUsageError = func(_ context.Context, c *cli.Command, err error, _ bool) error {
		f := &failure{what: err.Error(), fix: "see " + c.FullName() + " --help", usage: true}
		if name, unknown := strings.CutPrefix(f.what, "flag provided but not defined: "); unknown {
			name = strings.TrimLeft(name, "-")
			var known []string
			for _, flag := range c.Flags {
				known = append(known, flag.Names()...)
			}
			f.what = "unknown flag --" + name
			if near := rollout.Nearest(name, known); near != "" {
				f.fix = "did you mean --" + near + "?"
			}
		}
		return f
	}
	for _, sub := range c.Commands {
		strict(sub)
	}
}

// group is the action of a command that only holds others: it shows them, or says that there is no such one.
func group(_ context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		return cli.ShowSubcommandHelp(c)
	}
	asked := c.Args().First()
	var names []string
	for _, sub := range c.VisibleCommands() {
		names = append(names, sub.Name)
	}
	fix := "see " + c.FullName() + " --help"
	if near := rollout.Nearest(asked, names); near != "" {
		fix = fmt.Sprintf("did you mean %s %s?", c.FullName(), near)
	}
	return &failure{what: fmt.Sprintf("unknown command %q", asked), fix: fix, usage: true}
}

// alone wraps the action of a command that takes no arguments.
func alone(action cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, c *cli.Command) error {
		if c.Args().Present() {
			return &failure{what: fmt.Sprintf("unexpected argument %q", c.Args().First()), fix: "see " + c.FullName() + " --help", usage: true}
		}
		return action(ctx, c)
	}
}
