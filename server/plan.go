package server

import (
	"context"

	"viridian/rollout"
	"viridian/server/api"
)

func (h handlers) PlanPromotion(ctx context.Context, request api.PlanPromotionRequestObject) (api.PlanPromotionResponseObject, error) {
	body := given(request.Body)
	if err := refuseForce(ctx, given(body.Force), request.Environment); err != nil {
		return nil, err
	}
	plan, e, now, err := h.Service.PlanPromotion(ctx, request.Environment, rollout.PromoteCommand{
		Actor: actor(ctx), Generation: request.Number, Reason: given(body.Reason), ExpectedRevision: body.ExpectedRevision,
		Supersede: given(body.Supersede), Force: given(body.Force)})
	if err != nil {
		return nil, err
	}
	out := api.PlanPromotion200JSONResponse{Environment: e.Name, Generation: plan.Generation, Promotable: plan.Promotable,
		Changed: plan.Revision != plan.CurrentRevision, CurrentRevision: plan.CurrentRevision, Revision: plan.Revision, From: number(plan.From),
		Weights: weightsOf(plan.Weights), Nodes: []api.PlanNode{}, Blocked: blockersOf(plan.Blocked), Health: healthOf(e, plan.Generation),
		Warnings: orEmpty(plan.Warnings)}
	for _, n := range plan.Nodes {
		state := api.NodeStateReady
		if n.State == rollout.Unreachable {
			state = api.NodeStateUnreachable
		}
		out.Nodes = append(out.Nodes, api.PlanNode{Router: n.Router, Node: n.Name, Staged: n.Staged, State: state})
	}
	if plan.RollbackTarget != 0 {
		e.Previous = plan.RollbackTarget
		target := rollbackOf(e, now)
		out.RollbackTarget = &target
	}
	return out, nil
}
