package server

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"viridian/audit"
	"viridian/client"
	"viridian/server/api"
)

// audited verifies and exports what happened so far.
func (w *world) audited(c *client.ClientWithResponses) {
	ctx, t := w.t.Context(), w.t
	verified, err := c.VerifyAuditWithResponse(ctx, nil)
	must(t, err, verified.StatusCode(), 200, verified.Body)
	if r := verified.JSON200; !r.Intact || len(r.Chains) != 2 || r.Chains[1].Environment != "shop" || r.Chains[1].Length < 20 {
		t.Errorf("audit: %s", verified.Body)
	}
	heads := []string{verified.JSON200.Chains[0].Head, strings.Repeat("0", 64)}
	again, err := c.VerifyAuditWithResponse(ctx, &client.VerifyAuditParams{Head: &heads})
	must(t, err, again.StatusCode(), 200, again.Body)
	if r := again.JSON200; r.Intact || !r.Noted[0].Found || *r.Noted[0].Environment != "" || r.Noted[1].Found {
		t.Errorf("audit with noted hashes: %s", again.Body)
	}
	for _, format := range []client.ExportAuditParamsFormat{client.ExportAuditParamsFormatNdjson, client.ExportAuditParamsFormatCsv} {
		// Not …WithResponse: that takes NDJSON for a problem.
		exported, err := c.ExportAudit(ctx, &client.ExportAuditParams{Format: &format})
		if err != nil {
			t.Fatal(err)
		}
		report, err := audit.VerifyFile(exported.Body, heads[:1])
		exported.Body.Close()
		if err != nil || !report.Intact() || len(report.Chains) != 2 {
			t.Errorf("%s: %v, %+v", format, err, report)
		}
	}
}

func TestAudit_ShowsOnlyWhatTheTokenMaySee(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop-a")
	w.environment("secret")
	token := w.token(Viewer, "shop-*")
	var report api.AuditReport
	w.decode(w.send(request{Method: "GET", Path: "/v1/audit/verify", Token: token}), &report)
	if len(report.Chains) != 1 || report.Chains[0].Environment != "shop-a" || !report.Intact {
		t.Errorf("%+v", report)
	}
	if a := w.send(request{Method: "GET", Path: "/v1/audit/export", Token: token}); a.status != 200 || strings.Contains(a.body, "secret") || strings.Contains(a.body, "token.created") {
		t.Errorf("%d %s", a.status, a.body)
	}
	for _, path := range []string{"verify", "export"} {
		if a := w.send(request{Method: "GET", Path: "/v1/audit/" + path + "?environment=secret", Token: token}); a.status != 403 {
			t.Errorf("%s of another environment: %d", path, a.status)
		}
		if a := w.send(request{Method: "GET", Path: "/v1/audit/" + path + "?environment=none", Token: w.admin()}); a.status != 404 {
			t.Errorf("%s of no environment: %d", path, a.status)
		}
		if a := w.send(request{Method: "HEAD", Path: "/v1/audit/" + path, Token: token}); a.status != 200 || a.body != "" {
			t.Errorf("HEAD of %s: %d %q", path, a.status, a.body)
		}
	}
	for _, query := range []string{"verify?head=x", "verify?head=" + strings.Repeat("A", 64), "export?format=xml", "export?after=-1", "export?kind=x"} {
		if a := w.send(request{Method: "GET", Path: "/v1/audit/" + query, Token: token}); a.status != 422 {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
}

func TestAudit_TellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	w.lock("shop", "one")
	w.lock("shop", "two")
	w.sql(`SET session_replication_role = replica`)
	w.sql(`UPDATE event SET actor = 'token mallory' WHERE environment = 'shop' AND position = 2`)
	var report api.AuditReport
	w.decode(w.ok("GET", "/v1/audit/verify?environment=shop", ""), &report)
	if c := report.Chains[0]; report.Intact || c.Intact || c.Fault == nil || c.Fault.Position != 2 || c.Fault.Event == nil || c.Length != 1 {
		t.Errorf("%+v", report)
	}
	a := w.ok("GET", "/v1/audit/export", "")
	if file, err := audit.VerifyFile(strings.NewReader(a.body), nil); err != nil || file.Intact() {
		t.Errorf("the exported file: %v, %+v", err, file)
	}
}

// What breaks off is no answer: the transfer is cut, so that no part is taken for the whole.
func TestAudit_BrokenExportIsCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	w.sql(`ALTER TABLE event RENAME COLUMN data TO gone`)
	if a, err := w.try(request{Method: "GET", Path: "/v1/audit/export", Token: w.admin()}); err == nil {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.sql(`ALTER TABLE event_chain RENAME COLUMN head TO gone`)
	if a := w.send(request{Method: "GET", Path: "/v1/audit/export", Token: w.admin()}); a.status != 500 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Few read the whole log at once, and the others are told to come again.
func TestAudit_TakesTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	for range auditsAtOnce {
		w.server.audits <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.server.auditTurn(ctx); problem(err, "").Status != http.StatusServiceUnavailable {
		t.Errorf("%v", err)
	}
	<-w.server.audits
	w.ok("GET", "/v1/audit/verify", "")
}
