package web

import (
	"time"

	"viridian/rollout"
)

// History is what happened in an environment lately, newest first.
type History struct {
	Generations []Generation
	Switches    []Switch
	Events      []Event
	More        bool // there are older generations than these
}

// Event is one entry of the audit log.
type Event struct {
	ID          int64
	Environment string
	Kind, Actor string
	At          time.Time
	Revision    int64
	Generation  int
	Sentence    string // what happened, for people; empty for a kind that is not known
	Facts       []Fact // what else is recorded of it
	Hash        string
}

// Fact is a name with its value.
type Fact struct{ Name, Value string }

// tone of an event: most are plain facts.
func (e Event) tone() Tone {
	switch e.Kind {
	case rollout.EventSwitchApplied, "generation.ready", "generation.live":
		return Good
	case "generation.failed", "route.drifted", "route.ahead", rollout.EventRecoveryHeld:
		return Bad
	case "generation.rejected", rollout.EventRegistryTroubled, rollout.EventGenerationDrifted, rollout.EventAutomationHeld, rollout.EventPromotionWaiting, rollout.EventLockSet:
		return Warn
	}
	return Neutral
}
