package cli

import (
	"strings"
	"testing"

	"viridian/client"
)

// TestGuide_SaysWhatWorks: dev is started again wherever the reader left off.
func TestGuide_SaysWhatWorks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		states []client.GenerationState // of generations 1, 2, …
		want   []string                 // ends of the addresses of the switches it proposes, in order
	}{
		{[]client.GenerationState{"live", "ready"}, []string{`/generations/2/promote`, `/rollback -d '{"from": 2`}},
		{[]client.GenerationState{"standby", "live", "ready"}, []string{`/generations/3/promote`, `/rollback -d '{"from": 3`}},
		{[]client.GenerationState{"standby", "live"}, []string{`/rollback -d '{"to": 1`}},
		{[]client.GenerationState{"rejected", "standby", "live"}, []string{`/rollback -d '{"to": 2`}},
		{[]client.GenerationState{"live", "rejected", "retired"}, []string{`/generations/2/validate`, `/generations/2/promote`, `/rollback -d '{"from": 2`}},
		{[]client.GenerationState{"live", "retired"}, nil},
	} {
		g := &guide{api: "http://127.0.0.1:7070", proxy: "http://127.0.0.1:8080", third: client.RegisterRequest{Version: "1.0"}}
		for i, state := range c.states {
			g.generations = append(g.generations, client.Generation{Number: i + 1, State: state, Version: "1.0"})
		}
		var out strings.Builder
		if err := g.print(&out); err != nil {
			t.Fatal(err)
		}
		rest := out.String()
		for _, want := range c.want {
			before, after, found := strings.Cut(rest, want)
			if !found || strings.Count(before, "api -X POST") > 1 {
				t.Fatalf("%v: want %v next in\n%s", c.states, want, rest)
			}
			rest = after
		}
		if got := strings.Count(out.String(), "api -X POST"); got != len(c.want) {
			t.Errorf("%v: %d calls, want %v in\n%s", c.states, got, c.want, out.String())
		}
	}
}
