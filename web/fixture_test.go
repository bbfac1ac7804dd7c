package web_test

import (
	"time"

	"viridian/rollout"
	"viridian/web"
)

// noon is when the pages of the tests were drawn.
var noon = time.Date(2026, 11, 22, 12, 3, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func in(d time.Duration) *time.Time { t := noon.Add(d); return &t }

func page(title, nav string) web.Page {
	return web.Page{Title: title, Nav: nav, Viewer: web.Viewer{Name: "anna", Role: "operator", CSRF: "c", Tokens: true}, Version: "1.4.0", At: noon,
		Path: "/", Live: web.Live{Stream: "/ui/stream?page=overview"}}
}

func may(label, href string) web.Action { return web.Action{Label: label, Href: href, Enabled: true} }

func mayNot(label, why string) web.Action { return web.Action{Label: label, Why: why} }

func ref(a web.Action) *web.Action { return &a }

func wave(n int, base, swing float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = base + swing*float64((i*7)%11)/11
	}
	return out
}

func traffic(rate float64) *web.Traffic {
	p99 := 12.5
	return &web.Traffic{Node: "edge-1", Rate: rate, Errors: rate / 500, P99: &p99, From: ago(2 * time.Minute), Step: 2 * time.Second,
		Rates: wave(60, rate*.9, rate*.2), Faults: wave(60, 0, rate/100), P99s: wave(60, 9, 6), TopRate: rate * 1.3, TopP99: 30}
}

// shop is an environment in the middle of its life: 42 is live, 41 kept, 43 ready.
func shop() web.Environment {
	live := web.Generation{Environment: "shop-prod", Number: 42, Version: "2026.11.22-3f9c2e1", Colour: rollout.Blue, State: rollout.Live, Since: ago(23 * time.Minute),
		CreatedAt: ago(time.Hour), CreatedBy: "token:ci", Weight: 100, Role: "serves", Commit: "3f9c2e1d7a3b5c6d8e9f3f9c2e1d7a3b5c6d8e9f", Traffic: traffic(412),
		Health: []web.ServiceHealth{{Service: "web", Healthy: 12, Total: 12, Known: true, At: ago(time.Second)}, {Service: "api", Healthy: 5, Unhealthy: 1, Total: 6, Known: true, At: ago(time.Second), Detail: "GET /healthz: 503"}}}
	previous := web.Generation{Environment: "shop-prod", Number: 41, Version: "2026.11.20-aa51c0d", Colour: rollout.Green, State: rollout.Standby, Since: ago(23 * time.Minute),
		CreatedAt: ago(48 * time.Hour), CreatedBy: "token:ci", Role: "rollback target", KeepUntil: in(37 * time.Minute), Traffic: traffic(0),
		Health:  []web.ServiceHealth{{Service: "web", Healthy: 12, Total: 12, Known: true, At: ago(time.Second)}, {Service: "api", Healthy: 6, Total: 6, Known: true, At: ago(time.Second)}},
		Actions: web.GenerationActions{Keep: ref(may("Keep longer", "/environments/shop-prod/generations/41/keep")), Retire: ref(mayNot("Retire", "it is what a rollback goes to"))}}
	next := web.Generation{Environment: "shop-prod", Number: 43, Version: "2026.11.22-77b1f00", Colour: rollout.Green, State: rollout.Ready, Since: ago(2 * time.Minute),
		CreatedAt: ago(3 * time.Minute), CreatedBy: "token:ci", Traffic: traffic(0),
		Health:  []web.ServiceHealth{{Service: "web", Healthy: 12, Total: 12, Known: true, At: ago(time.Second)}, {Service: "api", Healthy: 6, Total: 6, Known: true, At: ago(time.Second)}},
		Actions: web.GenerationActions{Promote: ref(may("Promote generation 43", "/environments/shop-prod/generations/43/promote")), Validate: ref(may("Validate again", "/environments/shop-prod/generations/43/validate")), Retire: ref(may("Retire", "/x"))}}
	shares := []web.Share{{Generation: 42, Colour: rollout.Blue, Percent: 100}}
	return web.Environment{Name: "shop-prod", Description: "The shop: web and api, flipped together.", Standing: web.Standing{Tone: web.Warn, Word: "degraded"},
		Concerns: []web.Concern{{Tone: web.Warn, Text: "api: 5 of 6 instances of live generation 42 are healthy"}},
		Shares:   shares, Live: 42, Revision: 87,
		Blue: web.Half{Colour: rollout.Blue, Main: &live}, Green: web.Half{Colour: rollout.Green, Main: &next, Others: []web.Generation{previous}},
		Rollback: web.RollbackReady{Ready: true, Target: &previous, Healthy: 18, Of: 18, KeepUntil: in(37 * time.Minute),
			Action: may("Roll back to generation 41", "/environments/shop-prod/rollback"), Keep: ref(may("Keep longer", "/environments/shop-prod/generations/41/keep"))},
		Switch: &web.Switch{Environment: "shop-prod", Revision: 87, Kind: rollout.SwitchPromote, Status: rollout.Applied, From: 41, To: 42, Weights: shares,
			Actor: "token:anna", Reason: "release 2026.11.22", CommittedAt: ago(23 * time.Minute), AppliedAt: in(-22 * time.Minute)},
		Receipts: []web.Receipt{
			{Router: "builtin", Node: "edge-1", State: rollout.InSync, Revision: 87, Weights: shares, Seen: true, At: ago(time.Second), Incarnation: "1@1"},
			{Router: "builtin", Node: "edge-2", State: rollout.Behind, Revision: 86, Weights: []web.Share{{Generation: 41, Colour: rollout.Green, Percent: 100}}, Seen: true, At: ago(2 * time.Second), InFlight: 3},
			{Router: "builtin", Node: "edge-3", State: rollout.Unreachable, Revision: 86, Seen: true, At: ago(40 * time.Second), Error: "write the state file: no space left on device"}},
		Actions: web.Actions{Weights: may("Set weights", "/w"), Lock: may("Lock", "/l"), Edit: may("Edit", "/e"), Delete: mayNot("Delete", "an admin may, while nothing is live")}}
}

// steady is an environment where all is well, named.
func steady(name string) web.Environment {
	e := shop()
	e.Name, e.Description, e.Standing, e.Concerns = name, "", web.Standing{Tone: web.Good, Word: "steady"}, nil
	live := *e.Blue.Main
	live.Environment = name
	live.Health = []web.ServiceHealth{{Service: "web", Healthy: 4, Total: 4, Known: true, At: noon}}
	e.Blue.Main, e.Green = &live, web.Half{Colour: rollout.Green, Main: e.Rollback.Target}
	e.Receipts = e.Receipts[:1]
	return e
}

// idle is an environment in which nothing is live yet.
func idle(name string) web.Environment {
	return web.Environment{Name: name, Standing: web.Standing{Tone: web.Neutral, Word: "nothing live"}, Blue: web.Half{Colour: rollout.Blue}, Green: web.Half{Colour: rollout.Green}}
}

func overview() web.Overview {
	split := shop()
	split.Name, split.Standing = "search", web.Standing{Tone: web.Busy, Word: "switching"}
	split.Concerns = nil
	split.Shares = []web.Share{{Generation: 42, Colour: rollout.Blue, Percent: 90}, {Generation: 43, Colour: rollout.Green, Percent: 10}}
	split.Rollback = web.RollbackReady{Target: split.Rollback.Target, Of: 18, Reasons: []string{"service web of generation 41 has no healthy instance"},
		Action: mayNot("Roll back to generation 41", "service web of generation 41 has no healthy instance")}
	return web.Overview{Total: 6, Create: may("New environment", "/environments/new"),
		Environments: []web.Environment{steady("billing"), steady("checkout-eu-west-1-with-a-long-name"), idle("lab"), split, shop(), steady("www")}}
}

func history() web.History {
	e := shop()
	var h web.History
	h.Generations = []web.Generation{*e.Green.Main, *e.Blue.Main, e.Green.Others[0],
		{Environment: "shop-prod", Number: 40, Version: "2026.11.18-0", Colour: rollout.Blue, State: rollout.Rejected, Since: ago(50 * time.Hour), CreatedBy: "token:ci", Reason: "error rate doubled after the flip"},
		{Environment: "shop-prod", Number: 39, Version: "2026.11.15-1", Colour: rollout.Green, State: rollout.Retired, Since: ago(70 * time.Hour), CreatedBy: "token:ci", Reason: "kept until 2026-11-20T10:00:00Z"}}
	h.Events = []web.Event{
		{ID: 9, Kind: "generation.ready", Sentence: "Generation 43 is ready to be promoted", Actor: "viridian", At: ago(2 * time.Minute), Generation: 43},
		{ID: 8, Kind: "generation.registered", Actor: "token:ci", At: ago(3 * time.Minute), Generation: 43},
		{ID: 7, Kind: "switch.applied", Actor: "viridian", At: ago(22 * time.Minute), Revision: 87, Generation: 42},
		{ID: 6, Kind: "switch.committed", Sentence: "Switch 87 moves the traffic from generation 41 to generation 42", Actor: "token:anna", At: ago(23 * time.Minute), Revision: 87, Generation: 42, Facts: []web.Fact{{Name: "reason", Value: "release 2026.11.22"}}},
		{ID: 5, Kind: "generation.rejected", Actor: "token:anna", At: ago(50 * time.Hour), Generation: 40}}
	return h
}

func generation() web.GenerationDetail {
	e := shop()
	made := []web.Switch{*e.Switch}
	replaced := made[0]
	return web.GenerationDetail{Generation: *e.Green.Main, Environment: e, Digest: "sha256:5f70bf18a086", Repository: "https://git.example.org/shop",
		Commit: "3f9c2e1d7a3b5c6d8e9f", URL: "https://ci.example.org/builds/77", Metadata: []web.Fact{{Name: "ticket", Value: "SHOP-1"}},
		Groups:     []web.GroupView{{Service: "web", Health: e.Blue.Main.Health[1], Instances: []web.InstanceView{{ID: "web-1", Address: "10.0.0.1:80", Meta: []web.Fact{{Name: "zone", Value: "a"}}}}}},
		Validation: web.Validation{StartedAt: in(-time.Minute), FinishedAt: in(-time.Second), Passed: true, Detail: "12 of 12"},
		Switches:   made, ReplacedBy: &replaced, ReplacedTo: 43}
}

func audit() web.Audit {
	return web.Audit{Filter: web.AuditFilter{Environment: "shop-prod", Kind: "switch", Actor: "anna", Generation: "42", Since: "2026-11-22T00:00", Until: "2026-11-23T00:00"},
		Events: history().Events, Older: "before=4", Wrong: "Write times as 2026-11-22."}
}

func fleet() web.Fleet {
	e := shop()
	return web.Fleet{Routers: []web.RouterView{{Name: "builtin", Driver: "builtin", Nodes: []web.NodeView{
		{Router: "builtin", Name: "edge-1", State: "ready", InSync: []web.NodeEnvironment{{Environment: "shop"}}, SeenAt: noon, Incarnation: "1@1", Version: "1.4.0", Remove: may("Take out", "/routers/builtin/nodes/edge-1/remove")},
		{Router: "builtin", Name: "edge-2", State: "unreachable", SeenAt: ago(time.Minute), Remove: mayNot("Take out", "needs the role admin"),
			Apart: []web.NodeEnvironment{{Environment: "shop-prod", Receipt: e.Receipts[1], Decided: 87}}}}}}}
}
