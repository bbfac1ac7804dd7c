package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"viridian/audit"
	"viridian/server/api"
	"viridian/store"
)

// errHeadOnly ends an export of which nothing but the head of the answer is wanted.
var errHeadOnly = errors.New("only the head is wanted")

// auditsAtOnce is how many callers may read the whole audit log at a time.
const auditsAtOnce = 2

func (h handlers) VerifyAudit(ctx context.Context, request api.VerifyAuditRequestObject) (api.VerifyAuditResponseObject, error) {
	scope, err := auditScope(ctx, "audit.verify", request.Params.Environment)
	if err != nil {
		return nil, err
	}
	done, err := h.auditTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	report, err := h.Store.VerifyAudit(ctx, scope, request.Params.Head)
	if err != nil {
		return nil, err
	}
	out := api.VerifyAudit200JSONResponse{Intact: report.Intact(), Problem: report.Problem, Chains: []api.AuditChain{}, Noted: []api.AuditNoted{}}
	for _, c := range report.Chains {
		out.Chains = append(out.Chains, chainOf(c))
	}
	for _, n := range report.Noted {
		noted := api.AuditNoted{Hash: n.Hash, Found: n.Found}
		if n.Found {
			noted.Environment, noted.Position = &n.Environment, &n.Position
		}
		out.Noted = append(out.Noted, noted)
	}
	return out, nil
}

func chainOf(c audit.Chain) api.AuditChain {
	out := api.AuditChain{Environment: c.Environment, Intact: c.Fault == nil, Length: c.Verified.Length, Head: c.Verified.Head,
		Events: c.Events, LastEvent: c.LastEvent}
	if a := c.Anchor; a != nil {
		out.Pruned = &api.AuditAnchor{Position: a.Position, Event: a.Event, At: a.At, Hash: a.Hash}
	}
	if f := c.Fault; f != nil {
		out.Fault = &api.AuditFault{Position: f.Position, Problem: f.Problem}
		if f.Event != 0 {
			out.Fault.Event = &f.Event
		}
	}
	return out
}

// auditScope is what the caller may see of the audit log.
func auditScope(ctx context.Context, action Action, environment *string) (store.AuditScope, error) {
	f, err := eventFilter(callOf(ctx).caller, action, environment, nil)
	return store.AuditScope{Environments: f.Environments, Environment: f.Environment}, err
}

// auditTurn waits until few enough read the whole log; done ends the turn.
func (s *server) auditTurn(ctx context.Context) (done func(), err error) {
	patience := s.Clock.NewTimer(readTime)
	defer patience.Stop()
	select {
	case s.audits <- struct{}{}:
		return func() { <-s.audits }, nil
	case <-patience.Chan():
	case <-ctx.Done():
	}
	return nil, unavailable("others are reading the audit log", "ask again when they have ended")
}

// ExportAudit checks what can be refused; the rest is written as it is read.
func (h handlers) ExportAudit(ctx context.Context, request api.ExportAuditRequestObject) (api.ExportAuditResponseObject, error) {
	scope, err := auditScope(ctx, "audit.export", request.Params.Environment)
	if err != nil {
		return nil, err
	}
	format := audit.NDJSON
	if f := request.Params.Format; f != nil {
		format = audit.Format(*f)
	}
	return &auditExport{server: h.server, ctx: ctx, scope: scope, after: given(request.Params.After), format: format}, nil
}

// auditExport writes the file. It belongs to the request's goroutine.
type auditExport struct {
	*server
	ctx    context.Context // the request's: the generated interface has no other way to hand it on
	scope  store.AuditScope
	after  int64
	format audit.Format
}

// VisitExportAuditResponse writes the head of the answer with the first record, so that what is wrong before it is
// answered as a problem. What goes wrong later cuts the transfer, so that nobody takes a part for the whole.
func (e *auditExport) VisitExportAuditResponse(w http.ResponseWriter) error {
	done, err := e.auditTurn(e.ctx)
	if err != nil {
		return err
	}
	defer done()
	connection := http.NewResponseController(w)
	begun := false
	file := audit.NewWriter(w, e.format)
	err = e.Store.ExportAudit(e.ctx, e.scope, e.after, func(r audit.Record) error {
		if !begun {
			begun = true
			e.head(w)
		}
		if callOf(e.ctx).head {
			return errHeadOnly
		}
		_ = connection.SetWriteDeadline(time.Now().Add(streamWrite)) // where there are deadlines
		return file.Write(r)
	})
	if callOf(e.ctx).head && begun {
		return nil
	}
	if err == nil {
		err = file.Flush()
	}
	if err == nil || !begun {
		return err
	}
	callOf(e.ctx).failure = err
	panic(http.ErrAbortHandler)
}

func (e *auditExport) head(w http.ResponseWriter) {
	kind, name := "application/x-ndjson", "viridian-audit.ndjson"
	if e.format == audit.CSV {
		kind, name = "text/csv; charset=utf-8; header=present", "viridian-audit.csv"
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	w.WriteHeader(http.StatusOK)
}
