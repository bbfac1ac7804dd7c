package server

import (
	"context"

	"viridian/server/api"
)

func (h handlers) Whoami(ctx context.Context, _ api.WhoamiRequestObject) (api.WhoamiResponseObject, error) {
	caller := callOf(ctx).caller
	return api.Whoami200JSONResponse{Actor: caller.Actor().String(), Name: caller.Name, Role: api.Role(caller.Role),
		Environments: orEmpty(caller.Environments), TokenId: &caller.TokenID, ExpiresAt: caller.ExpiresAt}, nil
}
