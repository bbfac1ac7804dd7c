package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/urfave/cli/v3"

	"viridian/rollout"
	"viridian/router/haproxy"
)

func (p *program) haproxyConfigCommand() *cli.Command {
	server, given := p.lookup("VIRIDIAN_SERVER")
	if !given {
		server = "http://127.0.0.1:7070"
	}
	return &cli.Command{
		Name:      "haproxy-config",
		Usage:     "print the configuration that an HAProxy needs to be driven",
		ArgsUsage: "ENVIRONMENT...",
		Description: "Prints on standard output, for HAProxy 2.6 or newer, what to load beside your haproxy.cfg; with --rules the\n" +
			"lines for its frontends, and with --init a whole haproxy.cfg that runs as it is. The specification of each\n" +
			"environment comes from a server, or of one environment from a file:\n\n" +
			"   viridian haproxy-config shop blog --server https://viridian:7070 > /etc/haproxy/viridian.cfg\n" +
			"   viridian haproxy-config shop --spec shop.json --init > haproxy.cfg\n\n" +
			"Print it anew, and reload, when a health question, keep_generations or the number of servers changes. All else\n" +
			"changes without a reload.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "server", Value: server, Usage: "the `URL` of a Viridian; by default VIRIDIAN_SERVER"},
			&cli.StringFlag{Name: "token", Usage: "a viewer's `TOKEN`; by default VIRIDIAN_TOKEN"},
			&cli.StringFlag{Name: "spec", Usage: "read the specification of the one environment from a `FILE` instead"},
			&cli.BoolFlag{Name: "init", Usage: "print a whole haproxy.cfg"},
			&cli.BoolFlag{Name: "rules", Usage: "print only the rules for your frontends"},
			&cli.StringFlag{Name: "folder", Value: haproxy.DefaultFolder, Usage: "the `FOLDER` of the map and the state files, as HAProxy reaches it"},
			&cli.StringFlag{Name: "socket", Value: haproxy.DefaultSocket, Usage: "the `PATH` of the runtime socket"},
			&cli.StringFlag{Name: "fence", Value: haproxy.DefaultFence, Usage: "the `PATH` of the fence's socket"},
			&cli.BoolFlag{Name: "no-fence", Usage: "leave the fence out; receipts are then graded read_back"},
			&cli.StringFlag{Name: "group", Usage: "the `GROUP` that may write to both sockets, and Viridian's user is in; by default the one that HAProxy starts as"},
			&cli.IntFlag{Name: "servers", Value: haproxy.DefaultServers, Usage: "how many instances of a service a generation may have"},
			&cli.StringSliceFlag{Name: "bind", Usage: "where a tcp service listens, as `ENVIRONMENT/SERVICE=ADDRESS`, such as shop/db=:5432"},
			&cli.StringFlag{Name: "listen", Value: haproxy.DefaultListen, Usage: "where --init listens for HTTP"},
		},
		Action: p.haproxyConfig,
	}
}

func (p *program) haproxyConfig(ctx context.Context, c *cli.Command) error {
	names := c.Args().Slice()
	usage := func(what, fix string) error { return &failure{what: what, fix: fix, usage: true} }
	switch {
	case len(names) == 0:
		return usage("no environment is named", "viridian haproxy-config shop")
	case c.String("spec") != "" && len(names) != 1:
		return usage("--spec is the specification of one environment", "name one, or read them all from --server")
	}
	cfg := haproxy.Config{Folder: c.String("folder"), Socket: c.String("socket"), Fence: c.String("fence"), NoFence: c.Bool("no-fence"), Group: c.String("group"),
		Servers: c.Int("servers"), Init: c.Bool("init"), Listen: c.String("listen"), Binds: map[string]string{}}
	for _, bind := range c.StringSlice("bind") {
		service, address, ok := strings.Cut(bind, "=")
		if !ok {
			return usage(fmt.Sprintf("--bind %q names no address", bind), "write it as --bind shop/db=:5432")
		}
		cfg.Binds[service] = address
	}
	for _, name := range names {
		spec, err := p.specOf(ctx, c, name)
		if err != nil {
			return err
		}
		cfg.Environments = append(cfg.Environments, haproxy.Environment{Name: name, Spec: spec})
	}
	var out bytes.Buffer
	print := haproxy.Fragment
	if c.Bool("rules") {
		print = haproxy.Rules
	}
	if err := print(&out, cfg); err != nil {
		return &failure{what: "nothing can be printed", cause: err, fix: "see viridian haproxy-config --help", usage: true}
	}
	_, err := p.stdout.Write(out.Bytes())
	return err
}

// specOf reads the specification of the environment from the file, or asks the server for it.
func (p *program) specOf(ctx context.Context, c *cli.Command, name string) (rollout.Spec, error) {
	var raw []byte
	var err error
	where := c.String("spec")
	if where != "" {
		raw, err = os.ReadFile(where)
	} else {
		where = c.String("server")
		raw, err = askForSpec(ctx, where, p.tokenGiven(c), name)
	}
	if err != nil {
		return rollout.Spec{}, &failure{what: "the specification of environment " + name, cause: err,
			fix: "give --server and --token of a viewer, or --spec FILE"}
	}
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(raw, &fields) == nil {
		delete(fields, "name") // as it is given to make an environment
		if raw, err = json.Marshal(fields); err != nil {
			return rollout.Spec{}, err
		}
	}
	spec, err := rollout.ParseSpec(raw)
	if err != nil {
		what := err.Error()
		if refusal := (*rollout.Refusal)(nil); errors.As(err, &refusal) && len(refusal.Errors) > 0 {
			what = refusal.Errors[0].Pointer + ": " + refusal.Errors[0].Detail
		}
		return spec, &failure{what: "the specification of environment " + name + " in " + where, cause: errors.New(what), usage: true,
			fix: "it is what GET /v1/environments/" + name + " shows as spec"}
	}
	return spec, nil
}

// tokenGiven is the token to call the server with. It is no default of its flag, so that no help shows it.
func (p *program) tokenGiven(c *cli.Command) string {
	token, _ := p.lookup("VIRIDIAN_TOKEN")
	if given := c.String("token"); given != "" {
		token = given
	}
	return token
}

func askForSpec(ctx context.Context, server, token, name string) ([]byte, error) {
	if !rollout.ValidName(name) {
		return nil, fmt.Errorf("%q is not the name of an environment", name)
	}
	api, err := newClient(server, token)
	if err != nil {
		return nil, err
	}
	answer, err := api.ShowEnvironmentWithResponse(ctx, name)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode() != http.StatusOK {
		var problem struct{ Detail string }
		_ = json.Unmarshal(answer.Body, &problem) // else the status says it
		return nil, fmt.Errorf("%s answers %s: %s", server, answer.Status(), problem.Detail)
	}
	var environment struct{ Spec json.RawMessage }
	err = json.Unmarshal(answer.Body, &environment)
	return environment.Spec, err
}
