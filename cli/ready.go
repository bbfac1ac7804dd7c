package cli

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/urfave/cli/v3"
)

func (p *program) readyCommand() *cli.Command {
	return &cli.Command{
		Name:  "ready",
		Usage: "ask a server whether it is ready; for health checks and scripts",
		Description: "Exit code 0 when the answer is 200, 1 otherwise.\n\n" +
			"   viridian ready --url http://127.0.0.1:7070/readyz --within 30s",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "url", Value: "http://127.0.0.1:7070/readyz", Usage: "what to ask; /readyz/proxy says whether traffic is served"},
			&cli.DurationFlag{Name: "within", Value: 0, Usage: "go on asking for this long"},
		},
		Action: alone(func(ctx context.Context, c *cli.Command) error {
			if err := awaitOK(ctx, c.String("url"), c.Duration("within")); err != nil {
				return &failure{what: "not ready", cause: err, fix: "look at the log of the server"}
			}
			return nil
		}),
	}
}

// awaitOK asks until the answer is 200 or the time is over; at least once.
func awaitOK(ctx context.Context, url string, within time.Duration) error {
	deadline := time.Now().Add(within)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		err := askOK(ctx, url)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func askOK(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, answer.Status)
	}
	return nil
}
