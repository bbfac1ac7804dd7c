package cli

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"viridian/rollout"
	"viridian/server"
	"viridian/store"
)

// commandLine is who made or revoked a token by these commands: somebody who can reach the database.
var commandLine = rollout.Actor{Kind: rollout.ActorSystem, Name: "command-line"}

func (p *program) tokenCommand() *cli.Command {
	flags := func() []cli.Flag { return configFlags("database_url") }
	return &cli.Command{
		Name:  "token",
		Usage: "make, list and revoke API tokens, straight in the database",
		Description: "This is how the first admin gets a token; the API can make further ones. Roles: viewer, deployer (CI),\n" +
			"operator, admin; each may do what the ones before it may.\n\n" +
			"   export TOKEN=$(viridian token create --config viridian.yaml --name root --role admin)\n" +
			"   viridian token create --name ci --role deployer --environments 'shop-*' --expires 2160h",
		Action: group,
		Commands: []*cli.Command{
			{
				Name: "create", Usage: "make a token and print it, this once, on standard output",
				Flags: append(flags(),
					&cli.StringFlag{Name: "name", Usage: "what it is for: lower-case letters, digits, hyphens; stands in the audit log"},
					&cli.StringFlag{Name: "role", Usage: "viewer, deployer, operator or admin"},
					&cli.StringFlag{Name: "environments", Value: "*", Usage: "names of environments, parted by commas; * stands for any characters"},
					&cli.DurationFlag{Name: "expires", Usage: "how long it is valid, such as 2160h; without it for ever", HideDefault: true},
				),
				Action: alone(p.tokenCreate),
			},
			{Name: "list", Usage: "list the tokens, without their secrets", Flags: flags(), Action: alone(p.tokenList)},
			{Name: "revoke", Usage: "make a token invalid from now on", ArgsUsage: "ID", Flags: flags(), Action: p.tokenRevoke},
		},
	}
}

// tokenRequest is what a new token may do.
type tokenRequest struct {
	name, role   string
	environments []string
	lifetime     time.Duration // 0 for ever
}

var globForm = regexp.MustCompile(`^[a-z0-9*-]{1,63}$`) // EnvironmentGlobs of openapi.yaml

func (r tokenRequest) check() error {
	usage := func(what, fix string) error { return &failure{what: what, fix: fix, usage: true} }
	switch {
	case !rollout.ValidName(r.name):
		return usage("the token has no valid name", "give --name, such as --name ci: lower-case letters, digits and hyphens")
	case !slices.Contains(server.Roles(), server.Role(r.role)):
		return usage("the token has no valid role", "give --role viewer, deployer, operator or admin")
	case slices.ContainsFunc(r.environments, func(g string) bool { return !globForm.MatchString(g) }):
		return usage("--environments has something that is no name of an environment", "write --environments 'shop-*,blog'")
	case r.lifetime < 0:
		return usage("--expires is in the past", "give a time from now, such as --expires 2160h")
	}
	return nil
}

func (p *program) tokenCreate(ctx context.Context, c *cli.Command) error {
	r := tokenRequest{name: c.String("name"), role: c.String("role"), lifetime: c.Duration("expires"),
		environments: strings.Split(c.String("environments"), ",")}
	if err := r.check(); err != nil {
		return err
	}
	s, err := p.openTokens(ctx, c)
	if err != nil {
		return err
	}
	defer s.Close()
	token, err := createToken(ctx, s, r)
	if err != nil {
		return databaseFailure(err)
	}
	p.say("This is the token of %s (%s, environments %s). It is not shown again.", r.name, r.role, strings.Join(r.environments, ","))
	_, err = fmt.Fprintln(p.stdout, token)
	return err
}

// openTokens connects to a database that has our schema.
func (p *program) openTokens(ctx context.Context, c *cli.Command) (*store.Store, error) {
	cfg, err := p.configured(c, "database_url")
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Options{URL: cfg.DatabaseURL})
	if err != nil {
		return nil, badDatabaseURL(err)
	}
	if err := s.Ping(ctx); err != nil {
		s.Close()
		if errors.Is(err, store.ErrNoRights) {
			return nil, databaseFailure(err)
		}
		return nil, &failure{what: "the database", cause: err, fix: "look whether it runs, and whether its schema is there: viridian migrate version"}
	}
	return s, nil
}

func createToken(ctx context.Context, s *store.Store, r tokenRequest) (token string, err error) {
	id, token, err := rollout.NewToken(rand.Reader)
	if err != nil {
		return "", err
	}
	_, _, err = s.CreateToken(ctx, store.NewToken{Actor: commandLine, ID: id, Name: r.name, Role: r.role,
		Environments: r.environments, Hash: rollout.TokenHash(token), Lifetime: r.lifetime}, nil)
	return token, err
}

// knowsToken says whether the token would be let in now.
func knowsToken(ctx context.Context, s *store.Store, token string) (bool, error) {
	id, hash, ok := rollout.ParseToken(token)
	if !ok {
		return false, nil
	}
	t, err := s.Token(ctx, id)
	var refusal *rollout.Refusal
	if errors.As(err, &refusal) && refusal.Code == rollout.NotFound {
		return false, nil
	}
	valid := t.RevokedAt == nil && (t.ExpiresAt == nil || time.Now().Before(*t.ExpiresAt))
	return valid && subtle.ConstantTimeCompare(hash, t.Hash) == 1, err
}

func (p *program) tokenList(ctx context.Context, c *cli.Command) error {
	s, err := p.openTokens(ctx, c)
	if err != nil {
		return err
	}
	defer s.Close()
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	row(table, "ID", "NAME", "ROLE", "ENVIRONMENTS", "CREATED", "EXPIRES", "LAST USED")
	at := func(t *time.Time, none string) string {
		if t == nil {
			return none
		}
		return t.Format(time.RFC3339)
	}
	paging := store.Paging{Limit: store.MaxLimit}
	for {
		page, err := s.Tokens(ctx, paging)
		if err != nil {
			return databaseFailure(err)
		}
		for _, t := range page.Items {
			row(table, t.ID, t.Name, t.Role, strings.Join(t.Environments, ","),
				at(&t.CreatedAt, ""), at(t.ExpiresAt, "never"), at(t.LastUsedAt, "never"))
		}
		if paging.Cursor = page.Next; page.Next == "" {
			return table.Flush()
		}
	}
}

func (p *program) tokenRevoke(ctx context.Context, c *cli.Command) error {
	id := c.Args().First()
	if c.Args().Len() != 1 {
		return &failure{what: "revoke needs the id of one token", usage: true, fix: "viridian token list shows the ids; of vir_ID_… it is the part in the middle"}
	}
	if whole, _, ok := rollout.ParseToken(id); ok {
		id = whole
	}
	s, err := p.openTokens(ctx, c)
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.DeleteToken(ctx, id, commandLine, nil)
	var refusal *rollout.Refusal
	switch {
	case errors.As(err, &refusal) && refusal.Code == rollout.NotFound:
		return &failure{what: "there is no valid token " + id, fix: "viridian token list shows the ids"}
	case refusal != nil:
		return &failure{what: "token " + id + " stays: " + refusal.Detail, fix: strings.Join(refusal.Fixes, "; ")}
	case err != nil:
		return databaseFailure(err)
	}
	p.say("token %s is revoked; it is refused everywhere within seconds", id)
	return nil
}

func badDatabaseURL(err error) error {
	return &failure{what: "database_url", cause: errors.New(redactText(err.Error())), usage: true, fix: "write it as " + databaseExample}
}
