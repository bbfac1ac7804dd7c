package server

import (
	"strings"
	"testing"

	"viridian/rollout"
)

// TestFleet_ShowsWhatAnOperatorNeeds: every node with its run and how far it is, its router with driver, grade and
// policy, and those that were taken out.
func TestFleet_ShowsWhatAnOperatorNeeds(t *testing.T) {
	t.Parallel()
	w := lively(t)
	w.promote("shop", 3)
	gone := rollout.Node{Router: "former", Name: "gone-1", Incarnation: "17-4"}
	if err := w.store.Heartbeat(t.Context(), gone, 0); err != nil {
		t.Fatal(err)
	}
	b := w.signedIn(Admin)
	b.open("/fleet")
	b.wants("Router former", "not in the configuration of this replica", "gone-1", "17-4",
		"Router builtin", "driver builtin", "fenced:", "every node that is heard of", w.node.Name, w.node.Incarnation)
	w.until(func() bool { return strings.Contains(b.open("/fleet").body, "1 environment in sync") },
		func() string { return "no environment is in sync:\n" + b.page.body })
	b.wants(">revision 3<")
	w.sql(`UPDATE node SET removed = true, changes = changes + 1 WHERE name = 'gone-1'`)
	w.until(func() bool { return strings.Contains(b.open("/fleet").body, "1 node that was taken out") },
		func() string { return "what was taken out is hidden:\n" + b.page.body })
	b.wants("None of its nodes is left.", "gone-1")
	viewer := w.signedIn(Viewer)
	if body := viewer.open("/fleet").body; strings.Contains(body, "/remove\" hx-get") || !strings.Contains(body, "needs the role admin") {
		t.Errorf("a viewer may press, or is not told why not:\n%s", body)
	}
}
