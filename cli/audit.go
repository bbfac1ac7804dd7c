package cli

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"viridian/audit"
	"viridian/client"
)

func (p *program) auditCommand() *cli.Command {
	flags := func(more ...cli.Flag) []cli.Flag {
		return append([]cli.Flag{
			&cli.StringFlag{Name: "server", Usage: "`URL` of a server; env VIRIDIAN_SERVER"},
			&cli.StringFlag{Name: "token", Usage: "a token for it; env VIRIDIAN_TOKEN"},
			&cli.StringFlag{Name: "environment", Usage: "only the events of this one"},
		}, more...)
	}
	return &cli.Command{
		Name:  "audit",
		Usage: "verify and export the audit log",
		Description: "The events of an environment are a chain of hashes. A change inside it shows by itself; that all of it was\n" +
			"rewritten shows against a head that was noted elsewhere, so keep what verify prints:\n\n" +
			"   viridian audit verify --server https://viridian.internal:7070 --head 93b885ad…\n" +
			"   viridian audit export --server https://viridian.internal:7070 --output audit.ndjson\n" +
			"   viridian audit verify audit.ndjson",
		Action: group,
		Commands: []*cli.Command{
			{
				Name: "verify", Usage: "verify the log of a server, or an exported file", ArgsUsage: "[FILE]",
				Description: "Exit code 0 when nothing is wrong, 1 otherwise. A FILE is verified with nothing else at hand.",
				Flags:       flags(&cli.StringSliceFlag{Name: "head", Usage: "a `HASH` that was noted earlier and must be found; may be given several times"}),
				Action:      p.auditVerify,
			},
			{
				Name: "export", Usage: "write the events of a server to a file that can be verified",
				Flags: flags(
					&cli.Int64Flag{Name: "after", Usage: "only events with higher numbers than this"},
					&cli.StringFlag{Name: "format", Value: string(audit.NDJSON), Usage: "ndjson or csv"},
					&cli.StringFlag{Name: "output", Usage: "`FILE` to write; without it standard output"}),
				Action: alone(p.auditExport),
			},
		},
	}
}

var hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (p *program) auditVerify(ctx context.Context, c *cli.Command) error {
	heads := c.StringSlice("head")
	for _, head := range heads {
		if !hashForm.MatchString(head) {
			return &failure{what: "--head " + head + " is no hash", usage: true, fix: "give the 64 hexadecimal digits that verify prints"}
		}
	}
	var report audit.Report
	var err error
	switch file := c.Args().First(); {
	case c.Args().Len() > 1:
		return &failure{what: "verify takes one file", usage: true, fix: "verify them one by one"}
	case file != "" && (c.IsSet("server") || c.IsSet("environment")):
		return &failure{what: "a file and a server are two things", usage: true, fix: "give one of them; a file is verified as a whole"}
	case file != "":
		report, err = verifyFile(file, heads)
	default:
		report, err = p.verifyServer(ctx, c, heads)
	}
	if err != nil {
		return err
	}
	return p.showAudit(report)
}

func verifyFile(path string, heads []string) (audit.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return audit.Report{}, &failure{what: "the file", cause: err, fix: "give one that viridian audit export has written"}
	}
	defer f.Close()
	report, err := audit.VerifyFile(f, heads)
	if err != nil {
		return report, &failure{what: path, cause: err, fix: "the file was damaged, or is none that viridian audit export has written: export it again"}
	}
	return report, nil
}

func (p *program) verifyServer(ctx context.Context, c *cli.Command, heads []string) (audit.Report, error) {
	api, err := p.auditClient(c)
	if err != nil {
		return audit.Report{}, err
	}
	params := &client.VerifyAuditParams{}
	if len(heads) > 0 {
		params.Head = &heads
	}
	if name := c.String("environment"); name != "" {
		params.Environment = &name
	}
	answer, err := api.VerifyAuditWithResponse(ctx, params)
	if err != nil {
		return audit.Report{}, &failure{what: "the server", cause: err, fix: "look whether --server is right, and whether it runs"}
	}
	if answer.JSON200 == nil {
		return audit.Report{}, refusal(answer.HTTPResponse, answer.Body)
	}
	return reportOf(answer.JSON200), nil
}

// showAudit prints the chains with their heads, and fails when something is wrong.
func (p *program) showAudit(r audit.Report) error {
	table := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	row(table, "ENVIRONMENT", "EVENTS", "UP TO", "HEAD")
	named := func(environment string) string {
		if environment == "" {
			return "(none)"
		}
		return environment
	}
	var wrong []string
	for _, c := range r.Chains {
		row(table, named(c.Environment), fmt.Sprint(c.Events), fmt.Sprint(c.Verified.Length), c.Verified.Head)
		if f := c.Fault; f != nil {
			where := fmt.Sprintf("%s, place %d", named(c.Environment), f.Position)
			if f.Event != 0 {
				where += fmt.Sprintf(" (event %d)", f.Event)
			}
			wrong = append(wrong, where+": "+f.Problem)
		}
	}
	for _, n := range r.Noted {
		if n.Found {
			row(table, named(n.Environment), "", fmt.Sprint(n.Position), n.Hash+", as noted")
		} else {
			wrong = append(wrong, n.Hash+" was noted and is not there: what it stood for was rewritten, or pruned since")
		}
	}
	if r.Problem != "" {
		wrong = append(wrong, r.Problem)
	}
	if err := table.Flush(); err != nil || len(wrong) == 0 {
		return err
	}
	return &failure{what: "the audit log is not intact:\n  " + strings.Join(wrong, "\n  "),
		fix: "keep the database and its backups as they are, and compare with an earlier export"}
}
