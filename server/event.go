package server

import (
	"context"
	"encoding/json"
	"strconv"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/store"
)

func (h handlers) ListEvents(ctx context.Context, request api.ListEventsRequestObject) (api.ListEventsResponseObject, error) {
	filter, err := eventFilter(callOf(ctx).caller, "event.list", request.Params.Environment, request.Params.Kind)
	if err != nil {
		return nil, err
	}
	filter.After = given(request.Params.After)
	size := given(request.Params.Limit)
	if size == 0 {
		size = store.DefaultLimit
	}
	filter.Limit = size
	events, err := h.Store.Events(ctx, filter)
	if err != nil {
		return nil, err
	}
	out := api.ListEvents200JSONResponse{Items: []api.Event{}}
	for _, e := range events {
		out.Items = append(out.Items, eventOf(e))
	}
	if len(events) == size { // there may be more
		next := strconv.FormatInt(events[size-1].ID, 10)
		out.NextCursor = &next
	}
	return out, nil
}

// eventFilter wants what the caller may see. Asking for one environment by name needs to be allowed to see it.
func eventFilter(caller Caller, action Action, environment, kind *string) (store.EventFilter, error) {
	f := store.EventFilter{Environments: caller.Environments, Environment: given(environment), Kind: given(kind)}
	return f, allow(caller, action, f.Environment)
}

func eventOf(e rollout.Event) api.Event {
	out := api.Event{Id: e.ID, Environment: e.Environment, Kind: e.Kind, Actor: e.Actor, At: e.At, Generation: number(e.Generation),
		Data: json.RawMessage(e.Raw), PrevHash: e.PrevHash, Hash: e.Hash}
	if e.Revision != 0 {
		out.Revision = &e.Revision
	}
	if len(out.Data) == 0 {
		out.Data = json.RawMessage("{}")
	}
	return out
}
