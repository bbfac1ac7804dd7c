package server

import (
	"context"

	"viridian/rollout"
	"viridian/server/api"
)

func (h handlers) ReleaseAutomation(ctx context.Context, request api.ReleaseAutomationRequestObject) (api.ReleaseAutomationResponseObject, error) {
	out, err := h.Service.ReleaseAutomation(ctx, request.Environment, actor(ctx), idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	return api.ReleaseAutomation204Response{}, nil
}

func automationOf(hold *rollout.Hold) api.Automation {
	if hold == nil {
		return api.Automation{}
	}
	return api.Automation{Held: true, Reason: &hold.Reason, Since: &hold.Since}
}
