package server

import (
	"context"
	"time"

	"viridian/rollout"
	"viridian/server/api"
)

func (h handlers) ShowRoute(ctx context.Context, request api.ShowRouteRequestObject) (api.ShowRouteResponseObject, error) {
	e, now, err := h.environment(ctx, request.Environment)
	if err != nil {
		return nil, err
	}
	out := api.ShowRoute200JSONResponse{Environment: e.Name, Revision: e.Revision, Weights: weightsOf(e.Weights), Live: number(e.Live),
		Previous: number(e.Previous), Receipts: h.receiptsOf(e, now), Rollback: rollbackOf(e, now), Automation: automationOf(e.Hold), Lock: lockOf(e.Lock)}
	if e.Switch != nil {
		shown := switchOf(*e.Switch)
		shown.Receipts = out.Receipts
		out.Switch = &shown
	}
	return out, nil
}

// rollbackOf tells what a rollback would find now.
func rollbackOf(e rollout.Environment, now time.Time) api.RollbackTarget {
	ready := e.Readiness(now)
	out := api.RollbackTarget{Ready: ready.Ready, Generation: number(ready.Generation), Healthy: map[string][]int{}, KeepUntil: ready.KeepUntil,
		Reasons: orEmpty(ready.Reasons)}
	for service, count := range ready.Healthy {
		out.Healthy[service] = count[:]
	}
	return out
}
