package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"viridian/rollout"
	"viridian/web"
)

// environmentView is what pages show of an environment to a caller, as it was at that time. Traffic is by generation.
func (s *server) environmentView(caller Caller, e rollout.Environment, now time.Time, traffic map[int]*web.Traffic) web.Environment {
	actions := s.environmentActions(caller, e, now)
	v := viewed{e: e, now: now, actions: actions, traffic: traffic}
	out := web.Environment{Name: e.Name, Description: e.Spec.Description, Live: e.Live, Revision: e.Revision, Deleting: e.DeletingAt != nil,
		Shares: v.shares(e.Weights), Receipts: v.receipts(), Concerns: concernsOf(e, now), Actions: actions}
	out.Standing = standingOf(e, out.Concerns)
	out.Blue, out.Green = v.half(rollout.Blue), v.half(rollout.Green)
	out.Rollback = v.rollback()
	if e.Switch != nil {
		shown := v.made(*e.Switch)
		out.Switch = &shown
	}
	if p := e.Promotion; p != nil {
		shown := promotionView(*p)
		out.Promotion = &shown
	}
	if e.Lock != nil {
		out.Lock = &web.Remark{Reason: e.Lock.Reason, By: e.Lock.By, At: e.Lock.At}
	}
	if e.Hold != nil {
		out.Hold = &web.Remark{Reason: e.Hold.Reason, At: e.Hold.Since}
	}
	return out
}

// viewed is an environment that is being drawn.
type viewed struct {
	e       rollout.Environment
	now     time.Time
	actions web.Actions
	traffic map[int]*web.Traffic
}

// half is one side: all that wears the colour, with what matters most in front.
func (v viewed) half(c rollout.Colour) web.Half {
	out := web.Half{Colour: c}
	var all []rollout.Generation
	for _, g := range v.e.Generations {
		if g.Colour == c && g.State != rollout.Retired {
			all = append(all, g)
		}
	}
	slices.SortStableFunc(all, func(a, b rollout.Generation) int {
		if byRank := v.rank(b) - v.rank(a); byRank != 0 {
			return byRank
		}
		return b.Number - a.Number
	})
	for i, g := range all {
		shown := v.generation(g)
		if g.Number == v.e.Previous {
			shown.Actions.Keep = nil // stands beside the way back
		}
		if i == 0 {
			out.Main = &shown
			continue
		}
		out.Others = append(out.Others, shown)
	}
	return out
}

// rank is how much a generation matters on its side.
func (v viewed) rank(g rollout.Generation) int {
	switch {
	case g.Number == v.e.Live: // before one of its own colour that has a share
		return 9
	case v.e.Weights.Carries(g.Number):
		return 8
	case v.e.Promotion != nil && v.e.Promotion.Generation == g.Number:
		return 7
	}
	return map[rollout.GenerationState]int{rollout.Ready: 6, rollout.Validating: 5, rollout.Registered: 5, rollout.Standby: 4,
		rollout.Failed: 2, rollout.Rejected: 2}[g.State]
}

func (v viewed) generation(g rollout.Generation) web.Generation {
	out := generationFacts(g)
	out.Weight, out.Health, out.Traffic = v.e.Weights[g.Number], v.health(g), v.traffic[g.Number]
	out.Role = v.role(g)
	if until, ends := v.e.KeptUntil(g); ends {
		out.KeepUntil = &until
	}
	out.Reason = cmp.Or(g.Reason, v.e.WaitsFor(g, v.now))
	out.Actions = web.GenerationActions{Promote: offered(v.actions.Promote, g.Number), Rollback: offered(v.actions.RollbackTo, g.Number),
		Validate: offered(v.actions.Validate, g.Number), Retire: offered(v.actions.Retire, g.Number), Keep: offered(v.actions.Keep, g.Number)}
	if g.Number == v.e.Previous {
		out.Actions.Rollback = nil // the environment's own way back leads there
	}
	return out
}

// generationFacts is what a generation's record says, without its environment.
func generationFacts(g rollout.Generation) web.Generation {
	out := web.Generation{Environment: g.Environment, Number: g.Number, Version: g.Version, Colour: g.Colour, State: g.State, Reason: g.Reason,
		Since: g.StateChangedAt, CreatedAt: g.CreatedAt, CreatedBy: g.CreatedBy}
	if g.Waiting != rollout.Adopting { // which is no wait of a promotion
		out.Waiting = g.Waiting
	}
	if g.Artifact != nil && g.Artifact.Source != nil {
		out.Commit = g.Artifact.Source.Commit
	}
	return out
}

func offered(actions map[int]web.Action, number int) *web.Action {
	if a, ok := actions[number]; ok && a.Offered() {
		return &a
	}
	return nil
}

// role is what a generation is for the environment, besides its state.
func (v viewed) role(g rollout.Generation) string {
	switch {
	case g.Number == v.e.Previous:
		return "rollback target"
	case g.Promote && g.State != rollout.Live:
		return "to be promoted when ready"
	}
	return ""
}

func (v viewed) health(g rollout.Generation) []web.ServiceHealth {
	var out []web.ServiceHealth
	for _, svc := range v.e.Spec.Services {
		size := g.Sizes[svc.Name]
		if size == 0 {
			continue
		}
		r, fresh := v.e.Reading(g.Number, svc.Name, v.now)
		out = append(out, web.ServiceHealth{Service: svc.Name, Healthy: r.Healthy, Unhealthy: r.Unhealthy, Total: size, Known: fresh && !r.At.IsZero(),
			At: r.At, Detail: r.Detail, Drift: r.Drift})
	}
	return out
}

func (v viewed) shares(w rollout.Weights) []web.Share {
	var out []web.Share
	for _, n := range w.Numbers() {
		g, _ := v.e.Generation(n)
		out = append(out, web.Share{Generation: n, Colour: g.Colour, Percent: w[n]})
	}
	return out
}

func (v viewed) receipts() []web.Receipt {
	var out []web.Receipt
	for _, n := range v.e.Nodes {
		r, seen := v.e.Receipt(n)
		at, _ := v.e.ConfirmedAt(n)
		shown := web.Receipt{Router: n.Router, Node: n.Name, Incarnation: n.Incarnation, State: v.e.ReceiptState(n, v.now), Revision: r.Revision,
			Weights: v.shares(r.Weights), Seen: seen, At: at, Error: r.Error}
		for _, open := range r.InFlight {
			shown.InFlight += open
		}
		out = append(out, shown)
	}
	return out
}

// rollback is whether there is a way back, which is the same for whoever looks; who may take it, the action says.
func (v viewed) rollback() web.RollbackReady {
	ready := v.e.Readiness(v.now)
	state := offers{e: v.e, now: v.now}.rollbackWhy(0)
	out := web.RollbackReady{Ready: ready.Ready && state == "", KeepUntil: ready.KeepUntil, Reasons: ready.Reasons, Action: v.actions.Rollback}
	for _, count := range ready.Healthy {
		out.Healthy += count[0]
		out.Of += count[1]
	}
	if g, ok := v.e.Generation(ready.Generation); ok {
		target := v.generation(g)
		out.Target = &target
		out.Keep = target.Actions.Keep
	}
	return out
}

func (v viewed) made(sw rollout.Switch) web.Switch {
	return switchView(sw, v.shares)
}

// switchView shows a switch; shares tells the colours of its weights.
func switchView(sw rollout.Switch, shares func(rollout.Weights) []web.Share) web.Switch {
	return web.Switch{Environment: sw.Environment, Revision: sw.Revision, Kind: sw.Kind, Status: sw.Status, Degraded: sw.Degraded, From: sw.From, To: sw.To,
		Weights: shares(sw.Weights), Actor: sw.Actor, Reason: sw.Reason, Promotion: sw.Promotion, CommittedAt: sw.CommittedAt, AppliedAt: sw.AppliedAt,
		DrainedAt: sw.DrainedAt, Warnings: sw.Warnings}
}

func promotionView(p rollout.Promotion) web.Promotion {
	return web.Promotion{ID: p.ID, Generation: p.Generation, From: p.From, State: p.State, Reason: p.Reason, Actor: p.Actor, Revision: p.Revision,
		StartedAt: p.StartedAt, EndedAt: p.EndedAt}
}

// matches says whether the environment is within the filter of the overview.
func matches(e web.Environment, f web.Filter) bool {
	text := strings.ToLower(f.Text)
	if !strings.Contains(strings.ToLower(e.Name), text) && !strings.Contains(strings.ToLower(e.Description), text) {
		return false
	}
	switch f.State {
	case web.NeedsAttention:
		return e.Attention()
	case web.Switching:
		return e.Promotion != nil || e.Switch != nil && e.Switch.Status == rollout.Committed
	case web.Locked:
		return e.Lock != nil
	case web.HeldBack:
		return e.Hold != nil
	case web.Steady:
		return e.Standing.Tone == web.Good
	case web.NothingLive:
		return e.Live == 0
	}
	return true
}
