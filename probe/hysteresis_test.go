package probe

import (
	"testing"

	"viridian/rollout"
)

func TestHysteresis(t *testing.T) {
	t.Parallel()
	states := map[byte]State{'?': Unknown, 'H': Healthy, 'U': Unhealthy}
	for _, tt := range []struct {
		name                   string
		healthyAfter, badAfter int
		answers, want          string // + passed, - failed
	}{
		{"first healthy needs its row", 2, 3, "++", "?H"},
		{"first unhealthy needs its row", 2, 3, "---", "??U"},
		{"a row is broken by the other answer", 2, 3, "+-+--+---", "????????U"},
		{"healthy bears single failures", 2, 3, "++--+--+---", "?HHHHHHHHHU"},
		{"unhealthy bears single passes", 2, 2, "--+-+-++", "?UUUUUUH"},
		{"one is enough", 1, 1, "+-+-", "HUHU"},
		{"below one counts as one", 0, -1, "-+-", "UHU"},
	} {
		h := NewHysteresis(rollout.Health{HealthyAfter: tt.healthyAfter, UnhealthyAfter: tt.badAfter})
		if h.State() != Unknown {
			t.Errorf("%s: starts %s", tt.name, h.State())
		}
		for i := range tt.answers {
			if got := h.Add(tt.answers[i] == '+'); got != states[tt.want[i]] || got != h.State() {
				t.Errorf("%s: %s after %s, want %s", tt.name, got, tt.answers[:i+1], states[tt.want[i]])
			}
		}
	}
}

func TestState_String(t *testing.T) {
	t.Parallel()
	for state, want := range map[State]string{Unknown: "unknown", Healthy: "healthy", Unhealthy: "unhealthy", State(9): "unknown"} {
		if state.String() != want {
			t.Errorf("State(%d) is %q, want %q", int(state), state, want)
		}
	}
}
