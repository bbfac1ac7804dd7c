package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"viridian/audit"
	"viridian/rollout"
)

const (
	// verifyPage is how many events are looked at in one transaction.
	verifyPage = 1000
	// verifyAgain is how often a chain is begun anew, because it was pruned under the eyes of its reader.
	verifyAgain = 5
)

// VerifyAudit walks the chains in scope and checks every event of them, and looks for hashes that were noted elsewhere.
// What is found wrong is in the report; an error means that the log could not be read. Events that are added meanwhile
// are not looked at. A scope that names an environment that there is not is refused with not_found.
//
// It reads the whole log: give ctx a deadline that suits that.
func (s *Store) VerifyAudit(ctx context.Context, scope AuditScope, noted []string) (audit.Report, error) {
	return auditReader{s.view}.verify(ctx, scope, noted)
}

func (r auditReader) verify(ctx context.Context, scope AuditScope, noted []string) (audit.Report, error) {
	var report audit.Report
	o, err := r.overview(ctx, scope)
	if err != nil {
		return report, err
	}
	if len(o.chains) == 0 && scope.Environment != "" {
		return report, rollout.Refuse(rollout.NotFound, "there is no audit log of environment "+scope.Environment, "leave environment out to verify everything")
	}
	found := make([]*audit.Noted, len(noted))
	for i, hash := range noted {
		found[i] = &audit.Noted{Hash: hash}
	}
	for _, k := range o.chains {
		chain, err := r.verifyChain(ctx, k, o.last, found)
		if err != nil {
			return report, err
		}
		report.Chains = append(report.Chains, chain)
	}
	for _, n := range found {
		report.Noted = append(report.Noted, *n)
	}
	// Where everything is in scope, the chains must also add up: ids have no gaps, and each is in one chain.
	if scope.Environment == "" && slices.Contains(scope.Environments, "*") {
		switch {
		case o.total != o.last:
			report.Problem = fmt.Sprintf("%d events were numbered, and the chains have %d: one of them, or its newest events, is gone", o.last, o.total)
		case o.newest > o.last:
			report.Problem = fmt.Sprintf("%d events were numbered, and there is an event %d", o.last, o.newest)
		}
	}
	return report, nil
}

// verifyChain walks one chain in pages.
func (r auditReader) verifyChain(ctx context.Context, k known, last int64, noted []*audit.Noted) (audit.Chain, error) {
	for try := 1; ; try++ {
		w := audit.NewWalk(k.environment, k.anchor, k.end)
		for _, n := range noted {
			w.Look(n)
		}
		if err := r.walk(ctx, w, k); err != nil {
			return audit.Chain{}, err
		}
		if w.Verified() < k.end.Length && try < verifyAgain {
			// What is missing may have been pruned meanwhile. The event that tells so is behind the end as it was.
			now, err := r.overview(ctx, AuditScope{Environments: []string{k.environment}})
			if err != nil {
				return audit.Chain{}, err
			}
			if len(now.chains) == 1 && now.chains[0].anchor != nil && (k.anchor == nil || now.chains[0].anchor.Position > k.anchor.Position) {
				k, last = now.chains[0], now.last
				continue
			}
		}
		switch {
		case !k.found:
			w.Wrong("the environment has no chain")
		case w.LastEvent() > last:
			w.Wrong(fmt.Sprintf("its last event has the number %d, and only %d were given", w.LastEvent(), last))
		case k.stray:
			w.Wrong("there are events before its beginning, or behind its end")
		}
		return w.Close(), nil
	}
}

// walk goes on until the end of the chain, or to the first event that is wrong or missing.
func (r auditReader) walk(ctx context.Context, w *audit.Walk, k known) error {
	for w.Verified() < k.end.Length {
		right, before := true, w.Verified()
		err := r.view(ctx, func(b *batch) {
			b.each(`SELECT `+auditColumns+` FROM event WHERE environment = $1 AND position > $2 AND position <= $3 ORDER BY position LIMIT $4`,
				func(row pgx.CollectableRow) error {
					e, err := scanAudit(row)
					right = err == nil && right && w.Step(e)
					return err
				}, k.environment, before, k.end.Length, verifyPage)
		})
		if err != nil || !right || w.Verified() == before {
			return err
		}
	}
	return nil
}
