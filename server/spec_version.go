package server

import (
	"context"
	"encoding/json"

	"viridian/server/api"
)

func (h handlers) ListSpecVersions(ctx context.Context, request api.ListSpecVersionsRequestObject) (api.ListSpecVersionsResponseObject, error) {
	page, err := h.Store.SpecVersions(ctx, request.Environment, paging(request.Params.Limit, request.Params.Cursor))
	if err != nil {
		return nil, err
	}
	out := api.ListSpecVersions200JSONResponse{Items: []api.SpecVersion{}, NextCursor: cursor(page.Next)}
	for _, v := range page.Items {
		spec, err := json.Marshal(v.Spec)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, api.SpecVersion{Environment: v.Environment, Version: v.Version, Spec: spec,
			CreatedAt: v.CreatedAt, CreatedBy: v.CreatedBy})
	}
	return out, nil
}
