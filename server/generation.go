package server

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/store"
)

func (h handlers) ListGenerations(ctx context.Context, request api.ListGenerationsRequestObject) (api.ListGenerationsResponseObject, error) {
	var filter store.GenerationFilter
	for _, state := range request.Params.State {
		filter.States = append(filter.States, rollout.GenerationState(state))
	}
	page, err := h.Store.Generations(ctx, request.Environment, filter, paging(request.Params.Limit, request.Params.Cursor))
	if err != nil {
		return nil, err
	}
	e, now, err := h.environment(ctx, request.Environment)
	if err != nil {
		return nil, err
	}
	out := api.ListGenerations200JSONResponse{Items: []api.Generation{}, NextCursor: cursor(page.Next)}
	for _, g := range page.Items {
		out.Items = append(out.Items, generationOf(e, g, now))
	}
	return out, nil
}

func (h handlers) RegisterGeneration(ctx context.Context, request api.RegisterGenerationRequestObject) (api.RegisterGenerationResponseObject, error) {
	cmd := rollout.RegisterCommand{Actor: actor(ctx), Version: request.Body.Version, Artifact: artifactFrom(request.Body.Artifact),
		Metadata: given(request.Body.Metadata), Groups: groupsFrom(request.Body.Groups), Promote: given(request.Body.Promote)}
	out, err := h.Service.RegisterGeneration(ctx, request.Environment, cmd, idempotencyKey(ctx))
	if err != nil {
		return nil, err
	}
	location := generationPath(request.Environment, out.Generation)
	if replays(ctx, out, func([]byte) http.Header { return http.Header{"Location": {location}} }) {
		return nil, nil
	}
	shown, err := h.generationAfter(ctx, out.Environment, out.Generation, cmd.Groups)
	return api.RegisterGeneration201JSONResponse{Body: shown, Headers: api.RegisterGeneration201ResponseHeaders{Location: location}}, err
}

func (h handlers) ShowGeneration(ctx context.Context, request api.ShowGenerationRequestObject) (api.ShowGenerationResponseObject, error) {
	e, now, err := h.environment(ctx, request.Environment)
	if err != nil {
		return nil, err
	}
	g, err := h.Store.Generation(ctx, request.Environment, request.Number)
	return api.ShowGeneration200JSONResponse(generationOf(e, g, now)), err
}

func (h handlers) ReplaceGeneration(ctx context.Context, request api.ReplaceGenerationRequestObject) (api.ReplaceGenerationResponseObject, error) {
	return nil, h.immutable(ctx, request.Environment, request.Number)
}

func (h handlers) PatchGeneration(ctx context.Context, request api.PatchGenerationRequestObject) (api.PatchGenerationResponseObject, error) {
	return nil, h.immutable(ctx, request.Environment, request.Number)
}

// immutable refuses to change a generation; one that does not exist is not found.
func (s *server) immutable(ctx context.Context, environment string, number int) error {
	if _, err := s.Store.Generation(ctx, environment, number); err != nil {
		return err
	}
	return rollout.Refuse(rollout.GenerationImmutable, fmt.Sprintf("generation %d was registered and never changes", number),
		"register a new generation: POST "+environmentPath(environment)+"/generations")
}

func (h handlers) ValidateGeneration(ctx context.Context, request api.ValidateGenerationRequestObject) (api.ValidateGenerationResponseObject, error) {
	out, err := h.Service.ValidateGeneration(ctx, request.Environment,
		rollout.ValidateCommand{Actor: actor(ctx), Generation: request.Number}, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	shown, err := h.generationAfter(ctx, out.Environment, request.Number, nil)
	return api.ValidateGeneration202JSONResponse(shown), err
}

func (h handlers) RetireGeneration(ctx context.Context, request api.RetireGenerationRequestObject) (api.RetireGenerationResponseObject, error) {
	body := given(request.Body)
	out, err := h.Service.RetireGeneration(ctx, request.Environment,
		rollout.RetireCommand{Actor: actor(ctx), Generation: request.Number, Reason: given(body.Reason)}, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	shown, err := h.generationAfter(ctx, out.Environment, request.Number, nil)
	return api.RetireGeneration202JSONResponse(shown), err
}

// generationAfter shows a generation as a command left it. Groups are loaded when they are not known, and so is a
// generation that a replay does not find among those that are not retired.
func (s *server) generationAfter(ctx context.Context, e rollout.Environment, number int, groups []rollout.Group) (api.Generation, error) {
	g, known := e.Generation(number)
	if !known || groups == nil {
		loaded, err := s.Store.Generation(ctx, e.Name, number)
		if err != nil {
			return api.Generation{}, err
		}
		groups = loaded.Groups
		if !known {
			g = loaded
		}
	}
	g.Groups = groups
	return generationOf(e, g, asOf(e)), nil
}

func generationOf(e rollout.Environment, g rollout.Generation, now time.Time) api.Generation {
	out := api.Generation{
		Environment: g.Environment, Number: g.Number, Version: g.Version, Artifact: artifactOf(g.Artifact), Groups: groupsOf(g.Groups),
		Metadata: api.Labels{}, State: api.GenerationState(g.State), Reason: cmp.Or(g.Reason, e.WaitsFor(g, now)), Colour: api.Colour(g.Colour), Promote: g.Promote,
		CreatedAt: g.CreatedAt, CreatedBy: g.CreatedBy, StateChangedAt: g.StateChangedAt, Health: healthOf(e, g.Number),
		Validation: validationOf(e, g.Checked), Blocked: []api.Blocker{},
	}
	if g.Metadata != nil {
		out.Metadata = g.Metadata
	}
	if !g.MembersAt.IsZero() {
		out.MembersAt = &g.MembersAt
	}
	if until, ends := e.KeptUntil(g); ends {
		out.KeepUntil = &until
	}
	if g.Promote && g.State == rollout.Ready {
		out.Blocked = blockedIntake(e, g, now)
	}
	return out
}

// blockedIntake tells everything that keeps a ready generation from being promoted by itself.
func blockedIntake(e rollout.Environment, g rollout.Generation, now time.Time) []api.Blocker {
	out := []api.Blocker{}
	if e.Hold != nil {
		out = append(out, api.Blocker{Code: api.Code(rollout.Conflict), Detail: "automation is held: " + e.Hold.Reason,
			Fixes: []string{"release it: DELETE " + environmentPath(e.Name) + "/automation-hold", "or promote the generation yourself"}})
	}
	if g.Number < e.Live {
		out = append(out, api.Blocker{Code: api.Code(rollout.Conflict), Detail: fmt.Sprintf("generation %d is newer and live", e.Live),
			Fixes: []string{"promote the generation yourself, if that is meant"}})
	}
	if plan, err := e.Plan(rollout.PromoteCommand{Actor: rollout.System, Generation: g.Number}, now); err == nil {
		out = append(out, blockersOf(plan.Blocked)...)
	}
	return out
}

func blockersOf(refusals []*rollout.Refusal) []api.Blocker {
	out := []api.Blocker{}
	for _, r := range refusals {
		out = append(out, api.Blocker{Code: api.Code(r.Code), Detail: r.Detail, Fixes: orEmpty(r.Fixes)})
	}
	return out
}

func healthOf(e rollout.Environment, generation int) api.Health {
	out := api.Health{}
	for _, r := range e.Readings {
		if r.Generation == generation {
			out[r.Service] = api.HealthCount{Healthy: r.Healthy, Total: r.Total, At: r.At, Detail: text(r.Detail), Drift: text(r.Drift), Mismatched: number(r.Mismatched)}
		}
	}
	return out
}

func validationOf(e rollout.Environment, v rollout.ValidationRecord) api.Validation {
	out := api.Validation{Passed: v.Passed, Detail: v.Detail, StartedAt: v.StartedAt, Deadline: v.Deadline, FinishedAt: v.FinishedAt}
	if v.Passed && v.FinishedAt != nil {
		until := v.FinishedAt.Add(e.Spec.Validation.ValidFor.Std())
		out.ValidUntil = &until
	}
	return out
}

func artifactOf(a *rollout.Artifact) *api.Artifact {
	if a == nil {
		return nil
	}
	out := &api.Artifact{Digest: text(a.Digest)}
	if a.Source != nil {
		out.Source = &api.Source{Repository: text(a.Source.Repository), Commit: text(a.Source.Commit), Url: text(a.Source.URL)}
	}
	return out
}

func artifactFrom(a *api.Artifact) *rollout.Artifact {
	if a == nil {
		return nil
	}
	out := &rollout.Artifact{Digest: given(a.Digest)}
	if a.Source != nil {
		out.Source = &rollout.Source{Repository: given(a.Source.Repository), Commit: given(a.Source.Commit), URL: given(a.Source.Url)}
	}
	return out
}

func groupsOf(groups []rollout.Group) []api.Group {
	out := []api.Group{}
	for _, group := range groups {
		instances := make([]api.Instance, 0, len(group.Instances))
		for _, in := range group.Instances {
			shown := api.Instance{Id: in.ID, Address: in.Address, Port: in.Port}
			if len(in.Meta) > 0 {
				meta := api.Labels(in.Meta)
				shown.Meta = &meta
			}
			instances = append(instances, shown)
		}
		out = append(out, api.Group{Service: group.Service, Instances: instances, Consul: adoptionOf(group.Consul)})
	}
	return out
}

func groupsFrom(groups []api.Group) []rollout.Group {
	out := make([]rollout.Group, 0, len(groups))
	for _, group := range groups {
		var instances []rollout.Instance
		for _, in := range group.Instances {
			instances = append(instances, rollout.Instance{ID: in.Id, Address: in.Address, Port: in.Port, Meta: given(in.Meta)})
		}
		out = append(out, rollout.Group{Service: group.Service, Instances: instances, Consul: adoptionFrom(group.Consul)})
	}
	return out
}

func generationPath(environment string, number int) string {
	return environmentPath(environment) + "/generations/" + strconv.Itoa(number)
}
