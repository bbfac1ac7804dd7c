package server

import (
	"context"
	"crypto/rand"
	"time"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/store"
)

// maxLifetime bounds expires_in; who wants longer leaves it out.
const maxLifetime = 10 * 365 * 24 * time.Hour

func (h handlers) ListTokens(ctx context.Context, request api.ListTokensRequestObject) (api.ListTokensResponseObject, error) {
	page, err := h.Store.Tokens(ctx, paging(request.Params.Limit, request.Params.Cursor))
	if err != nil {
		return nil, err
	}
	out := api.ListTokens200JSONResponse{Items: []api.Token{}, NextCursor: cursor(page.Next)}
	for _, t := range page.Items {
		out.Items = append(out.Items, api.Token{Id: t.ID, Name: t.Name, Role: api.Role(t.Role), Environments: orEmpty(t.Environments),
			CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt})
	}
	return out, nil
}

func (h handlers) CreateToken(ctx context.Context, request api.CreateTokenRequestObject) (api.CreateTokenResponseObject, error) {
	c := callOf(ctx)
	if !within(request.Body.Environments, c.caller.Environments) {
		return nil, rollout.Refuse(rollout.Forbidden, "a token cannot give more than it has", "name only environments that your own token is for")
	}
	var lifetime time.Duration
	if request.Body.ExpiresIn != nil {
		var err error
		if lifetime, err = time.ParseDuration(*request.Body.ExpiresIn); err != nil || lifetime <= 0 || lifetime > maxLifetime {
			return nil, invalid("/expires_in", "must be more than 0 and at most 10 years; left out, the token does not expire")
		}
	}
	id, secret, err := rollout.NewToken(rand.Reader)
	if err != nil {
		return nil, err
	}
	t, replayed, err := h.Store.CreateToken(ctx, store.NewToken{Actor: actor(ctx), ID: id, Name: request.Body.Name, Role: string(request.Body.Role),
		Environments: request.Body.Environments, Hash: rollout.TokenHash(secret), Lifetime: lifetime}, c.key)
	if err != nil {
		return nil, err
	}
	// The answer holds the secret, which is never kept: a replay is made anew, without it.
	c.replayed, c.unfinished = replayed, true
	out := api.CreateToken201JSONResponse{Id: t.ID, Name: t.Name, Role: api.Role(t.Role), Environments: orEmpty(t.Environments),
		CreatedAt: t.CreatedAt, CreatedBy: t.CreatedBy, ExpiresAt: t.ExpiresAt}
	if !replayed {
		out.Token = &secret
	}
	return out, nil
}

func (h handlers) DeleteToken(ctx context.Context, request api.DeleteTokenRequestObject) (api.DeleteTokenResponseObject, error) {
	c := callOf(ctx)
	t, err := h.Store.Token(ctx, request.Id)
	if err != nil {
		return nil, err
	}
	if !within(t.Environments, c.caller.Environments) {
		return nil, rollout.Refuse(rollout.Forbidden, "the token is for environments that yours is not for", "ask whom it belongs to, or an admin of all environments")
	}
	c.replayed, err = h.Store.DeleteToken(ctx, request.Id, actor(ctx), c.key)
	h.forget(request.Id)
	return api.DeleteToken204Response{}, err
}
