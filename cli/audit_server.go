package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/urfave/cli/v3"

	"viridian/audit"
	"viridian/client"
)

// auditClient is a client of the server that the flags or the environment name.
func (p *program) auditClient(c *cli.Command) (*client.ClientWithResponses, error) {
	given := func(flag, variable string) string {
		if c.IsSet(flag) {
			return c.String(flag)
		}
		text, _ := p.lookup(variable)
		return text
	}
	server, token := given("server", "VIRIDIAN_SERVER"), given("token", "VIRIDIAN_TOKEN")
	if server == "" || token == "" {
		return nil, &failure{what: "there is no server, or no token for it", usage: true,
			fix: "give --server and --token, or set VIRIDIAN_SERVER and VIRIDIAN_TOKEN"}
	}
	return client.NewClientWithResponses(strings.TrimRight(server, "/"), client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}))
}

// refusal is what a server said in place of what was asked for.
func refusal(answer *http.Response, body []byte) error {
	var problem client.Problem
	if json.Unmarshal(body, &problem) != nil || problem.Detail == "" {
		return &failure{what: "the server answers " + answer.Status, fix: "look whether --server is the URL of a Viridian"}
	}
	return &failure{what: "the server refuses: " + problem.Detail, fix: strings.Join(problem.Fixes, "; ")}
}

// reportOf is a server's report as this program's own.
func reportOf(r *client.AuditReport) audit.Report {
	out := audit.Report{Problem: r.Problem}
	for _, c := range r.Chains {
		chain := audit.Chain{Environment: c.Environment, Verified: audit.End{Length: c.Length, Head: c.Head}, Events: c.Events, LastEvent: c.LastEvent}
		if c.Pruned != nil {
			chain.Anchor = &audit.Anchor{Position: c.Pruned.Position, Event: c.Pruned.Event, At: c.Pruned.At, Hash: c.Pruned.Hash}
		}
		if c.Fault != nil {
			chain.Fault = &audit.Fault{Position: c.Fault.Position, Problem: c.Fault.Problem}
			if c.Fault.Event != nil {
				chain.Fault.Event = *c.Fault.Event
			}
		}
		out.Chains = append(out.Chains, chain)
	}
	for _, n := range r.Noted {
		noted := audit.Noted{Hash: n.Hash, Found: n.Found}
		if n.Environment != nil && n.Position != nil {
			noted.Environment, noted.Position = *n.Environment, *n.Position
		}
		out.Noted = append(out.Noted, noted)
	}
	return out
}
