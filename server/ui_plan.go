package server

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"viridian/rollout"
	"viridian/web"
)

// planView draws what a change of the route would come to: the weights before and after, the nodes that have to follow,
// and where a rollback would go then. staged asks the nodes for the generation that traffic goes to; 0 asks nothing.
func planView(e, after rollout.Environment, now time.Time, staged int) *web.Plan {
	v := viewed{e: e, now: now}
	out := &web.Plan{Revision: e.Revision, Now: v.shares(e.Weights), Then: v.shares(after.Weights)}
	for _, n := range generationsOf(e.Weights, after.Weights) {
		g, _ := e.Generation(n)
		row := web.PlanRow{Number: n, Version: g.Version, Colour: g.Colour, State: g.State, Now: e.Weights[n], Then: after.Weights[n]}
		if then, ok := after.Generation(n); ok && then.State != g.State {
			row.Becomes = then.State
		}
		out.Rows = append(out.Rows, row)
	}
	for _, n := range e.Nodes {
		node := web.PlanNode{Router: n.Router, Name: n.Name, Tone: web.Good, Text: "ready"}
		switch state := e.ReceiptState(n, now); {
		case state == rollout.Unreachable:
			node.Tone, node.Text = web.Warn, "not reachable: follows when it is back"
		case staged != 0 && !e.Staged(n, staged):
			node.Tone, node.Text = web.Busy, fmt.Sprintf("generation %d is not staged there yet", staged)
		case state != rollout.InSync:
			node.Tone, node.Text = web.Busy, "is not yet where the route is"
		}
		out.Nodes = append(out.Nodes, node)
	}
	if back := after.Readiness(now).Generation; back != 0 {
		out.After = fmt.Sprintf("Afterwards a rollback goes to generation %d.", back)
	} else if len(after.Weights) > 0 {
		out.After = "Afterwards there is no generation that a rollback goes to by itself."
	}
	return out
}

// generationsOf lists the generations that have a share in any of the weights, in order.
func generationsOf(weights ...rollout.Weights) []int {
	var out []int
	for _, w := range weights {
		out = append(out, w.Numbers()...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// refusals is the refusal in an error, as a list.
func refusals(err error) []*rollout.Refusal {
	var refusal *rollout.Refusal
	if errors.As(err, &refusal) {
		return []*rollout.Refusal{refusal}
	}
	return nil
}

// blockedView is what stands in the way.
func blockedView(refusals []*rollout.Refusal) []web.Blocked {
	var out []web.Blocked
	for _, r := range refusals {
		out = append(out, web.Blocked{Detail: web.Sentence(r.Detail), Fixes: r.Fixes})
	}
	return out
}
