package rollout

import (
	"slices"
	"time"
)

// PromotionState is where a promotion stands. [PromotionMoves] is the whole table of moves.
type PromotionState string

// The states of a promotion. The loop of any replica moves on what the one at work left behind.
const (
	// PromotionShifting: the candidate carries part of the traffic. Steps or a promote move it on.
	PromotionShifting PromotionState = "shifting"
	// PromotionPaused: waits for a person, who promotes or rolls back.
	PromotionPaused PromotionState = "paused"
	// PromotionBaking: the candidate is live at 100 %. The loop moves it on when its switch is applied and the bake is over.
	PromotionBaking PromotionState = "baking"
	// PromotionSucceeded: the candidate stays. Final.
	PromotionSucceeded PromotionState = "succeeded"
	// PromotionAborted: ended before 100 %. Final.
	PromotionAborted PromotionState = "aborted"
	// PromotionRolledBack: ended by a rollback while baking. Final.
	PromotionRolledBack PromotionState = "rolled_back"
	// PromotionSuperseded: ended by the promotion of a newer generation. Final.
	PromotionSuperseded PromotionState = "superseded"
)

// PromotionMoves is the table of states: from each state, those that may follow.
var PromotionMoves = map[PromotionState][]PromotionState{
	PromotionShifting:   {PromotionPaused, PromotionBaking, PromotionAborted, PromotionSuperseded},
	PromotionPaused:     {PromotionShifting, PromotionBaking, PromotionAborted, PromotionRolledBack, PromotionSuperseded},
	PromotionBaking:     {PromotionPaused, PromotionSucceeded, PromotionRolledBack, PromotionSuperseded},
	PromotionSucceeded:  {},
	PromotionAborted:    {},
	PromotionRolledBack: {},
	PromotionSuperseded: {},
}

// CanMove says whether the table allows the move.
func (s PromotionState) CanMove(to PromotionState) bool {
	return slices.Contains(PromotionMoves[s], to)
}

// Open says whether the promotion still runs.
func (s PromotionState) Open() bool { return len(PromotionMoves[s]) > 0 }

// Promotion is the process that takes one generation from ready to live. It makes one switch or several.
type Promotion struct {
	ID          int64 // counts up from 1 in each environment
	Environment string
	Generation  int
	From        int // the live generation when it began; 0 for none
	State       PromotionState
	Reason      string
	Actor       string
	// Revision is that of its last switch; the promotion stays open until that one is applied.
	Revision  int64
	StartedAt time.Time
	EndedAt   *time.Time
}
