package cli

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v3"

	"viridian/audit"
	"viridian/client"
)

func (p *program) auditExport(ctx context.Context, c *cli.Command) error {
	format := client.ExportAuditParamsFormat(c.String("format"))
	if !format.Valid() {
		return &failure{what: "--format " + string(format) + " is not known", usage: true, fix: "give ndjson or csv"}
	}
	api, err := p.auditClient(c)
	if err != nil {
		return err
	}
	params := &client.ExportAuditParams{Format: &format}
	if name := c.String("environment"); name != "" {
		params.Environment = &name
	}
	if after := c.Int64("after"); after > 0 {
		params.After = &after
	}
	answer, err := api.ExportAudit(ctx, params)
	if err != nil {
		return &failure{what: "the server", cause: err, fix: "look whether --server is right, and whether it runs"}
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<20)) // what cannot be read says no more than the status
		return refusal(answer, body)
	}
	if path := c.String("output"); path != "" {
		return p.saveExport(answer.Body, path)
	}
	if _, err := io.Copy(p.stdout, answer.Body); err != nil {
		return brokenOff(err)
	}
	return nil
}

func brokenOff(err error) error {
	return &failure{what: "the export broke off", cause: err, fix: "export it again: what was written is not whole"}
}

// saveExport writes the file whole or not at all, and verifies it.
func (p *program) saveExport(from io.Reader, path string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".viridian-audit-*")
	if err != nil {
		return &failure{what: "the file", cause: err, fix: "give an --output that can be written"}
	}
	defer func() {
		if err != nil {
			_ = f.Close() // it is given up
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = io.Copy(f, from); err != nil {
		return brokenOff(err)
	}
	if _, err = f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	report, err := audit.VerifyFile(f, nil)
	if err != nil {
		return brokenOff(err)
	}
	if err = errors.Join(f.Sync(), f.Close(), os.Rename(f.Name(), path)); err != nil {
		return &failure{what: "the file", cause: err, fix: "give an --output that can be written"}
	}
	return p.showAudit(report)
}
