package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"golang.org/x/sync/errgroup"

	"viridian/rollout"
	"viridian/store/pglocal"
)

const devDatabase = "viridian"

// devToken is the name of the token that dev makes for the person at the terminal.
const devToken = "dev"

func (p *program) devCommand() *cli.Command {
	return &cli.Command{
		Name:  "dev",
		Usage: "run everything on this machine, with a demo",
		Description: "A private Postgres, Viridian, and an environment with two generations of a small app, under steady\n" +
			"traffic. Prints a link that opens the pages, signed in, and what to try next. Ctrl-C ends it all; starting\n" +
			"again finds the data again.\n\n" +
			"   viridian dev\n" +
			"   viridian dev --empty --data /tmp/try --listen 127.0.0.1:7171 --proxy-listen 127.0.0.1:8181",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:7070", Usage: "`HOST:PORT` of the API"},
			&cli.StringFlag{Name: "proxy-listen", Value: "127.0.0.1:8080", Usage: "`HOST:PORT` that traffic comes in on"},
			&cli.StringFlag{Name: "data", Value: "./.viridian", Usage: "`FOLDER` for everything; the admin token is in FOLDER/token"},
			&cli.BoolFlag{Name: "empty", Usage: "no demo: no environment, app or traffic"},
			&cli.StringFlag{Name: "consul-addr", Usage: "`ADDRESS` of a Consul to register groups in: " + consulAddressForm + ", or " + noConsul +
				"; without it an agent is run where consul is on PATH"},
			&cli.StringFlag{Name: "consul-token-file", Usage: "`FILE` with the ACL token for it; registry/consul/policy.hcl is what it must be allowed"},
			&cli.BoolFlag{Name: "open", Value: true, Usage: "open the pages in a browser, where a terminal and a desktop are there"},
			&cli.StringFlag{Name: "log-level", Value: "warn", Usage: "debug, info, warn or error"},
		},
		Action: alone(p.dev),
	}
}

// dev runs until ctx ends, or until something it needs has failed.
func (p *program) dev(ctx context.Context, c *cli.Command) error {
	cfg, err := devConfig(c)
	if err != nil {
		return err
	}
	log, _ := newLogger(cfg, p.stderr)
	data := c.String("data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		return &failure{what: "cannot make the data folder", cause: err, fix: "choose another one with --data"}
	}
	cfg.StateDir = filepath.Join(data, "state")
	consul, err := findConsul(c.String("consul-addr"), c.String("consul-token-file"), data)
	if err != nil {
		return err
	}
	cfg.Consul.Address, cfg.Consul.TokenFile = consul.address, consul.token
	// With Postgres comes a lock, so that nobody else uses what lies in the folder.
	p.say("starting a private Postgres …")
	postgres, err := pglocal.Start(ctx, pglocal.Options{DataDir: filepath.Join(data, "postgres"), Durable: true, Logger: log})
	if err != nil {
		return postgresFailure(err)
	}
	defer stopPostgres(ctx, postgres, log)
	if err := postgres.CreateDatabase(ctx, devDatabase); err != nil {
		return databaseFailure(err)
	}
	cfg.DatabaseURL = postgres.URL(devDatabase)
	s := &devSession{program: p, config: cfg, data: data, empty: c.Bool("empty"), open: c.Bool("open"), links: make(chan string, 1), log: log, postgres: postgres, consul: consul}
	return s.run(ctx)
}

// devConfig is the configuration of the replica: what the flags say, and the presets of serve.
func devConfig(c *cli.Command) (config, error) {
	given := map[string]string{"node-name": "dev", "shutdown-delay": "0s", "drain-timeout": "2s",
		"listen": c.String("listen"), "proxy-listen": c.String("proxy-listen"), "log-level": c.String("log-level")}
	cfg, _, wrong := resolve(sources{
		flag: func(name string) (string, bool) { value, ok := given[name]; return value, ok },
		env:  func(string) (string, bool) { return "", false },
	})
	return cfg, joined(wrong)
}

func postgresFailure(err error) error {
	f := &failure{what: "the private Postgres does not start", cause: err}
	if errors.Is(err, pglocal.ErrNotInstalled) {
		f.fix = "install what is named above, or run serve with a Postgres of your own"
	}
	var other *pglocal.VersionError
	if errors.As(err, &other) {
		f.fix = "install the version that the data is of, or choose another folder with --data"
	}
	return f
}

func stopPostgres(ctx context.Context, postgres *pglocal.Server, log *slog.Logger) {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := postgres.Stop(stopping); err != nil {
		log.Warn("postgres did not stop in order", "error", err)
	}
}

// devSession is one run of dev, with its Postgres up.
type devSession struct {
	*program
	config   config
	data     string
	empty    bool
	open     bool        // the pages, in a browser
	links    chan string // what opens them
	log      *slog.Logger
	postgres *pglocal.Server
	consul   *devConsul
}

func (s *devSession) run(ctx context.Context) error {
	r, err := newReplica(ctx, s.program, s.config, s.log, &inherited{})
	if err != nil {
		return err
	}
	var fleet *demoFleet
	if !s.empty {
		if fleet, err = newDemoFleet(s.data); err != nil {
			r.close()
			return err
		}
	}
	// What answers outlives what asks: the customers end first, the app last.
	backing, stopBacking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBacking()
	all, ending := errgroup.WithContext(ctx)
	all.Go(func() error { return s.watchPostgres(ending) })
	all.Go(func() error { return fleet.run(backing) })
	all.Go(func() error { return s.consul.run(backing) })
	all.Go(func() error {
		defer stopBacking()
		return r.run(ending)
	})
	all.Go(func() error {
		select {
		case link := <-s.links:
			if s.open {
				openBrowser(ending, link)
			}
		case <-ending.Done():
		}
		return nil
	})
	all.Go(func() error {
		err := s.present(ending, r, fleet)
		if ending.Err() != nil {
			err = nil // it was cut short
		}
		return err
	})
	err = all.Wait()
	s.say("stopped")
	return err
}

// watchPostgres fails when Postgres ends by itself.
func (s *devSession) watchPostgres(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.postgres.Done():
		return &failure{what: "the private Postgres ended by itself", fix: "look at " + filepath.Join(s.postgres.DataDir(), "postgres.log") + ", then start again"}
	}
}

// present waits for the database, sets up the demo, says what to try, and then plays the customers.
func (s *devSession) present(ctx context.Context, r *replica, fleet *demoFleet) error {
	select {
	case <-r.migrated:
	case <-ctx.Done():
		return nil
	}
	token, err := s.token(ctx, r)
	if err != nil {
		return err
	}
	link, err := s.link(ctx, r, token)
	if err != nil {
		return err
	}
	s.links <- link
	if err := s.consul.await(ctx); err != nil {
		return err
	}
	guide := &guide{consul: s.consul.told(), link: link, api: localURL(r.apiAddress()), proxy: localURL(r.proxyAddress()), token: token, data: s.data}
	if s.empty {
		return guide.print(s.stdout)
	}
	api, err := newClient(guide.api, token)
	if err != nil {
		return err
	}
	d := &demo{api: api, fleet: fleet, registry: s.consul.registry()}
	if guide.generations, err = d.ensure(ctx); err != nil {
		return &failure{what: "the demo cannot be set up", cause: err, fix: s.consul.fix(err)}
	}
	guide.third = fleet.registration(demoBuilds)
	if err := guide.print(s.stdout); err != nil {
		return err
	}
	return newTraffic(guide.proxy, s.stdout).run(ctx)
}

// linkLifetime is how long the link of a start of dev can be used.
const linkLifetime = 15 * time.Minute

// link makes an address that signs a browser in once.
func (s *devSession) link(ctx context.Context, r *replica, token string) (string, error) {
	id, _, ok := rollout.ParseToken(token)
	if !ok {
		return "", errors.New("the token in the data folder is none")
	}
	secret := rand.Text()
	return localURL(r.apiAddress()) + "/login?once=" + secret, r.store.NewLoginLink(ctx, secret, id, linkLifetime)
}

// token returns the token in the data folder, or makes one and puts it there.
func (s *devSession) token(ctx context.Context, r *replica) (string, error) {
	path := filepath.Join(s.data, "token")
	text, err := os.ReadFile(path)
	if err == nil {
		token := strings.TrimSpace(string(text))
		if known, err := knowsToken(ctx, r.store, token); known || err != nil {
			return token, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	token, err := createToken(ctx, r.store, tokenRequest{name: devToken, role: "admin", environments: []string{"*"}})
	if err != nil {
		return "", err
	}
	return token, writeFile(path, []byte(token+"\n"), 0o600)
}
