package cli

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/urfave/cli/v3"
)

func (p *program) demoAppCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo-app",
		Usage: "run one instance of the demo's coloured app",
		Description: "Answers / with a page, or with JSON or one line of text, whichever is accepted; /healthz; and\n" +
			"/slow?ms=500 after that time.\n\n" +
			"   viridian demo-app --build 2 --listen 127.0.0.1:9002",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "build", Value: 1, Usage: "`NUMBER` of the build, from 1: sets version and colour (blue, green, viridian in turn)"},
			&cli.StringFlag{Name: "listen", Value: ":9000", Usage: "`HOST:PORT` to answer on"},
			&cli.StringFlag{Name: "instance", Usage: "the instance's `NAME` (default: the host's)", HideDefault: true},
		},
		Action: alone(p.runDemoApp),
	}
}

func (p *program) runDemoApp(ctx context.Context, c *cli.Command) error {
	build, name := c.Int("build"), c.String("instance")
	if build < 1 {
		return &failure{what: "build is below 1", fix: "give --build 1 or more", usage: true}
	}
	if name == "" {
		name, _ = os.Hostname()
	}
	l, err := listen(c.String("listen"), "--listen")
	if err != nil {
		return err
	}
	p.say("demo app %s listens on %s", demoVersion(build), l.Addr())
	return serveDemoApp(ctx, newDemoApp(build, name), l)
}

// serveDemoApp answers until ctx ends, and then lets requests in flight finish for a moment.
func serveDemoApp(ctx context.Context, app *demoApp, l net.Listener) error {
	server := &http.Server{Handler: app.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 5 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if errors.Is(server.Shutdown(closing), context.DeadlineExceeded) {
		return server.Close()
	}
	return nil
}
