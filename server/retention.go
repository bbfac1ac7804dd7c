package server

import (
	"context"

	"viridian/rollout"
	"viridian/server/api"
)

func (h handlers) SetRetention(ctx context.Context, request api.SetRetentionRequestObject) (api.SetRetentionResponseObject, error) {
	cmd := rollout.RetentionCommand{Actor: actor(ctx), Generation: request.Body.Generation, KeepUntil: request.Body.KeepUntil}
	out, err := h.Service.SetRetention(ctx, request.Environment, cmd, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	until := cmd.KeepUntil.UTC()
	if g, ok := out.Environment.Generation(cmd.Generation); ok && g.KeepUntil != nil {
		until = *g.KeepUntil
	}
	return api.SetRetention200JSONResponse{Environment: request.Environment, Generation: cmd.Generation, KeepUntil: until}, nil
}
