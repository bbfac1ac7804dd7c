package server

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"viridian/audit"
	"viridian/rollout"
	"viridian/web"
)

// writtenKinds is every kind of event that the program writes, as its source says.
func writtenKinds(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{audit.Pruned: true}
	for state := range rollout.GenerationMoves {
		out[generationKind(state)] = true
	}
	take := func(e ast.Expr) {
		if text, ok := e.(*ast.BasicLit); ok && text.Kind == token.STRING {
			if kind, err := strconv.Unquote(text.Value); err == nil && strings.Contains(kind, ".") && !strings.HasSuffix(kind, ".") {
				out[kind] = true
			}
		}
	}
	for _, folder := range []string{"../rollout", "../rollout/controller", "../store", "../audit", "../server"} {
		files, err := filepath.Glob(folder + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, %v", folder, len(files), err)
		}
		for _, name := range files {
			source, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.ValueSpec:
					if len(n.Values) == 1 && strings.HasPrefix(n.Names[0].Name, "Event") {
						take(n.Values[0])
					}
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "event" && len(n.Args) > 0 {
						take(n.Args[0])
					}
				}
				return true
			})
		}
	}
	return out
}

// TestSentences_TellEveryKindThatIsWritten: each has a line in the table below, and what that says is no more than is
// recorded.
func TestSentences_TellEveryKindThatIsWritten(t *testing.T) {
	t.Parallel()
	kinds := writtenKinds(t)
	if len(kinds) < 40 {
		t.Fatalf("only %d kinds are found in the source", len(kinds))
	}
	told := map[string]bool{}
	for _, c := range tellings {
		told[c.kind] = true
	}
	for kind := range kinds {
		if _, ok := sentences[kind]; !ok {
			t.Errorf("%s has no sentence", kind)
		} else if !told[kind] {
			t.Errorf("the sentence of %s is not tried", kind)
		}
	}
}

// tellings are events of environment shop about generation 3 and revision 7, and how they are told.
var tellings = []struct{ kind, data, sentence, facts string }{
	{"environment.created", `{"spec_version": 1}`, "The environment was created, with version 1 of its settings", ""},
	{"environment.updated", `{"spec_version": 4}`, "The settings were changed to version 4", ""},
	{"environment.updated", `{"spec_version": 4, "reason": "why"}`, "The settings were changed to version 4: why", ""},
	{"environment.deleted", `{"force": false, "reason": "old"}`, "The environment is being deleted: old", ""},
	{"environment.deleted", `{"force": true, "reason": ""}`, "The environment is being deleted with all that serves", ""},
	{"environment.deleted", `{"finished": true}`, "The environment is gone: nothing of it is left", ""},
	{"switch.committed", `{"kind": "promote", "from": 2, "to": 3, "weights": {"2": 0, "3": 100}, "reason": "release"}`,
		"Switch 7 moves the traffic from generation 2 to generation 3: release", ""},
	{"switch.committed", `{"kind": "promote", "from": 0, "to": 3, "weights": {"3": 100}, "reason": ""}`, "Switch 7 moves the traffic to generation 3", ""},
	{"switch.committed", `{"kind": "promote", "from": 3, "to": 3, "weights": {"2": 0, "3": 100}, "reason": ""}`, "Switch 7 gives 100 % to generation 3", ""},
	{"switch.committed", `{"kind": "rollback", "from": 3, "to": 2, "weights": {"2": 100, "3": 0}, "reason": "it fails"}`,
		"Switch 7 rolls back from generation 3 to generation 2: it fails", ""},
	{"switch.committed", `{"kind": "abort", "from": 3, "to": 2, "weights": {"2": 100, "3": 0}, "reason": ""}`,
		"Switch 7 gives the traffic of generation 3 back to generation 2", ""},
	{"switch.committed", `{"kind": "manual", "from": 9, "to": 10, "weights": {"10": 20, "9": 80}, "reason": "a fifth"}`,
		"Switch 7 gives 80 % to generation 9, 20 % to generation 10: a fifth", ""},
	{"switch.committed", `{"kind": "step", "from": 2, "to": 3, "weights": {"2": 50, "3": 50}}`, "Switch 7 gives 50 % to generation 2, 50 % to generation 3", ""},
	{"switch.committed", `{"kind": "manual", "from": 2, "to": 0, "weights": {}}`, "Switch 7 gives no traffic to any generation", ""},
	{"switch.committed", `{"kind": "heal", "from": 2, "to": 2, "weights": {"2": 100}, "reason": "node a was edited"}`, "Switch 7 repeats the route, 100 % to generation 2: node a was edited", ""},
	{"switch.committed", `{"kind": "recover", "from": 2, "to": 2, "weights": {"2": 100}}`, "Switch 7 puts the route above what nodes know, 100 % to generation 2", ""},
	{"switch.committed", `{"kind": "rollback", "from": 3, "to": 2, "weights": {"2": 60, "1": 40}}`, "Switch 7 rolls back from generation 3 to generation 2", "weights: 1: 40, 2: 60"},
	{"switch.applied", `{"degraded": false}`, "Switch 7 is applied: every node does what it says", ""},
	{"switch.applied", `{"degraded": true}`, "Switch 7 is applied, but not every node has it", ""},
	{"switch.drained", `{}`, "Switch 7 is drained: nothing is open at generation 3 any more", ""},
	{"switch.superseded", `{}`, "Switch 7 was overtaken by a newer one before it was applied", ""},
	{"route.drifted", `{"router": "edge", "node": "a", "expected": {"2": 100}, "found": {"3": 100}}`,
		"Node a of edge gave 100 % to generation 3, where the route says 100 % to generation 2", ""},
	{"route.drifted", `{"router": "edge", "node": "a", "edits": ["host x was added", "server y is down"]}`,
		"Node a of edge was changed by hand: host x was added, server y is down", ""},
	{"route.drifted", `{"router": "edge", "node": "a", "expected": {"2": 100}, "found": {}, "edits": ["host x was added"]}`,
		"Node a of edge gave no traffic to any generation, where the route says 100 % to generation 2", "edits: host x was added"},
	{"route.ahead", `{"router": "edge", "node": "a", "found": 9, "spec_version": 1, "found_spec_version": 2}`,
		"Node a of edge is ahead of the database: it was at revision 9, the database at 7", "found spec version: 2; spec version: 1"},
	{"route.ahead", `{"router": "edge", "node": "a", "found": 7, "spec_version": 1, "found_spec_version": 2}`,
		"Node a of edge is ahead of the database", "found: 7; found spec version: 2; spec version: 1"},
	{"route.recovery_held", `{"reason": "generation 2 is dead", "found": 9}`, "Nodes are ahead of the database, at revision 9, and nothing is done about it: generation 2 is dead", ""},
	{"promotion.started", `{"from": 2, "reason": "release", "paused": false}`, "The promotion of generation 3 in the place of 2 has begun: release", ""},
	{"promotion.started", `{"from": 0, "reason": "", "paused": true}`, "The promotion of generation 3 has begun, and is paused", ""},
	{"promotion.paused", `{"reason": "weights set by hand"}`, "The promotion of generation 3 is paused: weights set by hand", ""},
	{"promotion.resumed", `{"reason": ""}`, "The promotion of generation 3 goes on", ""},
	{"promotion.ended", `{"outcome": "succeeded", "reason": ""}`, "The promotion of generation 3 succeeded", ""},
	{"promotion.ended", `{"outcome": "superseded", "reason": "superseded by generation 4"}`, "The promotion of generation 3 gave way to another: superseded by generation 4", ""},
	{"promotion.waiting", `{"code": "environment_locked", "reason": "it is locked"}`, "Generation 3 waits to be promoted: it is locked", ""},
	{"lock.set", `{"reason": "stocktaking"}`, "The environment was locked: stocktaking", ""},
	{"lock.set", `{"reason": "[{reason}] {node}"}`, "The environment was locked: [{reason}] {node}", ""},
	{"lock.cleared", `{}`, "The environment was unlocked", ""},
	{"automation.held", `{"reason": "rolled back by token:anna"}`, "Automation is held: rolled back by token:anna", ""},
	{"automation.released", `{}`, "Automation was released", ""},
	{"retention.changed", `{"keep_until": "2026-11-22T18:40:00.5Z"}`, "Generation 3 is kept until 2026-11-22 18:40:00 UTC", ""},
	{"generation.registered", `{"version": "shop-3", "colour": "green", "promote": false}`, "Generation 3 was registered as green, version shop-3", ""},
	{"generation.registered", `{"version": "shop-3", "colour": "blue", "promote": true}`, "Generation 3 was registered as blue, version shop-3, to be promoted when it is ready", ""},
	{"generation.validating", `{"from": "registered"}`, "Generation 3 is being validated", ""},
	{"generation.validating", `{"from": "failed", "reason": "mended"}`, "Generation 3 is being validated again: mended", ""},
	{"generation.ready", `{"from": "validating"}`, "Generation 3 is ready to be promoted", ""},
	{"generation.shifting", `{"from": "ready", "reason": "a fifth"}`, "Generation 3 takes a part of the traffic: a fifth", ""},
	{"generation.live", `{"from": "ready", "reason": "release"}`, "Generation 3 is live: release", ""},
	{"generation.live", `{"from": "standby"}`, "Generation 3 is live again", ""},
	{"generation.standby", `{"from": "live", "reason": "generation 4 was promoted"}`, "Generation 3 is kept warm for a rollback: generation 4 was promoted", ""},
	{"generation.failed", `{"from": "validating", "reason": "not valid in time"}`, "Generation 3 failed: not valid in time", ""},
	{"generation.rejected", `{"from": "live", "reason": "it fails"}`, "Generation 3 was rejected: it fails", ""},
	{"generation.retiring", `{"from": "standby", "reason": "kept long enough"}`, "Generation 3 is being retired: kept long enough", ""},
	{"generation.retired", `{"from": "retiring"}`, "Generation 3 is retired, and taken out everywhere", ""},
	{"generation.waiting", `{"code": "no_slot"}`, "Generation 3 waits for a place on a load balancer", ""},
	{"generation.waiting", `{"code": "adopting", "detail": "2 of 3 are there"}`, "Generation 3 waits for the instances that it takes over: 2 of 3 are there", ""},
	{"generation.waiting", `{"code": "other"}`, "", "code: other"},
	{"generation.placed", `{}`, "Generation 3 has its place on the load balancers now", ""},
	{"generation.adopted", `{"web": 3, "api": 2}`, "Generation 3 has taken over its instances", "api: 2; web: 3"},
	{"generation.drifted", `{"service": "web", "detail": "1 is gone"}`, "Generation 3 is not what was registered, in service web: 1 is gone", ""},
	{"generation.aligned", `{"service": "web"}`, "Generation 3 is what was registered again, in service web", ""},
	{"generation.members", `{"service": "web", "size": 3, "joined": ["d 10.0.0.1:3", "e 10.0.0.1:4"], "left": ["b 10.0.0.1:1"]}`,
		"Generation 3 has 3 instances of service web now", "joined: d 10.0.0.1:3, e 10.0.0.1:4; left: b 10.0.0.1:1"},
	{"registry.troubled", `{"registry": "consul", "detail": "connection refused"}`, "Registry consul cannot be used: connection refused", ""},
	{"registry.recovered", `{"registry": "consul", "since": "2026-11-22T18:40:00Z"}`, "Registry consul can be used again; it could not since 2026-11-22 18:40:00 UTC", ""},
	{"node.removed", `{"router": "edge", "node": "a", "incarnation": "1-1"}`, "Node a of edge was taken out of the fleet", "incarnation: 1-1"},
	{"token.created", `{"token": "k3", "name": "ci", "role": "deployer", "environments": ["shop-*", "blog"], "expires_at": "2027-01-01T00:00:00Z"}`,
		"Token ci was made: deployer of shop-*, blog, until 2027-01-01 00:00:00 UTC", "token: k3"},
	{"token.created", `{"token": "k3", "name": "root", "role": "admin", "environments": ["*"]}`, "Token root was made: admin of all environments", "token: k3"},
	{"token.deleted", `{"token": "k3", "name": "ci"}`, "Token ci was deleted", "token: k3"},
	{"session.started", `{"session": "s1", "token": "k3", "address": "10.0.0.7", "user_agent": "curl"}`, "A browser was signed in from 10.0.0.7", "session: s1; token: k3; user agent: curl"},
	{"session.ended", `{"session": "s1", "token": "k3"}`, "A browser was signed out", "session: s1; token: k3"},
	{"audit.pruned", `{"position": 8, "event": 1234, "at": "2026-01-02T03:04:05Z", "hash": "5f70", "events": 1000}`,
		"The 1000 oldest entries were deleted, up to number 1234 of 2026-01-02 03:04:05 UTC", "hash: 5f70; position: 8"},

	{"weather.changed", `{"to": "rain", "from": "sun"}`, "", "from: sun; to: rain"},
	{"token.deleted", `{"token": "k3"}`, "", "token: k3"}, // without a name there is no sentence
}

func TestSentences(t *testing.T) {
	t.Parallel()
	for _, c := range tellings {
		e := rollout.Event{Environment: "shop", Kind: c.kind, Generation: 3, Revision: 7}
		if err := json.Unmarshal([]byte(c.data), &e.Data); err != nil {
			t.Fatalf("%s: %v", c.data, err)
		}
		view := eventView(e)
		if view.Sentence != c.sentence {
			t.Errorf("%s %s: %q, want %q", c.kind, c.data, view.Sentence, c.sentence)
		}
		if got := factsText(view.Facts); got != c.facts {
			t.Errorf("%s %s: beside it %q, want %q", c.kind, c.data, got, c.facts)
		}
	}
}

func factsText(list []web.Fact) string {
	var out []string
	for _, f := range list {
		out = append(out, f.Name+": "+f.Value)
	}
	return strings.Join(out, "; ")
}
