package cli

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
)

// serveNeeds are the settings that serve does not run without.
var serveNeeds = []string{"database_url", "node_name", "state_dir"}

func (p *program) serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run Viridian: its API, and the load balancer inside it",
		Description: "Several on one database are the normal way to run it. It begins to serve its last routes at once, and\n" +
			"waits for the database. On SIGTERM it ends in order; requests in flight are finished. On SIGHUP it rereads its\n" +
			"configuration: log.level changes at once, for what else changed it says that a restart is needed. On SIGUSR2\n" +
			"it starts the program anew, with the same arguments, and hands its sockets over once that serves: so a new\n" +
			"version takes its place without a lost request. Should the new one fail, the old one goes on. (A container ends\n" +
			"with its first process: there, start a new one beside it.)\n\n" +
			"   kill -USR2 $(cat /var/lib/viridian/state/serve.pid)\n\n" +
			"Sockets of systemd with the names api and proxy are used instead of listen and proxy.listen.\n\n" +
			"Every setting is a flag, an environment variable or a key in a YAML file; the first of these that gives a\n" +
			"value wins. A small viridian.yaml:\n\n" +
			"   database_url: " + databaseExample + "?sslmode=verify-full\n" +
			"   listen: \":7070\"\n" +
			"   proxy:\n" +
			"     listen: \":8080\"\n" +
			"   node_name: edge-1\n" +
			"   state_dir: /var/lib/viridian/state\n" +
			"   log:\n" +
			"     format: json\n\n" +
			"   viridian serve --config viridian.yaml\n\n" +
			consulHelp + "\n\n" + routersHelp(),
		Flags:  configFlags(),
		Action: alone(p.serve),
	}
}

func (p *program) serve(ctx context.Context, c *cli.Command) error {
	cfg, values, wrong := p.configure(c)
	if err := joined(append(wrong, missing(values, serveNeeds)...)); err != nil {
		return err
	}
	log, level := newLogger(cfg, p.stderr)
	for _, warning := range mistyped(environ()) {
		log.Warn(warning)
	}
	reloading := &reload{program: p, command: c, log: log, level: level, values: values}
	defer reloading.listen()()
	upgrades := make(chan os.Signal, 1)
	signal.Notify(upgrades, syscall.SIGUSR2)
	defer signal.Stop(upgrades)
	in, err := inherit()
	if err != nil {
		return err
	}
	r, err := newReplica(ctx, p, cfg, log, in)
	if err != nil {
		return err
	}
	r.self, r.upgrades = p.self, upgrades
	return r.run(ctx)
}
