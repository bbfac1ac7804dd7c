package server

import (
	"context"

	"viridian/rollout"
	"viridian/server/api"
)

func (h handlers) SetLock(ctx context.Context, request api.SetLockRequestObject) (api.SetLockResponseObject, error) {
	cmd := rollout.LockCommand{Actor: actor(ctx), Reason: request.Body.Reason}
	out, err := h.Service.SetLock(ctx, request.Environment, cmd, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	if lock := lockOf(out.Environment.Lock); lock != nil {
		return api.SetLock200JSONResponse(*lock), nil
	}
	// A replay whose answer was not kept, of a lock that was cleared since.
	return api.SetLock200JSONResponse{Reason: cmd.Reason, By: cmd.Actor.String(), At: out.Environment.UpdatedAt}, nil
}

func (h handlers) ClearLock(ctx context.Context, request api.ClearLockRequestObject) (api.ClearLockResponseObject, error) {
	out, err := h.Service.ClearLock(ctx, request.Environment, actor(ctx), idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	return api.ClearLock204Response{}, nil
}

func lockOf(lock *rollout.Lock) *api.Lock {
	if lock == nil {
		return nil
	}
	return &api.Lock{Reason: lock.Reason, By: lock.By, At: lock.At}
}
