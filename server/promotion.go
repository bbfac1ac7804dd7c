package server

import (
	"context"

	"viridian/rollout"
	"viridian/server/api"
)

func (h handlers) ListPromotions(ctx context.Context, request api.ListPromotionsRequestObject) (api.ListPromotionsResponseObject, error) {
	page, err := h.Store.Promotions(ctx, request.Environment, paging(request.Params.Limit, request.Params.Cursor))
	if err != nil {
		return nil, err
	}
	out := api.ListPromotions200JSONResponse{Items: []api.Promotion{}, NextCursor: cursor(page.Next)}
	for _, p := range page.Items {
		out.Items = append(out.Items, promotionOf(p))
	}
	return out, nil
}

func (h handlers) ShowPromotion(ctx context.Context, request api.ShowPromotionRequestObject) (api.ShowPromotionResponseObject, error) {
	p, err := h.Store.Promotion(ctx, request.Environment, request.Id)
	return api.ShowPromotion200JSONResponse(promotionOf(p)), err
}

func promotionOf(p rollout.Promotion) api.Promotion {
	return api.Promotion{Id: p.ID, Environment: p.Environment, Generation: p.Generation, From: number(p.From),
		State: api.PromotionState(p.State), Reason: p.Reason, Actor: p.Actor, Revision: p.Revision, StartedAt: p.StartedAt, EndedAt: p.EndedAt}
}
