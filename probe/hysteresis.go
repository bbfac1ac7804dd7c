package probe

import "viridian/rollout"

// State is what is known of an instance.
type State int

// The states of an instance.
const (
	Unknown   State = iota // not asked often enough yet
	Healthy                // passed healthy_after times in a row, and since then never failed unhealthy_after times in a row
	Unhealthy              // the same the other way round
)

// String returns "unknown", "healthy" or "unhealthy".
func (s State) String() string {
	switch s {
	case Healthy:
		return "healthy"
	case Unhealthy:
		return "unhealthy"
	default:
		return "unknown"
	}
}

// Hysteresis turns single answers into a state that does not flap. It starts
// Unknown and leaves that only by enough equal answers in a row. The zero
// value believes every answer.
type Hysteresis struct {
	healthyAfter, unhealthyAfter int
	state                        State
	last                         bool
	row                          int // equal answers up to now
}

// NewHysteresis takes healthy_after and unhealthy_after; below 1 counts as 1.
func NewHysteresis(health rollout.Health) Hysteresis {
	return Hysteresis{healthyAfter: health.HealthyAfter, unhealthyAfter: health.UnhealthyAfter}
}

// State returns the state after the last answer.
func (h *Hysteresis) State() State { return h.state }

// Add takes one more answer into account and returns the state after it.
func (h *Hysteresis) Add(passed bool) State {
	if passed != h.last {
		h.last, h.row = passed, 0
	}
	h.row++
	switch {
	case passed && h.row >= h.healthyAfter:
		h.state = Healthy
	case !passed && h.row >= h.unhealthyAfter:
		h.state = Unhealthy
	}
	return h.state
}
