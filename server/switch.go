package server

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"viridian/rollout"
	"viridian/rollout/controller"
	"viridian/server/api"
)

func (h handlers) PromoteGeneration(ctx context.Context, request api.PromoteGenerationRequestObject) (api.PromoteGenerationResponseObject, error) {
	body := given(request.Body)
	if err := refuseForce(ctx, given(body.Force), request.Environment); err != nil {
		return nil, err
	}
	out, err := h.Service.PromoteGeneration(ctx, request.Environment, rollout.PromoteCommand{
		Actor: actor(ctx), Generation: request.Number, Reason: given(body.Reason), ExpectedRevision: body.ExpectedRevision,
		Supersede: given(body.Supersede), Force: given(body.Force)}, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	shown, reached, err := h.switched(ctx, request.Environment, out, request.Params.Wait, request.Params.Timeout)
	if err != nil {
		return nil, err
	}
	if !reached {
		return api.PromoteGeneration202JSONResponse(shown), nil
	}
	return api.PromoteGeneration200JSONResponse(shown), nil
}

func (h handlers) Rollback(ctx context.Context, request api.RollbackRequestObject) (api.RollbackResponseObject, error) {
	body := given(request.Body)
	if err := refuseForce(ctx, given(body.Force), request.Environment); err != nil {
		return nil, err
	}
	out, err := h.Service.Rollback(ctx, request.Environment, rollout.RollbackCommand{
		Actor: actor(ctx), From: given(body.From), To: given(body.To), Reason: given(body.Reason),
		ExpectedRevision: body.ExpectedRevision, Force: given(body.Force)}, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	shown, reached, err := h.switched(ctx, request.Environment, out, request.Params.Wait, request.Params.Timeout)
	if err != nil {
		return nil, err
	}
	if !reached {
		return api.Rollback202JSONResponse(shown), nil
	}
	return api.Rollback200JSONResponse(shown), nil
}

func (h handlers) SetWeights(ctx context.Context, request api.SetWeightsRequestObject) (api.SetWeightsResponseObject, error) {
	weights := rollout.Weights{}
	for text, share := range request.Body.Weights {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, invalid("/weights/"+text, "is not the number of a generation")
		}
		weights[int(n)] = share
	}
	out, err := h.Service.SetWeights(ctx, request.Environment, rollout.WeightsCommand{Actor: actor(ctx), Weights: weights,
		Reason: given(request.Body.Reason), ExpectedRevision: request.Body.ExpectedRevision}, idempotencyKey(ctx))
	if err != nil || replays(ctx, out, nil) {
		return nil, err
	}
	shown, reached, err := h.switched(ctx, request.Environment, out, request.Params.Wait, request.Params.Timeout)
	if err != nil {
		return nil, err
	}
	if !reached {
		return api.SetWeights202JSONResponse(shown), nil
	}
	return api.SetWeights200JSONResponse(shown), nil
}

func (h handlers) ListSwitches(ctx context.Context, request api.ListSwitchesRequestObject) (api.ListSwitchesResponseObject, error) {
	page, err := h.Store.Switches(ctx, request.Environment, paging(request.Params.Limit, request.Params.Cursor))
	if err != nil {
		return nil, err
	}
	out := api.ListSwitches200JSONResponse{Items: []api.Switch{}, NextCursor: cursor(page.Next)}
	for _, s := range page.Items {
		out.Items = append(out.Items, switchOf(s))
	}
	return out, nil
}

func (h handlers) ShowSwitch(ctx context.Context, request api.ShowSwitchRequestObject) (api.ShowSwitchResponseObject, error) {
	timeout, err := waitTimeout(given(request.Params.Timeout))
	if err != nil {
		return nil, err
	}
	reached := true
	if wait := controller.WaitFor(given(request.Params.Wait)); wait != "" && wait != controller.WaitCommitted {
		if _, reached, err = h.await(ctx, request.Environment, request.Revision, wait, timeout); err != nil {
			return nil, err
		}
	}
	e, now, err := h.environment(ctx, request.Environment)
	if err != nil {
		return nil, err
	}
	shown, err := h.showSwitch(ctx, e, request.Revision, now)
	if err != nil {
		return nil, err
	}
	if !reached {
		return api.ShowSwitch202JSONResponse(shown), nil
	}
	return api.ShowSwitch200JSONResponse(shown), nil
}

// switched waits for the switch that answers a command, as long as the caller wants, and shows it. reached is false
// when what was waited for was not seen within that time.
func (s *server) switched(ctx context.Context, environment string, out controller.Outcome, wait *api.Wait, timeout *string) (shown api.Switch, reached bool, err error) {
	patience, err := waitTimeout(given(timeout))
	if err != nil {
		return shown, false, err
	}
	kind := controller.WaitFor(given(wait))
	if kind == "" {
		kind = controller.WaitApplied
	}
	e, reached, err := s.await(ctx, environment, out.Revision, kind, patience)
	if err != nil {
		return shown, false, err
	}
	shown, err = s.showSwitch(ctx, e, out.Revision, asOf(e))
	shown.Changed = out.Changed
	callOf(ctx).unfinished = !reached
	return shown, reached, err
}

// await is Service.Await, which ends early when the server stops: the caller is told how far things are.
func (s *server) await(ctx context.Context, environment string, revision int64, wait controller.WaitFor, timeout time.Duration) (rollout.Environment, bool, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.running, cancel)()
	e, reached, err := s.Service.Await(waiting, environment, revision, wait, timeout)
	if errors.Is(err, context.Canceled) && ctx.Err() == nil {
		return e, false, nil
	}
	return e, reached, err
}

// showSwitch shows the switch of a revision: with what its nodes do, when it is the present one.
func (s *server) showSwitch(ctx context.Context, e rollout.Environment, revision int64, now time.Time) (api.Switch, error) {
	if e.Switch != nil && e.Switch.Revision == revision {
		out := switchOf(*e.Switch)
		out.Receipts = s.receiptsOf(e, now)
		return out, nil
	}
	old, err := s.Store.Switch(ctx, e.Name, revision)
	return switchOf(old), err
}

func switchOf(s rollout.Switch) api.Switch {
	out := api.Switch{Environment: s.Environment, Revision: s.Revision, Kind: api.SwitchKind(s.Kind), Status: api.SwitchStatus(s.Status),
		Degraded: s.Degraded, Changed: true, From: number(s.From), To: number(s.To), Weights: weightsOf(s.Weights), Actor: s.Actor, Reason: s.Reason,
		CommittedAt: s.CommittedAt, AppliedAt: s.AppliedAt, DrainedAt: s.DrainedAt, Receipts: []api.Receipt{}, Warnings: orEmpty(s.Warnings)}
	if s.Promotion != 0 {
		out.Promotion = &s.Promotion
	}
	return out
}

func weightsOf(w rollout.Weights) api.Weights {
	out := api.Weights{}
	for n, share := range w {
		out[strconv.Itoa(n)] = share
	}
	return out
}

// receiptsOf shows every node of the environment's routers with what it was last seen doing, and what keeps it from
// following, or this replica from reaching it.
func (s *server) receiptsOf(e rollout.Environment, now time.Time) []api.Receipt {
	out := []api.Receipt{}
	for _, n := range e.Nodes {
		r, seen := e.Receipt(n)
		shown := api.Receipt{Router: n.Router, Node: n.Name, Incarnation: n.Incarnation, Revision: r.Revision, Weights: weightsOf(r.Weights),
			State: api.ReceiptState(e.ReceiptState(n, now)), Grade: api.Grade(r.Grade), Error: cmp.Or(r.Error, s.contactError(n))}
		if at, _ := e.ConfirmedAt(n); seen {
			shown.At = &at
		} else {
			shown.Grade = api.Grade(s.gradeOf(n.Router))
		}
		out = append(out, shown)
	}
	return out
}

// asOf is the newest time of the database's clock in what is known of an environment: when it was looked at, near
// enough to tell which of its nodes are silent.
func asOf(e rollout.Environment) time.Time {
	newest := e.UpdatedAt
	later := func(t time.Time) {
		if t.After(newest) {
			newest = t
		}
	}
	for _, n := range e.Nodes {
		later(n.SeenAt)
	}
	for _, r := range e.Receipts {
		later(r.At)
	}
	for _, r := range e.Readings {
		later(r.At)
	}
	for _, g := range e.Generations {
		later(g.StateChangedAt)
	}
	if e.Switch != nil {
		later(e.Switch.CommittedAt)
	}
	return newest
}
