package rollout

import "time"

// SwitchKind says why a switch was made.
type SwitchKind string

// The kinds of switch.
const (
	SwitchPromote  SwitchKind = "promote"
	SwitchStep     SwitchKind = "step"
	SwitchRollback SwitchKind = "rollback"
	SwitchAbort    SwitchKind = "abort"
	SwitchManual   SwitchKind = "manual"
	SwitchHeal     SwitchKind = "heal"
	SwitchRecover  SwitchKind = "recover"
)

// SwitchStatus says how far a switch has come.
type SwitchStatus string

// The states of a switch.
const (
	// Committed: decided and recorded. The loop moves it on when every required node was seen at it.
	Committed SwitchStatus = "committed"
	// Applied: seen on every required node. Final.
	Applied SwitchStatus = "applied"
	// SwitchSuperseded: a later switch was committed before this one was applied. Final.
	SwitchSuperseded SwitchStatus = "superseded"
)

// Switch is one committed change of the route. Revisions grow by one; a rollback is a new revision.
type Switch struct {
	Environment string
	Revision    int64
	Kind        SwitchKind
	Status      SwitchStatus
	Degraded    bool // applied without some node that could not be reached
	From, To    int  // generation numbers; 0 for none
	Weights     Weights
	Actor       string
	Reason      string
	Promotion   int64 // id; 0 for none
	CommittedAt time.Time
	AppliedAt   *time.Time
	DrainedAt   *time.Time
	Warnings    []string
}
