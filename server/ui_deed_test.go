package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"viridian/client"
)

// lively is a world with an environment shop: generation 1 is standby, 2 is live, 3 is ready.
func lively(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, true)
	w.environment("shop")
	w.promote("shop", w.ready("shop"))
	w.promote("shop", w.ready("shop"))
	w.ready("shop")
	return w
}

// route is how things stand.
func (w *world) route() client.Route {
	w.t.Helper()
	var out client.Route
	if err := json.Unmarshal([]byte(w.ok("GET", shop+"/route", "").body), &out); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func live(r client.Route) int {
	if r.Live == nil {
		return 0
	}
	return *r.Live
}

// deeds are all that a person can do, each where the one before has left things. Role is the least that may.
var deeds = []struct {
	path, says string
	least      Role
	fill       []string
	leads      string // where the answer leads to
	then       func(w *world) error
}{
	{"/environments/shop/generations/1/keep", "warm", Operator, []string{"keep_for", "until", "keep_until", "2099-01-01T10:00"}, "/environments/shop?said=kept", func(w *world) error {
		return expect(strings.Contains(w.ok("GET", generations+"/1", "").body, `"keep_until":"2099-01-01T10:00:00Z"`), "%s", w.ok("GET", generations+"/1", "").body)
	}},
	{"/environments/shop/generations/3/promote", "Generation 2 is kept warm", Deployer, []string{"reason", "release 3"}, "/environments/shop/switches/3?", func(w *world) error {
		return expect(live(w.route()) == 3 && w.route().Switch.Reason == "release 3", "%+v", w.route())
	}},
	{"/environments/shop/rollback", "Roll back to generation 2", Deployer, []string{"reason", "it fails"}, "/environments/shop/switches/4?", func(w *world) error {
		return expect(live(w.route()) == 2 && w.route().Automation.Held, "%+v", w.route())
	}},
	{"/environments/shop/release-automation", "it fails", Operator, nil, "/environments/shop?said=released", func(w *world) error {
		return expect(!w.route().Automation.Held, "%+v", w.route())
	}},
	{"/environments/shop/generations/3/validate", "checked anew", Deployer, nil, "/environments/shop/generations/3?said=validating", func(w *world) error {
		w.awaitState("shop", 3, "ready")
		return nil
	}},
	{"/environments/shop/weights", "Its share in percent", Operator, []string{"other", "3", "share", "20", "reason", "a fifth"}, "/environments/shop/switches/5?", func(w *world) error {
		return expect(w.route().Weights["3"] == 20 && w.route().Weights["2"] == 80, "%+v", w.route())
	}},
	{"/environments/shop/rollback", "Roll back to generation 2", Deployer, nil, "/environments/shop/switches/6?", func(w *world) error {
		return expect(w.route().Weights["2"] == 100 && live(w.route()) == 2, "%+v", w.route())
	}},
	{"/environments/shop/lock", "A rollback is never blocked", Operator, []string{"reason", "stocktaking"}, "/environments/shop?said=locked", func(w *world) error {
		return expect(w.route().Lock != nil && w.route().Lock.Reason == "stocktaking", "%+v", w.route())
	}},
	{"/environments/shop/unlock", "stocktaking", Operator, nil, "/environments/shop?said=unlocked", func(w *world) error {
		return expect(w.route().Lock == nil, "%+v", w.route())
	}},
	{"/environments/shop/generations/1/retire", "for good", Operator, []string{"reason", "old"}, "/environments/shop/generations/1?said=retiring", func(w *world) error {
		return expect(strings.Contains(w.ok("GET", generations+"/1", "").body, `"state":"retir`), "not retiring")
	}},
	{"/routers/builtin/nodes/edge-9/remove", "gone for good", Admin, nil, "/fleet?said=removed", func(w *world) error {
		return expect(strings.Contains(w.ok("GET", "/v1/routers", "").body, `"state":"removed"`), "not removed")
	}},
	{"/tokens/new", "shown once", Admin, []string{"name", "made", "role", "viewer", "environments", "shop-* blog"}, "", func(w *world) error {
		return expect(strings.Contains(w.ok("GET", "/v1/tokens", "").body, `"environments":["shop-*","blog"]`), "no token")
	}},
	{"/tokens/TOKEN/delete", "refused from now on", Admin, nil, "/tokens?said=deleted", func(w *world) error {
		return expect(!strings.Contains(w.ok("GET", "/v1/tokens", "").body, `"name":"made"`), "the token is there")
	}},
	{"/environments/shop/delete", "Type the name", Admin, []string{"confirm", "shop", "force", "true", "reason", "over"}, "/?said=deleting", func(w *world) error {
		return expect(w.send(request{Method: "GET", Path: shop, Token: w.admin()}).status == 404 ||
			strings.Contains(w.ok("GET", shop, "").body, `"deleting":true`), "not deleting")
	}},
}

func expect(holds bool, format string, args ...any) error {
	if holds {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// TestDeeds does everything that there is by sending the forms of the pages, and tries each before with every role that
// may not: those see neither the dialog nor get through with its form.
func TestDeeds(t *testing.T) {
	t.Parallel()
	w := lively(t)
	gone := w.node
	gone.Name = "edge-9"
	if err := w.store.Heartbeat(t.Context(), gone, 0); err != nil {
		t.Fatal(err)
	}
	w.sql(`UPDATE node SET seen_at = seen_at - interval '1 minute' WHERE name = 'edge-9'`)
	browsers := map[Role]*browser{}
	for _, role := range Roles() {
		browsers[role] = w.signedIn(role)
	}
	done := map[string]bool{}
	for _, d := range deeds {
		path := d.path
		if before, after, ok := strings.Cut(path, "TOKEN"); ok {
			path = before + w.tokenNamed("made") + after
		}
		for role, b := range browsers {
			if role.covers(d.least) {
				continue
			}
			b.open("/sessions")
			form := url.Values{"csrf_token": {b.fields("/logout").Get("csrf_token")}, "reason": {"x"}}
			if a := b.get(path); a.status != http.StatusForbidden {
				t.Errorf("%s as %s: %d", path, role, a.status)
			}
			if a := b.send("POST", path, form, nil); a.status != http.StatusForbidden || !strings.Contains(a.body, string(d.least)) {
				t.Errorf("sending %s as %s: %d %s", path, role, a.status, a.body)
			}
		}
		b := browsers[d.least]
		b.open(path)
		b.wants(d.says)
		if b.submit(path, d.fill...); d.leads == "" {
			b.wants("vir_", "not shown again")
		} else if !strings.HasPrefix(b.page.header.Get("Location"), d.leads) {
			t.Fatalf("%s: %d leads to %q\n%s", path, b.page.status, b.page.header.Get("Location"), b.page.body)
		} else if b.page.status == http.StatusSeeOther && !strings.Contains(d.leads, "deleting") {
			b.follow()
		}
		if err := d.then(w); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		done[strings.NewReplacer("shop", "{environment}", "/1/", "/{number}/", "/3/", "/{number}/", "builtin", "{router}", "edge-9", "{node}").Replace(d.path)] = true
	}
	for _, d := range append(w.server.deeds(), w.server.newTokenDeed(), w.server.deleteTokenDeed()) {
		if !done[strings.Replace(d.path, "{token}", "TOKEN", 1)] {
			t.Errorf("nobody did %s", d.path)
		}
	}
}

func (w *world) tokenNamed(name string) string {
	w.t.Helper()
	var list struct{ Items []struct{ ID, Name string } }
	w.decode(w.ok("GET", "/v1/tokens?limit=200", ""), &list)
	for _, one := range list.Items {
		if one.Name == name {
			return one.ID
		}
	}
	w.t.Fatalf("no token %s", name)
	return ""
}

// TestDeeds_Twice: the same form that is sent twice, at once or later, is one switch, and both are told the same.
func TestDeeds_Twice(t *testing.T) {
	t.Parallel()
	w := lively(t)
	b := w.signedIn(Deployer)
	const path = "/environments/shop/generations/3/promote"
	b.open(path)
	form := b.fields(path)
	var wait sync.WaitGroup
	answers := make([]answer, 4)
	for i := range answers {
		again := *b
		wait.Go(func() { answers[i] = again.send("POST", path, form, nil) })
	}
	wait.Wait()
	for _, a := range slices.Concat(answers, []answer{b.send("POST", path, form, nil)}) {
		switch {
		case a.status == http.StatusConflict && strings.Contains(a.body, "still at work"):
		case a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/environments/shop/switches/3?"):
			t.Errorf("%d %s\n%s", a.status, a.header.Get("Location"), a.body)
		case strings.Contains(a.header.Get("Location"), "unchanged"):
			t.Errorf("the one who did it is told that nothing changed: %s", a.header.Get("Location"))
		}
	}
	if r := w.route(); r.Revision != 3 {
		t.Errorf("revision %d, want one switch more: 3", r.Revision)
	}
	form.Set("reason", "another")
	if a := b.send("POST", path, form, nil); a.status == http.StatusSeeOther || !strings.Contains(a.body, "was sent once already") {
		t.Errorf("the same form with another reason: %d %s", a.status, a.body)
	}
}

// TestDeeds_TwoPeople: who presses second learns who was first, and what there is left to do.
func TestDeeds_TwoPeople(t *testing.T) {
	t.Parallel()
	w := lively(t)
	w.ready("shop") // generation 4
	anna, ben := w.signedIn(Operator), w.signedIn(Deployer)
	const three, four = "/environments/shop/generations/3/promote", "/environments/shop/generations/4/promote"
	anna.open(three)
	ben.open(four)
	ben.wants("All traffic of shop goes from generation 2 to generation 4")
	if anna.submit(three, "reason", "mine"); anna.page.status != http.StatusSeeOther {
		t.Fatalf("%d %s", anna.page.status, anna.page.body)
	}
	if ben.submit(four, "reason", "typed by ben"); ben.page.status != http.StatusConflict {
		t.Fatalf("%d %s", ben.page.status, ben.page.body)
	}
	ben.wants("Somebody was first", "switch 3", "token:operator", "“mine”", "All traffic of shop goes from generation 3 to generation 4", `value="typed by ben"`)
	if r := w.route(); r.Revision != 3 {
		t.Errorf("revision %d", r.Revision)
	}
	// Two of one mind: the second one's rollback is the first one's.
	const back = "/environments/shop/rollback"
	anna.open(back)
	ben.open(back)
	anna.submit(back, "reason", "the first")
	anna.follow()
	if ben.submit(back, "reason", "the second"); ben.page.status != http.StatusSeeOther {
		t.Fatalf("%d %s", ben.page.status, ben.page.body)
	}
	ben.follow()
	ben.wants("You changed nothing", "the traffic had left generation 3 already", "token:operator", "the first")
	if r := w.route(); r.Revision != 4 || live(r) != 2 {
		t.Errorf("%+v", r)
	}
}

// TestDeeds_SessionEnds: what was typed before the session ended is there again after signing in, and nothing was done.
func TestDeeds_SessionEnds(t *testing.T) {
	t.Parallel()
	w := lively(t)
	for _, script := range []bool{false, true} {
		b := w.signedIn(Operator)
		const path = "/environments/shop/generations/3/promote"
		b.open(path)
		form := b.fields(path)
		form.Set("reason", "typed <with> \"care\" & ümlauts")
		w.sql("DELETE FROM session")
		b.script = script
		if a := b.send("POST", path, form, nil); a.status != http.StatusUnauthorized {
			t.Fatalf("%d %s", a.status, a.body)
		}
		b.wants("Your session has ended", "What you typed is kept")
		b.script = false
		if a := b.submit("/login", "token", w.token(Operator, "*")); a.status != http.StatusSeeOther || a.header.Get("Location") != path+"?draft=1" {
			t.Fatalf("%d %s", a.status, a.header.Get("Location"))
		}
		b.follow()
		if got := b.fields(path).Get("reason"); got != "typed <with> \"care\" & ümlauts" {
			t.Errorf("the reason is %q", got)
		}
		if r := w.route(); r.Revision != 2 {
			t.Fatalf("it was done: %+v", r)
		}
		elsewhere := b.open("/environments/shop/rollback?draft=1")
		if strings.Contains(elsewhere.body, "with care") || strings.Contains(elsewhere.body, "ümlauts") {
			t.Error("the draft of one form is in another")
		}
	}
	b := w.signedIn(Operator)
	w.sql("DELETE FROM session")
	b.script = true
	if a := b.get("/environments/shop/rollback"); a.status != http.StatusUnauthorized || !strings.Contains(a.body, "Sign in again") {
		t.Errorf("a dialog without a session: %d %s", a.status, a.body)
	}
}

// TestDeeds_ByScript: in a dialog, the answer is the outcome with its receipts.
func TestDeeds_ByScript(t *testing.T) {
	t.Parallel()
	w := lively(t)
	b := w.signedIn(Deployer)
	b.script = true
	const path = "/environments/shop/generations/3/promote"
	if a := b.do(path, "reason", "go"); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	b.wants("Switch 3 of shop", "applied", "builtin/edge-1", "in sync")
	if strings.Contains(b.page.body, "<html") {
		t.Error("a whole page within a dialog")
	}
	w.until(func() bool {
		return !strings.Contains(b.open("/environments/shop/switches/3/progress").body, "hx-trigger")
	}, func() string { return "it is never settled: " + b.page.body })
	b.wants("nothing is open on the other side")
	w.stop()
	b.do("/environments/shop/rollback")
	b.wants("Committed.", `hx-get="/environments/shop/switches/4/progress"`, `hx-trigger="every 400ms"`, "behind")
	if strings.Contains(b.page.body, "applied") {
		t.Error("what nobody has seen yet is called applied")
	}
}

// TestDeeds_Blocked: the dialog says what stands in the way and what helps, and its button cannot be pressed.
func TestDeeds_Blocked(t *testing.T) {
	t.Parallel()
	w := lively(t)
	w.ok("PUT", shop+"/lock", `{"reason": "frozen for <b>sale</b>"}`)
	b := w.signedIn(Deployer)
	const path = "/environments/shop/generations/3/promote"
	b.open(path)
	b.wants("What stands in the way", "frozen for <b>sale</b>", "disabled")
	if strings.Contains(b.page.body, "<b>sale") {
		t.Error("the reason is taken for markup")
	}
	if b.submit(path); b.page.status != http.StatusConflict {
		t.Fatalf("%d", b.page.status)
	}
	b.wants("locked the environment", "What helps:")
	b.open("/environments/shop/rollback") // and this works all the same
	if b.submit("/environments/shop/rollback"); b.page.status != http.StatusSeeOther {
		t.Errorf("a rollback under a lock: %d", b.page.status)
	}
}

// TestDeeds_Refuse values that the API refuses, beside their fields, with everything as it was typed.
func TestDeeds_Refuse(t *testing.T) {
	t.Parallel()
	w := lively(t)
	b := w.signedIn(Admin)
	long := strings.Repeat("x", 501)
	for _, c := range []struct {
		path string
		fill []string
		says string
	}{
		{"/environments/shop/generations/3/promote", []string{"reason", long}, "maximum string length is 500"},
		{"/environments/shop/generations/3/promote", []string{"reason", "bell\x07"}, "must match"},
		{"/environments/shop/lock", []string{"reason", ""}, "minimum string length is 1"},
		{"/environments/shop/weights", []string{"share", "101"}, "must be 0 to 99"},
		{"/environments/shop/weights", []string{"share", "many"}, "must be a whole number"},
		{"/environments/shop/generations/1/keep", []string{"keep_for", "until", "keep_until", "1999-01-01T00:00"}, "a time to come"},
		{"/environments/shop/generations/1/keep", []string{"keep_for", "until", "keep_until", "tomorrow"}, "must be a date and a time"},
		{"/environments/shop/delete", []string{"confirm", "shops"}, "is not the name"},
		{"/tokens/new", []string{"name", "Not A Name"}, "must match"},
		{"/tokens/new", []string{"name", "x", "environments", "../*"}, "must match"},
		{"/tokens/new", []string{"name", "x", "environments", ""}, "minimum number of items"},
	} {
		b.open(c.path)
		if b.submit(c.path, c.fill...); b.page.status != http.StatusUnprocessableEntity {
			t.Errorf("%s %v: %d\n%s", c.path, c.fill, b.page.status, b.page.body)
			continue
		}
		b.wants(c.says)
		if got := b.fields(c.path); c.fill[1] != "bell\x07" && got.Get(c.fill[0]) != c.fill[1] {
			t.Errorf("%s: %s was %q and is %q", c.path, c.fill[0], c.fill[1], got.Get(c.fill[0]))
		}
	}
}

// TestDeeds_AnotherGoal: a rollback goes only where the person was shown what it comes to.
func TestDeeds_AnotherGoal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.ok("PUT", shop, strings.Replace(spec, `"keep_for"`, `"keep_generations": 3, "keep_for"`, 1))
	for range 3 {
		w.promote("shop", w.ready("shop"))
	}
	b := w.signedIn(Deployer)
	const path = "/environments/shop/rollback"
	b.open(path)
	b.wants("back to generation 2", "Go back to")
	b.submit(path, "to", "1", "reason", "typed")
	b.wants("back to generation 1", "Roll back to generation 1", `value="typed"`)
	if r := w.route(); r.Revision != 3 || b.page.status != http.StatusOK {
		t.Fatalf("it was done without being shown: %d %+v", b.page.status, r)
	}
	b.submit(path)
	b.follow()
	if r := w.route(); live(r) != 1 || r.Switch.Reason != "typed" {
		t.Errorf("%+v", r)
	}
}
