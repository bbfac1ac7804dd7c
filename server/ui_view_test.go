package server

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"viridian/rollout"
	"viridian/server/api"
	"viridian/web"
)

// TestPages_ShowWhatIs walks the pages of an environment in the middle of its life.
func TestPages_ShowWhatIs(t *testing.T) {
	t.Parallel()
	w := lively(t)
	b := w.signedIn(Deployer)
	for path, wants := range map[string][]string{
		"/":                                {"shop", "generation 2", "Roll back to generation 1", "Promote generation 3", "on 1 of 1 node"},
		"/?q=SHO&state=steady":             {`id="env-shop"`, "1 of 1"},
		"/?q=nothing":                      {"Nothing matches", "0 of 1"},
		"/?state=attention":                {"Nothing matches"},
		"/wall":                            {`tile-number">2<`, "rollback to 1 ready"},
		"/environments/shop":               {"Rollback ready:", "1 of 1 healthy", "revision 2", "in sync", "Generation 3 is ready to be promoted", "generation.ready", "needs the role operator; yours is deployer"},
		"/environments/shop/generations/1": {"replaced by generation 2", "rollback target", "/audit?environment=shop&generation=1", "127.0.0.1:", "standby"},
		"/environments/shop/generations/3": {"It never carried traffic", "Promote generation 3", "passed"},
		"/environments/shop/switches":      {"1 → 2", "to 1", "applied"},
		"/fleet":                           {"edge-1", "1 environment in sync", "needs the role admin"},
		"/audit?environment=shop":          {"Switch 2 is applied", "switch.applied", "Generation 3 is ready to be promoted", "generation.ready", "Export CSV"},
		"/audit?kind=ready&generation=3":   {"Generation 3 is ready to be promoted"},
		"/audit?since=yesterday":           {"Write times as"},
	} {
		if a := b.get(path); a.status != http.StatusOK && !strings.Contains(path, "yesterday") {
			t.Errorf("%s: %d", path, a.status)
			continue
		}
		b.wants(wants...)
		if n := strings.Count(b.page.body, "<h1"); n != 1 {
			t.Errorf("%s has %d first headings", path, n)
		}
	}
	if a := b.get("/nothing/here"); a.status != http.StatusNotFound {
		t.Errorf("a path with nothing at it: %d", a.status)
	}
	b.wants("there is nothing at this path", `aria-label="Main"`)
	viewer := w.signedIn(Viewer)
	for path, wants := range map[string][]string{
		"/environments/shop": {"Rollback ready:", "needs the role deployer; yours is viewer"},
		"/wall":              {"rollback to 1 ready"},
	} {
		viewer.open(path)
		viewer.wants(wants...) // whoever looks: who may not press is told so at the button
	}
	for path, status := range map[string]int{"/environments/none": 404, "/environments/shop/generations/99": 404, "/environments/shop/generations/x": 404,
		"/environments/none/switches": 404, "/environments/shop/switches?cursor=x": 422, "/audit?generation=x": 422, "/audit/export?form=pdf": 422} {
		if a := b.get(path); a.status != status {
			t.Errorf("%s: %d, want %d", path, a.status, status)
		}
	}
}

// TestEnvironments_LeadToTheOverview, since people type the address that those of each environment begin with.
func TestEnvironments_LeadToTheOverview(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.signedIn(Viewer)
	for path, want := range map[string]string{"/environments": "/", "/environments/": "/", "/environments?q=shop&state=steady": "/?q=shop&state=steady"} {
		if a := b.get(path); a.status != http.StatusSeeOther || a.header.Get("Location") != want {
			t.Errorf("%s: %d to %q, want %q", path, a.status, a.header.Get("Location"), want)
		}
	}
	if a := w.newBrowser().get("/environments"); a.status != http.StatusSeeOther || a.header.Get("Location") != "/login?next=%2Fenvironments" {
		t.Errorf("not signed in: %d to %q", a.status, a.header.Get("Location"))
	}
}

// TestAuditExport_IsWhatTheApiTells, and a spreadsheet computes nothing of it.
func TestAuditExport_IsWhatTheApiTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	w.ok("PUT", shop+"/lock", `{"reason": "=cmd|'/c calc'!A1"}`)
	var events struct{ Items []api.Event }
	w.decode(w.ok("GET", "/v1/events?limit=200", ""), &events)
	b := w.signedIn(Admin)
	a := b.open("/audit/export?form=json")
	var exported []api.Event
	if err := json.Unmarshal([]byte(a.body), &exported); err != nil {
		t.Fatal(err)
	}
	if len(exported) != len(events.Items)+1 { // signing in is one more
		t.Errorf("%d events, want %d", len(exported), len(events.Items)+1)
	}
	if got, want := exported[len(exported)-1].Hash, events.Items[0].Hash; got != want {
		t.Errorf("the oldest is %s, want %s", got, want)
	}
	a = b.open("/audit/export?form=csv&kind=lock")
	rows, err := csv.NewReader(strings.NewReader(a.body)).ReadAll()
	if err != nil || len(rows) != 2 || rows[1][3] != "lock.set" || !strings.Contains(rows[1][7], "=cmd") {
		t.Errorf("%v %v", rows, err)
	}
	if !strings.Contains(a.header.Get("Content-Disposition"), "attachment") || !strings.HasPrefix(a.header.Get("Content-Type"), "text/csv") {
		t.Errorf("%v", a.header)
	}
	for cell, want := range map[string]string{"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "{}": "{}", "": "", "a=b": "a=b"} {
		if got := plainCell(cell); got != want {
			t.Errorf("%q becomes %q, want %q", cell, got, want)
		}
	}
}

// TestAudit_Pages: every entry is on one page, and on one only.
func TestAudit_Pages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop")
	for range auditPage {
		w.ok("PUT", shop+"/lock", `{"reason": "again"}`)
	}
	b := w.signedIn(Viewer)
	seen := 0
	for path := "/audit?environment=shop"; path != ""; {
		body := b.open(path).body
		seen += strings.Count(body, `<tr id="event-`)
		_, rest, more := strings.Cut(body, `href="/audit?before=`)
		if path = ""; more {
			query, _, _ := strings.Cut(rest, `"`)
			path = "/audit?before=" + unescape(query)
		}
	}
	if want := auditPage + 1; seen != want {
		t.Errorf("%d entries on all pages, want %d", seen, want)
	}
}

// TestBadge_IsNotForEverybody unless the installation says so.
func TestBadge_IsNotForEverybody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.environment("shop-a")
	ask := func(token, name string) answer {
		return w.newBrowser().send("GET", "/badge/"+name, nil, map[string]string{"Authorization": token, "Accept": "image/*"})
	}
	bearer := func(role Role, glob string) string { return "Bearer " + w.token(role, glob) }
	for _, c := range []struct {
		token, name string
		want        int
	}{{"", "shop-a.svg", 401}, {"Bearer vir_x", "shop-a.svg", 401}, {bearer(Viewer, "other"), "shop-a.svg", 403}, {bearer(Viewer, "shop-*"), "shop-a.svg", 200},
		{bearer(Viewer, "shop-*"), "shop-b.svg", 404}, {bearer(Viewer, "shop-*"), "shop-a", 404}} {
		if a := ask(c.token, c.name); a.status != c.want {
			t.Errorf("%s with %.12q: %d, want %d", c.name, c.token, a.status, c.want)
		}
	}
	b := w.signedIn(Viewer)
	if a := b.open("/badge/shop-a.svg"); a.header.Get("Content-Type") != "image/svg+xml" || !strings.Contains(a.body, "shop-a: needs attention") || strings.Contains(a.header.Get("Cache-Control"), "public") {
		t.Errorf("%v %s", a.header, a.body)
	}
	w.server.PublicBadges = true
	if a := ask("", "shop-a.svg"); a.status != 200 || !strings.Contains(a.header.Get("Cache-Control"), "public") || a.header.Get("Set-Cookie") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := ask("", "nothing.svg"); a.status != 404 {
		t.Errorf("%d", a.status)
	}
}

func TestTheme_IsKeptAndLeadsBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	b := w.signedIn(Viewer)
	form := func(theme, next string) url.Values {
		b.open("/audit")
		fields := b.fields("/theme")
		fields.Set("theme", theme)
		if next != "" {
			fields.Set("next", next)
		}
		return fields
	}
	a := b.send("POST", "/theme", form("dark", ""), nil)
	if a.status != http.StatusSeeOther || a.header.Get("Location") != "/audit" || !strings.Contains(a.header.Get("Set-Cookie"), themeCookie+"=dark") {
		t.Errorf("%d %v", a.status, a.header)
	}
	for _, next := range []string{"//evil.example", "https://evil.example", `/\evil.example`} {
		if a := b.send("POST", "/theme", form("light", next), nil); a.header.Get("Location") != "/" {
			t.Errorf("%s leads to %s", next, a.header.Get("Location"))
		}
	}
	if a := b.send("POST", "/theme", form("pink", ""), nil); a.header.Get("Set-Cookie") != "" && strings.Contains(a.header.Get("Set-Cookie"), "pink") {
		t.Errorf("%v", a.header)
	}
	page := b.send("GET", "/audit", nil, map[string]string{"Cookie": sessionCookie + "=" + b.cookie + "; " + themeCookie + "=dark"})
	if !strings.Contains(page.body, `data-theme="dark"`) {
		t.Error("the theme of the cookie is not that of the page")
	}
	page = b.send("GET", "/audit", nil, map[string]string{"Cookie": sessionCookie + "=" + b.cookie + "; " + themeCookie + `=x onload=y`})
	if !strings.Contains(page.body, `data-theme="auto"`) {
		t.Error("an unknown theme is drawn")
	}
}

// TestBoard_StandsStillWithoutTheDatabase: what was true is shown with its age, and no node seems silent that is only
// not looked at.
func TestBoard_StandsStillWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	w := lively(t)
	clock := clockwork.NewFakeClockAt(time.Now())
	w.server.Options.Clock = clock
	admin := Caller{Role: Admin, Environments: []string{"*"}}
	board := newBoard(w.server)
	before, err := board.current(t.Context(), admin, "")
	if err != nil || len(before.standings) != 1 {
		t.Fatalf("%d environments, %v", len(before.standings), err)
	}
	w.stop()
	w.store.Close()
	clock.Advance(time.Minute)
	after, err := board.current(t.Context(), admin, "")
	if err != nil || len(after.standings) != 1 || !after.at.Equal(before.at) || after.age < time.Minute {
		t.Fatalf("%+v, %v", after, err)
	}
	e := after.standings[0].e
	if state := e.ReceiptState(e.Nodes[0], after.now); state != rollout.InSync {
		t.Errorf("the node is shown as %s", state)
	}
	if blind, err := newBoard(w.server).current(t.Context(), admin, ""); err == nil {
		t.Errorf("a board that has never looked shows %+v", blind)
	}
}

// TestConcerns_SayWhatIsWrong, the gravest first.
func TestConcerns_SayWhatIsWrong(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(e *rollout.Environment)
		word   string
		tone   web.Tone
		says   string // the first concern; empty for none
	}{
		"all is well":       {func(*rollout.Environment) {}, "steady", web.Good, ""},
		"one instance ill":  {func(e *rollout.Environment) { e.Readings[0].Healthy = 1 }, "needs attention", web.Warn, "web: 1 of 2 instances of generation 2 are healthy"},
		"all instances ill": {func(e *rollout.Environment) { e.Readings[0].Healthy = 0 }, "broken", web.Bad, "web: none of 2 instances of generation 2 is healthy"},
		"the only one is ill": {func(e *rollout.Environment) {
			e.Generations[1].Sizes["web"], e.Readings[0].Healthy = 1, 0
		}, "broken", web.Bad, "web: the only instance of generation 2 is not healthy"},
		"health not known": {func(e *rollout.Environment) { e.Readings[0].At = now.Add(-time.Hour) }, "needs attention", web.Warn, "web: how the 2 instances of generation 2 are is not known just now"},
		"a node drifted":   {func(e *rollout.Environment) { e.Receipts[0].Hash = "x" }, "broken", web.Bad, "node edge-1 does something else than was decided"},
		"a node ahead":     {func(e *rollout.Environment) { e.Receipts[0].Revision = 9 }, "broken", web.Bad, "node edge-1 is at revision 9, ahead of 2: was the database restored?"},
		"a node silent":    {func(e *rollout.Environment) { e.Nodes[0].SeenAt = now.Add(-time.Minute) }, "needs attention", web.Warn, "node edge-1 is silent; it may still serve what it had"},
		"a node hangs":     {func(e *rollout.Environment) { e.Receipts[0].Revision = 1 }, "needs attention", web.Warn, "node edge-1 has not taken over revision 2"},
		"no node":          {func(e *rollout.Environment) { e.Nodes = nil }, "needs attention", web.Warn, "no node of its routers has been heard of"},
		"switching": {func(e *rollout.Environment) {
			e.Switch.Status, e.Switch.CommittedAt, e.Receipts[0].Revision = rollout.Committed, now, 1
		}, "switching", web.Busy, ""},
		"applied, degraded": {func(e *rollout.Environment) { e.Switch.Degraded = true }, "needs attention", web.Warn, "the last switch was applied without a node that could not be reached"},
		"held":              {func(e *rollout.Environment) { e.Hold = &rollout.Hold{Reason: "errors"} }, "held", web.Warn, "automation is held since a rollback: errors"},
		"locked":            {func(e *rollout.Environment) { e.Lock = &rollout.Lock{By: "token:anna", Reason: "audit"} }, "steady, locked", web.Good, "locked by token:anna: audit"},
		"rollback impossible": {func(e *rollout.Environment) { e.Readings[1].Healthy = 0 }, "needs attention", web.Warn,
			"rollback: service web in generation 1 has 0 of 2 instances healthy"},
		"window closes": {func(e *rollout.Environment) { soon := now.Add(time.Minute); e.Generations[0].KeepUntil = &soon }, "steady", web.Good,
			"generation 1, the rollback target, is kept for less than 10 minutes more"},
		"newest failed": {func(e *rollout.Environment) {
			e.Generations = append(e.Generations, rollout.Generation{Number: 3, State: rollout.Failed, Reason: "deadline"})
		}, "needs attention", web.Warn, "generation 3 failed: deadline"},
		"newest waits": {func(e *rollout.Environment) {
			e.Generations = append(e.Generations, rollout.Generation{Number: 3, State: rollout.Ready, Waiting: "environment_locked"})
		}, "needs attention", web.Warn, "generation 3 asked to be promoted, and waits: environment_locked"},
		"newest awaits instances": {func(e *rollout.Environment) {
			e.Generations = append(e.Generations, rollout.Generation{Number: 3, State: rollout.Registered, Waiting: rollout.Adopting, Reason: "2 of 3"})
		}, "steady", web.Good, "generation 3 waits for its instances: 2 of 3"},
		"registry in trouble": {func(e *rollout.Environment) {
			e.Spec.Registry, e.Trouble = "consul", &rollout.Trouble{Detail: "no leader"}
		}, "needs attention", web.Warn, "the registry consul: no leader"},
		"instances drifted": {func(e *rollout.Environment) { e.Readings[0].Drift = "web-2 is gone" }, "needs attention", web.Warn,
			"web: the instances of generation 2 are not as they were registered: web-2 is gone"},
		"nothing live": {func(e *rollout.Environment) {
			e.Live, e.Previous, e.Weights, e.Switch = 0, 0, nil, nil
			e.Revision = 0
			e.Receipts[0].Revision, e.Receipts[0].Hash = 0, e.Route().Hash()
		}, "nothing live", web.Neutral, ""},
		"being deleted": {func(e *rollout.Environment) { e.DeletingAt, e.Hold = &now, &rollout.Hold{Reason: "errors"} }, "being deleted", web.Busy, "it is being deleted"},
	} {
		e := calm(now)
		c.change(&e)
		list := concernsOf(e, now)
		first := ""
		if len(list) > 0 {
			first = list[0].Text
		}
		if got := standingOf(e, list); got.Word != c.word || got.Tone != c.tone || first != c.says {
			t.Errorf("%s: %+v, %q; want %s (%s), %q", name, got, first, c.word, c.tone, c.says)
		}
	}
}

// TestGenerationFacts_OfOneThatAdopts: who waits for instances did not ask to be promoted.
func TestGenerationFacts_OfOneThatAdopts(t *testing.T) {
	t.Parallel()
	for waiting, want := range map[string]string{rollout.Adopting: "", "environment_locked": "environment_locked"} {
		if got := generationFacts(rollout.Generation{Waiting: waiting}).Waiting; got != want {
			t.Errorf("waiting for %s: the page says that a promotion waits for %q, want %q", waiting, got, want)
		}
	}
}

// TestEnvironmentView_OfOneColour: a generation that takes a share beside a live one of its own colour hides it nowhere.
func TestEnvironmentView_OfOneColour(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	e := calm(now)
	e.Previous = 0
	e.Generations = append(e.Generations, rollout.Generation{Number: 3, Colour: rollout.Green, State: rollout.Shifting, Sizes: map[string]int{"web": 2}, StateChangedAt: now})
	e.Weights = rollout.Weights{2: 60, 3: 40}
	e.Promotion = &rollout.Promotion{Generation: 3, From: 2, State: rollout.PromotionPaused, StartedAt: now}
	view := (&server{}).environmentView(Caller{Role: Viewer}, e, now, nil)
	if view.Green.Main.Number != 2 || len(view.Green.Others) != 1 || view.Green.Others[0].Weight != 40 {
		t.Errorf("the green side: %+v", view.Green)
	}
	for name, drawn := range map[string][]byte{"card": render(web.EnvironmentCard(view)), "tile": render(web.Tile(view))} {
		if strings.Contains(string(drawn), "nothing live") {
			t.Errorf("the %s says that nothing is live: %s", name, drawn)
		}
	}
	if plan := planView(e, e, now, 0); plan.After != "Afterwards a rollback goes to generation 2." {
		t.Error(plan.After)
	}
}

// calm is an environment in which all is well: 2 is live, 1 is kept.
func calm(now time.Time) rollout.Environment {
	e := rollout.Environment{Name: "shop", Revision: 2, Live: 2, Previous: 1, Weights: rollout.Weights{2: 100}, Timing: rollout.DefaultTiming,
		Spec: rollout.Spec{Services: []rollout.Service{{Name: "web"}}, Routers: []string{"builtin"}, Retention: rollout.Retention{KeepFor: rollout.Duration(time.Hour)}},
		Generations: []rollout.Generation{{Number: 1, Colour: rollout.Blue, State: rollout.Standby, Sizes: map[string]int{"web": 2}, StateChangedAt: now},
			{Number: 2, Colour: rollout.Green, State: rollout.Live, Sizes: map[string]int{"web": 2}, StateChangedAt: now}},
		Nodes:    []rollout.Node{{Router: "builtin", Name: "edge-1", Incarnation: "1", SeenAt: now}},
		Switch:   &rollout.Switch{Revision: 2, Status: rollout.Applied, CommittedAt: now.Add(-time.Minute)},
		Readings: []rollout.Reading{{Generation: 2, Service: "web", Healthy: 2, Total: 2, At: now}, {Generation: 1, Service: "web", Healthy: 2, Total: 2, At: now}}}
	e.Receipts = []rollout.Receipt{{Router: "builtin", Node: "edge-1", Incarnation: "1", Revision: 2, Hash: e.Route().Hash(), At: now}}
	return e
}
