package web

import (
	"slices"
	"time"

	"viridian/rollout"
)

// Environment is what the pages show of one environment: decided and observed, side by side.
type Environment struct {
	Name, Description string
	Standing          Standing
	Concerns          []Concern // the gravest first
	Shares            []Share
	Live              int // generation number; 0 for none
	Revision          int64
	Blue, Green       Half
	Rollback          RollbackReady
	Switch            *Switch    // the present one; nil before the first
	Promotion         *Promotion // the open one
	Receipts          []Receipt
	Lock              *Remark
	Hold              *Remark
	Deleting          bool
	Actions           Actions
}

// Path is where the environment's page is.
func (e Environment) Path() string { return "/environments/" + e.Name }

// Standing is how the environment is, in one word.
type Standing struct {
	Tone Tone
	Word string
}

// Concern is something that asks for a look, in one sentence.
type Concern struct {
	Tone  Tone
	Text  string
	Noted bool // the environment's own page says it at length
}

// unsaid leaves out what its own page says at length.
func unsaid(list []Concern) []Concern {
	return slices.DeleteFunc(slices.Clone(list), func(c Concern) bool { return c.Noted })
}

// Attention says whether anything asks for a person.
func (e Environment) Attention() bool {
	for _, c := range e.Concerns {
		if c.Tone == Warn || c.Tone == Bad {
			return true
		}
	}
	return false
}

// Remark is a reason with its author and time.
type Remark struct {
	Reason, By string
	At         time.Time
}

// Half is one side: what wears that colour now. Main is the generation that matters most of it, nil for none.
type Half struct {
	Colour rollout.Colour
	Main   *Generation
	Others []Generation
}

// Generation is one generation as the pages show it.
type Generation struct {
	Environment string
	Number      int
	Version     string
	Colour      rollout.Colour
	State       rollout.GenerationState
	Reason      string
	Since       time.Time // of the state
	CreatedAt   time.Time
	CreatedBy   string
	Weight      int
	Role        string // what it is for the environment now, besides its state; empty for nothing
	Health      []ServiceHealth
	Waiting     string // why it is not promoted although it asked to be
	KeepUntil   *time.Time
	Commit      string
	Traffic     *Traffic // nil where nobody counts
	Actions     GenerationActions
}

// Path is where the generation's page is.
func (g Generation) Path() string {
	return "/environments/" + g.Environment + "/generations/" + itoa(g.Number)
}

// GenerationActions are those that the state of the generation has a place for; nil is left out.
type GenerationActions struct {
	Promote, Rollback, Validate, Retire, Keep *Action
}

// ServiceHealth is how many instances of a service are well.
type ServiceHealth struct {
	Service                   string
	Healthy, Unhealthy, Total int
	Known                     bool      // the reading is fresh
	At                        time.Time // of the last reading; zero for none
	Detail                    string    // what the first unhealthy instance answered
	Drift                     string    // how the instances differ from what was registered; empty for not at all
}

// Tone says what the count means.
func (h ServiceHealth) Tone() Tone {
	switch {
	case !h.Known:
		return Neutral
	case h.Healthy == h.Total:
		return Good
	case h.Healthy == 0:
		return Bad
	}
	return Warn
}

// RollbackReady is what a rollback would find now.
type RollbackReady struct {
	Ready     bool
	Target    *Generation // nil when there is none
	Healthy   int
	Of        int
	KeepUntil *time.Time
	Reasons   []string
	Action    Action
	Keep      *Action // extends the time that the target is kept
	Other     *Action // goes to a standby that has to be named
}

// Switch is one committed change of the route.
type Switch struct {
	Environment string
	Revision    int64
	Kind        rollout.SwitchKind
	Status      rollout.SwitchStatus
	Degraded    bool
	From, To    int
	Weights     []Share
	Actor       string
	Reason      string
	Promotion   int64
	CommittedAt time.Time
	AppliedAt   *time.Time
	DrainedAt   *time.Time
	Warnings    []string
}

// Path is where the switch's page is.
func (s Switch) Path() string {
	return "/environments/" + s.Environment + "/switches/" + itoa64(s.Revision)
}

// Promotion is the way of one generation to live.
type Promotion struct {
	ID         int64
	Generation int
	From       int
	State      rollout.PromotionState
	Reason     string
	Actor      string
	Revision   int64
	StartedAt  time.Time
	EndedAt    *time.Time
}

// Receipt is what one node was last seen doing, held against what was decided.
type Receipt struct {
	Router, Node string
	State        rollout.ReceiptState
	Revision     int64
	Weights      []Share
	Seen         bool
	At           time.Time
	Incarnation  string
	InFlight     int // still open on generations without weight
	Error        string
}
