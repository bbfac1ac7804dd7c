package server

import (
	"net/http"
	"regexp"
	"strings"

	"viridian/audit"
	"viridian/server/api"
	"viridian/web"
)

// maxNoted bounds how many noted hashes the page of the verification looks for.
const maxNoted = 100

var notedHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// verifyAudit computes every hash of the log anew and shows what came of it: as far as the caller may see the log, as
// in the API.
func (s *server) verifyAudit(w http.ResponseWriter, r *http.Request) error {
	view := web.Verification{Environment: strings.TrimSpace(r.URL.Query().Get("environment")), Noted: strings.TrimSpace(r.URL.Query().Get("head"))}
	status := http.StatusOK
	heads := strings.Fields(view.Noted)
	for _, head := range heads {
		if !notedHash.MatchString(head) || len(heads) > maxNoted {
			view.Wrong, status = "Noted hashes are 64 of 0-9 and a-f each, one a line.", http.StatusUnprocessableEntity
		}
	}
	if view.Wrong == "" {
		report, err := s.verification(r, view.Environment, heads)
		if err != nil {
			return err
		}
		fillVerification(&view, report)
	}
	return writePage(w, r, status, web.VerificationPage(s.page(r, "Verification of the audit log", "audit"), view))
}

func (s *server) verification(r *http.Request, environment string, heads []string) (audit.Report, error) {
	scope, err := auditScope(r.Context(), "audit.verify", text(environment))
	if err != nil {
		return audit.Report{}, err
	}
	done, err := s.auditTurn(r.Context())
	if err != nil {
		return audit.Report{}, err
	}
	defer done()
	return s.Store.VerifyAudit(r.Context(), scope, heads)
}

func fillVerification(view *web.Verification, report audit.Report) {
	view.Done, view.Intact, view.Problem = true, report.Intact(), report.Problem
	for _, c := range report.Chains {
		shown := web.Chain{Environment: c.Environment, Length: c.Verified.Length, Entries: c.Events, Head: c.Verified.Head}
		if a := c.Anchor; a != nil {
			shown.Pruned = a.Position
		}
		if f := c.Fault; f != nil {
			shown.Fault, shown.FaultEvent, shown.FaultPlace = f.Problem, f.Event, f.Position
		}
		view.Chains = append(view.Chains, shown)
	}
	for _, n := range report.Noted {
		view.Found = append(view.Found, web.NotedHash{Hash: n.Hash, Found: n.Found, Environment: n.Environment, Place: n.Position})
	}
}

// exportWhole answers with the log as a file that can be verified with nothing else at hand.
func (s *server) exportWhole(w http.ResponseWriter, r *http.Request) error {
	format := audit.NDJSON
	if r.URL.Query().Get("form") == "csv" {
		format = audit.CSV
	}
	scope, err := auditScope(r.Context(), "audit.export", text(r.URL.Query().Get("environment")))
	if err != nil {
		return err
	}
	var out api.ExportAuditResponseObject = &auditExport{server: s, ctx: r.Context(), scope: scope, format: format}
	return out.VisitExportAuditResponse(w)
}
