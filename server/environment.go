package server

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/server/api"
)

func (h handlers) ListEnvironments(ctx context.Context, request api.ListEnvironmentsRequestObject) (api.ListEnvironmentsResponseObject, error) {
	page, err := h.Store.Environments(ctx, callOf(ctx).caller.Environments, paging(request.Params.Limit, request.Params.Cursor))
	if err != nil {
		return nil, err
	}
	out := api.ListEnvironments200JSONResponse{Items: []api.Environment{}, NextCursor: cursor(page.Next)}
	for _, e := range page.Items {
		shown, err := environmentOf(e)
		if err != nil {
			return nil, err
		}
		out.Items = append(out.Items, shown)
	}
	return out, nil
}

func (h handlers) CreateEnvironment(ctx context.Context, request api.CreateEnvironmentRequestObject) (api.CreateEnvironmentResponseObject, error) {
	name, spec, err := parseSpec(*request.Body)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, invalid("/name", "is missing")
	}
	if err := allow(callOf(ctx).caller, "environment.create", name); err != nil {
		return nil, err
	}
	out, err := h.Service.CreateEnvironment(ctx, rollout.PutCommand{Actor: actor(ctx), Name: name, Spec: spec}, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, environmentHeaders(name, true)) {
		return nil, err
	}
	body, err := environmentOf(out.Environment)
	return api.CreateEnvironment201JSONResponse{Body: body,
		Headers: api.CreateEnvironment201ResponseHeaders{ETag: etag(body.SpecVersion), Location: environmentPath(name)}}, err
}

func (h handlers) ShowEnvironment(ctx context.Context, request api.ShowEnvironmentRequestObject) (api.ShowEnvironmentResponseObject, error) {
	e, _, err := h.environment(ctx, request.Environment)
	if err != nil {
		return nil, err
	}
	body, err := environmentOf(e)
	return api.ShowEnvironment200JSONResponse{Body: body, Headers: api.ShowEnvironment200ResponseHeaders{ETag: etag(body.SpecVersion)}}, err
}

func (h handlers) PutEnvironment(ctx context.Context, request api.PutEnvironmentRequestObject) (api.PutEnvironmentResponseObject, error) {
	name, spec, err := parseSpec(*request.Body)
	if err != nil {
		return nil, err
	}
	if name != "" && name != request.Environment {
		return nil, invalid("/name", "must be the name in the path, or be left out")
	}
	match, err := ifMatch(request.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	out, err := h.Service.PutEnvironment(ctx, rollout.PutCommand{Actor: actor(ctx), Name: request.Environment, Spec: spec, IfMatch: match}, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, environmentHeaders(request.Environment, out.Response != nil && out.Response.Status == http.StatusCreated)) {
		return nil, err
	}
	e := out.Environment
	body, err := environmentOf(e)
	if out.Changed && e.CreatedAt.Equal(e.UpdatedAt) { // what was created has not been updated yet
		return api.PutEnvironment201JSONResponse{Body: body,
			Headers: api.PutEnvironment201ResponseHeaders{ETag: etag(body.SpecVersion), Location: environmentPath(e.Name)}}, err
	}
	return api.PutEnvironment200JSONResponse{Body: body, Headers: api.PutEnvironment200ResponseHeaders{ETag: etag(body.SpecVersion)}}, err
}

func (h handlers) DeleteEnvironment(ctx context.Context, request api.DeleteEnvironmentRequestObject) (api.DeleteEnvironmentResponseObject, error) {
	force := given(request.Params.Force)
	if err := refuseForce(ctx, force, request.Environment); err != nil {
		return nil, err
	}
	match, err := ifMatch(request.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	out, err := h.Service.DeleteEnvironment(ctx, request.Environment,
		rollout.DeleteCommand{Actor: actor(ctx), Force: force, Reason: given(request.Params.Reason), IfMatch: match}, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	body, err := environmentOf(out.Environment)
	return api.DeleteEnvironment202JSONResponse(body), err
}

// environment loads what is there to be shown; a deleted environment is not.
func (s *server) environment(ctx context.Context, name string) (rollout.Environment, time.Time, error) {
	e, now, err := s.Store.Environment(ctx, name)
	if err == nil && e.DeletedAt != nil {
		err = rollout.Refuse(rollout.NotFound, "there is no environment "+name, "list them with GET /v1/environments")
	}
	return e, now, err
}

// parseSpec takes the name, which is not part of the spec, out of the body. An absent name is empty.
func parseSpec(raw json.RawMessage) (name string, spec rollout.Spec, err error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return "", spec, malformed("the body is not a JSON object")
	}
	if text, ok := fields["name"]; ok {
		if err := json.Unmarshal(text, &name); err != nil {
			return "", spec, invalid("/name", "must be a string")
		}
		delete(fields, "name")
	}
	raw, err = json.Marshal(fields)
	if err != nil {
		return "", spec, err
	}
	spec, err = rollout.ParseSpec(raw)
	return name, spec, err
}

func environmentOf(e rollout.Environment) (api.Environment, error) {
	spec, err := json.Marshal(e.Spec)
	out := api.Environment{
		Name: e.Name, Description: e.Spec.Description, Spec: spec, SpecVersion: e.SpecVersion, CreatedAt: e.CreatedAt, UpdatedAt: e.UpdatedAt,
		Live: number(e.Live), Previous: number(e.Previous), Revision: e.Revision, Automation: automationOf(e.Hold), Lock: lockOf(e.Lock),
		Deleting: e.DeletingAt != nil,
	}
	if e.Trouble != nil {
		out.RegistryTrouble = &api.RegistryTrouble{Detail: e.Trouble.Detail, Since: e.Trouble.Since}
	}
	if e.Promotion != nil {
		p := promotionOf(*e.Promotion)
		out.Promotion = &p
	}
	return out, err
}

func environmentPath(name string) string { return "/v1/environments/" + name }

// etag names a version of the spec.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// ifMatch reads one entity tag. One that we never gave out matches no version.
func ifMatch(header *string) (*int64, error) {
	if header == nil {
		return nil, nil
	}
	text, quoted := strings.CutPrefix(strings.TrimSpace(*header), `"`)
	text, closed := strings.CutSuffix(text, `"`)
	if !quoted || !closed || strings.Contains(text, `"`) {
		return nil, invalid("If-Match", `must be the one ETag that was read, such as "3"`)
	}
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil || version < 1 {
		version = -1
	}
	return &version, nil
}

// environmentHeaders are those of the kept answer of a create or put.
func environmentHeaders(name string, created bool) func(saved []byte) http.Header {
	return func(saved []byte) http.Header {
		var body struct {
			SpecVersion int64 `json:"spec_version"`
		}
		header := http.Header{}
		if json.Unmarshal(saved, &body) == nil {
			header.Set("ETag", etag(body.SpecVersion))
		}
		if created {
			header.Set("Location", environmentPath(name))
		}
		return header
	}
}
